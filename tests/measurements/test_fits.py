"""Fitted curves on disk: to the bit the same, and never in the way."""

from dataclasses import replace

import numpy as np
import pytest

from measurements.fits import BUILT_IN, StoredFits, packed
from measurements.studies import DEFAULT_STUDY, evidence_for
from planner.curves import fit
from planner.curves.stored import Fits, from_document, to_document
from planner.quality import curves_of


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    n = np.repeat([1e7, 3e7, 1e8, 1e9], 3)
    window_s = np.tile([10.0, 20, 30], 4)
    error = 0.03 + 2 * n**-0.2 + 0.2 / window_s
    return fit(
        {"parameters": n, "window_s": window_s},
        error * np.exp(0.02 * rng.standard_normal(12)),
        groups=["a", "b"] * 6,
    )


def never():
    raise AssertionError("it was fitted again")


def test_curves_come_back_to_the_bit(model, tmp_path):
    StoredFits(tmp_path).get("key", lambda: model)
    again = StoredFits(tmp_path).get("key", never)
    asked = {"parameters": [2e7, 1e10], "window_s": [12, 30]}
    for before, after in zip(
        model.predict(asked, groups={"group": ["a", "c"]}),
        again.predict(asked, groups={"group": ["a", "c"]}),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(model.draws(asked, 50), again.draws(asked, 50))
    assert again.report() == model.report()
    assert packed(again) == packed(model)


def test_a_damaged_file_is_fitted_anew(model, tmp_path):
    StoredFits(tmp_path).get("key", lambda: model)
    (file,) = tmp_path.iterdir()
    for content in (b"", file.read_bytes()[:100], b"nonsense"):
        file.write_bytes(content)
        assert StoredFits(tmp_path).get("key", lambda: model) is model
    with pytest.raises(ValueError, match="format"):
        from_document({**to_document(model), "format": 0})


def test_a_folder_that_can_t_be_written_is_no_failure(model, tmp_path):
    (tmp_path / "file").write_text("")
    assert StoredFits(tmp_path / "file" / "fits").get("key", lambda: model) is model


@pytest.mark.parametrize("task", list(DEFAULT_STUDY))
def test_the_built_in_curves_are_those_of_the_catalogue(task):
    """Catches a catalogue or a fit that has changed without them: every first answer is late."""
    observations = evidence_for(task, None, None).observations
    kept = curves_of(task, observations, fits=_Strict())
    anew = curves_of(task, observations, fits=Fits())
    assert [(part.name, part.form) for part in kept.parts] == [
        (part.name, part.form) for part in anew.parts
    ]
    for one, other in zip(kept.parts, anew.parts, strict=True):
        np.testing.assert_allclose(one.bags.mean(axis=0), other.bags.mean(axis=0), atol=0.02)


def moved(observations, count):
    """Some observations, as if they had been made on other speech."""
    own = [o for o in observations if o.source == "measured"][:count]
    return [replace(o, study="mine", error=1.1 * o.error) for o in own]


def test_a_few_rows_more_keep_the_form_that_many_were_needed_to_choose(tmp_path):
    """Catches an answer that waits for a search of forms behind each measurement."""
    observations = evidence_for("ser", None, None).observations
    known = curves_of("ser", observations, fits=_Strict())
    fits = StoredFits(tmp_path)
    few = curves_of("ser", [*observations, *moved(observations, 3)], fits=fits)
    assert (few.form.terms, few.form.tight) == (known.form.terms, known.form.tight)
    assert few.scores == {}
    assert "kept" in few.report()
    offsets = few.summary().offsets["study"]
    assert offsets["mine"] != 1
    assert offsets.keys() > known.summary().offsets["study"].keys()
    assert curves_of("ser", [*observations, *moved(observations, 20)], fits=fits).scores


class _Strict(StoredFits):
    def get(self, key, make):
        assert (BUILT_IN / f"{key}.json.gz").exists(), "run measurements.catalogue.build"
        return super().get(key, never)
