"""Declared fields: what the attributes and arrays of an operation may be stands in its annotations.

A `Record` is a frozen dataclass with a name. Each other field has a type that says what is legal: `Integer`, `Choice`,
or `Tensor` for an array. The annotations alone drive checking, comparing, reading and writing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from model.bits import padding_is_zero, row_bytes
from model.checks import MAX_SIZE, refuse, require, require_choice, require_integer, require_name
from model.tensorfile import DTYPES

INPUT = "input"
LONGEST_NAME = 200 - len(".thresholds")


@dataclass(frozen=True)
class Integer:
    """An attribute that is an integer in a range."""

    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """An attribute that is one of a few texts or integers."""

    choices: tuple[Any, ...]


@dataclass(frozen=True)
class Size:
    """One axis of an array: as long as the attribute of this name says or, if there is none, within its limits."""

    name: str
    low: int = 1
    high: int = MAX_SIZE

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Tensor:
    """An array: its dtype in the file, its axes, its values, and the part of the network's size that it counts to.

    A packed array holds bits along its last axis, in whole bytes.
    """

    dtype: str
    shape: tuple[Size | int, ...]
    part: str
    low: int | None = None
    high: int | None = None
    packed: bool = False


Specification = Integer | Choice | Tensor


_specifications: dict[Any, dict[str, Specification]] = {}


def specification(kind: type[Record]) -> dict[str, Specification]:
    """Return what each field of a record, but the name and the sources, may be."""
    if kind not in _specifications:
        hints = get_type_hints(kind, include_extras=True)
        found = {entry.name: getattr(hints[entry.name], "__metadata__", (None,))[0] for entry in fields(kind)}
        _specifications[kind] = {name: entry for name, entry in found.items() if isinstance(entry, Specification)}
    return _specifications[kind]


def attributes(kind: type[Record]) -> tuple[str, ...]:
    """Return the names of the fields that are no arrays."""
    return tuple(name for name, entry in specification(kind).items() if not isinstance(entry, Tensor))


def tensors(kind: type[Record]) -> dict[str, Tensor]:
    """Return the fields that are arrays."""
    return {name: entry for name, entry in specification(kind).items() if isinstance(entry, Tensor)}


@dataclass(frozen=True, eq=False)
class Record:
    """A named thing whose fields are checked; arrays are held read-only, and two are equal if all fields are."""

    name: str

    def __post_init__(self) -> None:
        require_name("name", self.name, LONGEST_NAME)
        require(self.name != INPUT, "name", f"other than {INPUT!r}, which is the network's input", self.name)
        for name, entry in specification(type(self)).items():
            if isinstance(entry, Integer):
                require_integer(f"{self.name}.{name}", getattr(self, name), entry.low, entry.high)
            elif isinstance(entry, Choice):
                require_choice(f"{self.name}.{name}", getattr(self, name), entry.choices)
        self._check_tensors()
        self.check()

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        arrays = tensors(type(self))
        plain = (entry.name for entry in fields(self) if entry.name not in arrays)
        same = all(getattr(self, name) == getattr(other, name) for name in plain)
        return same and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in arrays)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name, *(getattr(self, name) for name in attributes(type(self)))))

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in tensors(type(self))}

    @property
    def sizes(self) -> dict[str, int]:
        """The lengths of the axes by name."""
        return dict(self._sizes())

    def size_bits(self) -> Iterator[tuple[str, int]]:
        """Yield, for each array, the part of the network's size that it counts to and how many bits it has."""
        sizes = self.sizes
        for name, entry in tensors(type(self)).items():
            count = math.prod(_length(axis, sizes) for axis in entry.shape)
            single = entry.packed or entry.high == 1
            yield entry.part, count if single else count * 8 * getattr(self, name).itemsize

    def check(self) -> None:
        """Check what no single field can say."""

    def refuse_first(self, legal: NDArray[np.bool_], part: str, expected: str) -> None:
        """Refuse the first value of an array that is not legal; `legal` may have fewer axes than the array."""
        if legal.all():
            return
        index = np.unravel_index(int(np.argmin(legal)), legal.shape)
        found = np.atleast_1d(getattr(self, part)[index])[-1]
        refuse(f"{self.name}.{part}[{', '.join(map(str, index))}]", expected, str(found))

    def refuse_outside(self, part: str, low: int, high: int) -> None:
        """Refuse the first value of an array that is not in a range."""
        array = getattr(self, part)
        expected = "0 or 1" if (low, high) == (0, 1) else f"from {low} to {high}"
        self.refuse_first((array >= low) & (array <= high), part, expected)

    def _check_tensors(self) -> None:
        declared = tensors(type(self))
        for name, entry in declared.items():
            array, where = getattr(self, name), f"{self.name}.{name}"
            if not isinstance(array, np.ndarray):
                refuse(where, "a numpy array", f"a {type(array).__name__}")
            dtype = DTYPES[entry.dtype]
            if array.dtype != dtype or array.ndim != len(entry.shape):
                axes = [self._axis(axis) for axis in entry.shape[:-1]] + [self._axis(entry.shape[-1], entry.packed)]
                refuse(where, f"{dtype.name} [{', '.join(axes)}]", f"{array.dtype} {list(array.shape)}")
        sizes = dict(self._sizes())
        for name, entry in declared.items():
            self._check_tensor(name, entry, sizes)

    def _check_tensor(self, name: str, entry: Tensor, sizes: Mapping[str, int]) -> None:
        array, shape = getattr(self, name), [_length(axis, sizes) for axis in entry.shape]
        stored = [*shape[:-1], row_bytes(shape[-1])] if entry.packed else shape
        if list(array.shape) != stored:
            refuse(f"{self.name}.{name}", f"{array.dtype} {stored}", f"{array.dtype} {list(array.shape)}")
        if array.flags.writeable or not array.flags.c_contiguous:
            array = np.array(array, order="C")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if entry.packed:
            self.refuse_first(padding_is_zero(array, shape[-1]), name, f"0 in the bits after the first {shape[-1]}")
        if entry.low is not None and entry.high is not None:
            self.refuse_outside(name, entry.low, entry.high)

    def _axis(self, axis: Size | int, packed: bool = False) -> str:
        length = axis if isinstance(axis, int) else getattr(self, axis.name, None)
        if length is None:
            return f"{axis} / 8" if packed else str(axis)
        return str(row_bytes(length) if packed else length)

    def _sizes(self) -> Iterator[tuple[str, int]]:
        known = {name for name in attributes(type(self)) if isinstance(getattr(self, name), int)}
        yield from ((name, getattr(self, name)) for name in known)
        for name, entry in tensors(type(self)).items():
            shape = getattr(self, name).shape
            for place, axis in enumerate(entry.shape[:-1] if entry.packed else entry.shape):
                if isinstance(axis, Size) and axis.name not in known:
                    known.add(axis.name)
                    where = f"{self.name}.{name}.shape[{place}]"
                    yield axis.name, require_integer(where, shape[place], axis.low, axis.high)


def _length(axis: Size | int, sizes: Mapping[str, int]) -> int:
    return axis if isinstance(axis, int) else sizes[axis.name]
