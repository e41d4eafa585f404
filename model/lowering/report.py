"""What an export tells about itself, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CodesEntry:
    """How codes are made. `form` is "thresholds" or "affine", or "table" where a value is tabulated first.

    `constant` channels always give one code (not counted behind a table). Of `compared` pairs of a reachable number and
    a channel, `different` give another code than the float form: 0 for thresholds, where all pairs are compared.
    """

    name: str
    form: str
    channels: int
    constant: int
    different: int
    compared: int


@dataclass(frozen=True)
class FormatEntry:
    """The fraction of a fixed value, and the largest absolute value that it was made for (before headroom)."""

    name: str
    fraction: int
    largest: float


@dataclass(frozen=True)
class TableEntry:
    """A function as a table; `error` is the largest distance from it in units of the result, over its range."""

    name: str
    function: str
    shift: int
    error: float


@dataclass(frozen=True)
class ExponentialsEntry:
    """The table of a row threshold: entries, and what one step of its index stands for."""

    name: str
    entries: int
    step: float


@dataclass(frozen=True)
class LogitsEntry:
    """A classifier: an integer logit stands for logit / 2^fraction, a weight for weight / 2^weight_fraction."""

    name: str
    fraction: int
    weight_fraction: int


@dataclass(frozen=True)
class ExportReport:
    """The choices of an export and what they cost; `to_dict` gives plain data.

    `saturations` counts, for each fixed value that had any, the numbers at a limit of 16 bits on the calibration
    sentences; `size_bits` is of the whole network, by part.
    """

    codes: tuple[CodesEntry, ...] = ()
    formats: tuple[FormatEntry, ...] = ()
    tables: tuple[TableEntry, ...] = ()
    exponentials: tuple[ExponentialsEntry, ...] = ()
    logits: tuple[LogitsEntry, ...] = ()
    saturations: Mapping[str, int] = field(default_factory=dict)
    size_bits: Mapping[str, int] = field(default_factory=dict)

    @property
    def fallbacks(self) -> tuple[CodesEntry, ...]:
        """The codes that needed a table because no one threshold gives their bits."""
        return tuple(entry for entry in self.codes if entry.form == "table")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as dictionaries, lists, texts and numbers."""
        return dataclasses.asdict(self)
