"""A bounded reader for CTranslate2's ``model.bin``, binary version 6.

The file is untrusted. Every length that it states is checked against the bytes
that are there before anything is sliced or allocated, and arrays are views of
the buffer, so reading never needs more memory than the file itself has bytes.

Layout (little endian): uint32 version; strings are uint16 length (with the NUL)
and bytes; spec name, uint32 revision, uint32 count; then for each variable its
name, uint8 rank, uint32 dimensions, uint8 type, uint32 bytes, data; then uint32
count of aliases, each a name and the variable it stands for.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

BINARY_VERSION = 6
MAX_RANK = 4
_TYPES: tuple[np.dtype[np.generic], ...] = tuple(
    np.dtype(name) for name in ("<f4", "i1", "<i2", "<i4", "<f2")
)


class MalformedModelError(ValueError):
    """A model file that does not follow the format; the message says where."""


@dataclass(frozen=True)
class CTranslate2Model:
    """What a ``model.bin`` holds.

    Attributes:
        spec: Name of the specification, for example ``WhisperSpec``.
        revision: Revision of that specification.
        variables: Arrays by name, aliases included; views of the buffer.
    """

    spec: str
    revision: int
    variables: Mapping[str, NDArray[np.generic]]


class _Cursor:
    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self.position = 0

    @property
    def left(self) -> int:
        return len(self._buffer) - self.position

    def take(self, size: int, what: str) -> memoryview:
        if size > self.left:
            raise MalformedModelError(
                f"truncated: {what} needs {size} bytes at offset {self.position},"
                f" {self.left} are left"
            )
        start = self.position
        self.position += size
        return self._buffer[start : self.position]

    def number(self, code: str, what: str) -> int:
        raw = self.take(struct.calcsize("<" + code), what)
        return int(struct.unpack("<" + code, raw)[0])

    def string(self, what: str) -> str:
        length = self.number("H", f"length of {what}")
        raw = bytes(self.take(length, what))
        if not raw.endswith(b"\0") or b"\0" in raw[:-1]:
            raise MalformedModelError(f"{what} at offset {self.position} is not NUL-terminated")
        try:
            return raw[:-1].decode()
        except UnicodeDecodeError as error:
            raise MalformedModelError(f"{what} is not UTF-8: {error}") from None


def parse(buffer: bytes | bytearray | memoryview) -> CTranslate2Model:
    """Reads a whole ``model.bin``.

    Args:
        buffer: The file's bytes; the arrays returned are views of it.

    Raises:
        MalformedModelError: The bytes do not follow the format.
    """
    cursor = _Cursor(memoryview(buffer).cast("B"))
    version = cursor.number("I", "binary version")
    if version != BINARY_VERSION:
        raise MalformedModelError(f"binary version {version}, only {BINARY_VERSION} is read")
    spec = cursor.string("specification name")
    revision = cursor.number("I", "revision")
    variables: dict[str, NDArray[np.generic]] = {}
    for _ in range(cursor.number("I", "variable count")):
        name = cursor.string("variable name")
        if name in variables:
            raise MalformedModelError(f"variable {name!r} occurs twice")
        variables[name] = _array(cursor, name)
    for _ in range(cursor.number("I", "alias count")):
        alias, target = cursor.string("alias"), cursor.string("alias target")
        if target not in variables:
            raise MalformedModelError(f"alias {alias!r} names {target!r}, which is not there")
        if alias in variables:
            raise MalformedModelError(f"alias {alias!r} is a variable's name already")
        variables[alias] = variables[target]
    if cursor.left:
        raise MalformedModelError(f"{cursor.left} bytes follow the last alias")
    return CTranslate2Model(spec, revision, variables)


def _array(cursor: _Cursor, name: str) -> NDArray[np.generic]:
    rank = cursor.number("B", f"rank of {name!r}")
    if rank > MAX_RANK:
        raise MalformedModelError(f"{name!r} has rank {rank}, at most {MAX_RANK} is read")
    shape = tuple(cursor.number("I", f"dimension of {name!r}") for _ in range(rank))
    if 0 in shape:
        raise MalformedModelError(f"{name!r} is empty, its shape is {shape}")
    type_id = cursor.number("B", f"type of {name!r}")
    if type_id >= len(_TYPES):
        raise MalformedModelError(f"{name!r} has unknown type {type_id}")
    dtype = _TYPES[type_id]
    size = cursor.number("I", f"size of {name!r}")
    if size != prod(shape) * dtype.itemsize:
        raise MalformedModelError(
            f"{name!r} states {size} bytes, its shape {shape} of {dtype} needs"
            f" {prod(shape) * dtype.itemsize}"
        )
    return np.frombuffer(cursor.take(size, f"data of {name!r}"), dtype=dtype).reshape(shape)
