"""The reader of CTranslate2 files on good files and on hostile ones."""

import contextlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_registry import MODELS
from models_registry.conversion import whisper_tensors
from models_registry.ctranslate2_format import MalformedModelError, parse

TYPE_IDS = {"<f4": 0, "|i1": 1, "<i2": 2, "<i4": 3, "<f2": 4}


def string(text):
    raw = text.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def variable(name, array):
    header = string(name) + struct.pack("<B", array.ndim)
    header += b"".join(struct.pack("<I", size) for size in array.shape)
    return header + struct.pack("<BI", TYPE_IDS[array.dtype.str], array.nbytes) + array.tobytes()


def model(variables, aliases=(), spec="WhisperSpec", version=6):
    parts = [struct.pack("<I", version), string(spec), struct.pack("<II", 3, len(variables))]
    parts += [variable(name, array) for name, array in variables.items()]
    parts += [struct.pack("<I", len(aliases))]
    parts += [string(alias) + string(target) for alias, target in aliases]
    return b"".join(parts)


GOOD = model(
    {
        "a/weight": np.arange(6, dtype="<f4").reshape(2, 3),
        "b": np.array(5, dtype="<i2"),
        "c/half": np.ones((4,), dtype="<f2"),
    },
    [("alias", "a/weight")],
)


def test_reads_what_was_written():
    read = parse(GOOD)
    assert (read.spec, read.revision) == ("WhisperSpec", 3)
    np.testing.assert_array_equal(read.variables["a/weight"], np.arange(6).reshape(2, 3))
    assert read.variables["b"].shape == ()
    assert read.variables["alias"] is read.variables["a/weight"]


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_every_truncation_is_noticed(length):
    with pytest.raises(MalformedModelError):
        parse(GOOD[:length])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (model({}, version=5), "binary version 5"),
        (GOOD + b"x", "1 bytes follow"),
        (model({"a": np.ones(2, "<f4")}, [("b", "nowhere")]), "which is not there"),
        (model({"a": np.ones(2, "<f4")}, [("a", "a")]), "variable's name already"),
        (model({"a": np.ones((1,) * 5, "<f4")}), "rank 5"),
        (model({"a": np.ones((0, 3), "<f4")}), "empty"),
        (struct.pack("<I", 6) + struct.pack("<H", 3) + b"abc", "NUL"),
        (struct.pack("<I", 6) + struct.pack("<H", 3) + b"\xff\xff\0", "UTF-8"),
    ],
)
def test_malformed_files_are_named(raw, message):
    with pytest.raises(MalformedModelError, match=message):
        parse(raw)


def hostile(rank=2, shape=(2**32 - 1, 2**32 - 1), size=16, type_id=0, count=1):
    """A tiny file that claims a huge array."""
    raw = struct.pack("<I", 6) + string("WhisperSpec") + struct.pack("<II", 3, count)
    raw += string("a") + struct.pack("<B", rank) + b"".join(struct.pack("<I", n) for n in shape)
    return raw + struct.pack("<BI", type_id, size) + bytes(16)


@pytest.mark.parametrize(
    "raw",
    [
        hostile(),
        hostile(size=2**32 - 1),
        hostile(shape=(2**30, 1), size=2**32 - 4),
        hostile(rank=255, shape=(1,) * 255),
        hostile(rank=0, shape=(), size=4, count=2**32 - 1),
        hostile(type_id=9),
    ],
)
def test_huge_claims_cost_no_memory(raw):
    tracemalloc.start()
    with pytest.raises(MalformedModelError):
        parse(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=8
    ),
    cut=st.integers(0, len(GOOD)),
    extra=st.binary(max_size=32),
)
@settings(max_examples=1000, deadline=None)
def test_fuzzed_files_raise_nothing_else(edits, cut, extra):
    raw = bytearray(GOOD)
    for place, value in edits:
        raw[place] = value
    with contextlib.suppress(MalformedModelError):
        parse(bytes(raw[:cut]) + extra)


@given(st.binary(max_size=400))
@settings(max_examples=500, deadline=None)
def test_random_bytes_raise_nothing_else(raw):
    with contextlib.suppress(MalformedModelError):
        parse(struct.pack("<I", 6) + string("WhisperSpec") + raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (model({}, spec="TransformerSpec"), "not WhisperSpec"),
        (model({}), "is missing"),
        (
            model({"encoder/layer_0/self_attention/linear_0/weight": np.ones((3, 3), "<f4")}),
            "has shape",
        ),
        (
            model({"encoder/layer_0/self_attention/linear_0/weight": np.ones((1152, 384), "|i1")}),
            "quantised",
        ),
    ],
)
def test_weights_of_another_model_are_refused(raw, message):
    with pytest.raises(MalformedModelError, match=message):
        whisper_tensors(parse(raw), MODELS.get("tiny.en"))
