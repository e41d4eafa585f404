"""What units hold from one instruction to the next while a finished program runs: statistics, maxima, the vote.

Part of the checker: nothing here comes from the code that makes programs.
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.arch import Accelerator
from hw.isa import Opcode, SumsDestination
from mapping.footprints.base import Where


@dataclass(frozen=True)
class _Maxima:
    """What a SUMS to score leaves in a slot, and where its scores stand."""

    index: int
    rows: int
    keys: int
    line: int
    stride: int
    low: int


class Holding:
    """Follows a program. Instructions are given in program order."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._statistics: dict[int, tuple[int, int]] = {}
        """For each row, the VECTOR that has left its statistics, and the channels."""
        self._slots: dict[int, _Maxima] = {}
        self._classes: tuple[int, int] | None = None
        """The last CLASSIFY, and its classes."""

    @property
    def voted(self) -> bool:
        """Whether there was a CLASSIFY, so that an EXIT may end the run."""
        return self._classes is not None

    def touch(self, where: Where) -> None:
        """Check the next instruction against what is held."""
        match where.instruction.opcode:
            case Opcode.VECTOR:
                self._vector(where)
            case Opcode.SUMS if where["destination"] == SumsDestination.SCORE:
                self._sums(where)
            case Opcode.SOFTMAX:
                self._softmax(where)
            case Opcode.CLASSIFY:
                self._classify(where)

    def _vector(self, where: Where) -> None:
        if where["normalise"]:
            for row in range(where["rows"]):
                index, channels = self._statistics.get(row, (-1, 0))
                where.require(index >= 0, f"statistics of row {row}", "left by a VECTOR before", "missing")
                where.require(
                    where["channels"] == channels,
                    "channels",
                    f"{channels} as in instruction {index}, which left the statistics of row {row}",
                    where["channels"],
                )
        if where["statistics"]:
            for row in range(where["rows"]):
                self._statistics[row] = (where.index, where["channels"])

    def _sums(self, where: Where) -> None:
        a = self._accelerator
        line, low = divmod(where["output_group"], a.score_line_groups)
        keys = where["column_groups"] * a.columns - where["spare"]
        self._slots[where["slot"]] = _Maxima(
            where.index, where["rows"], keys, where["output_line"] + line, where["output_stride"], low
        )

    def _softmax(self, where: Where) -> None:
        """Check that the scores are all those, from row 0 on, whose maxima stand in the slot."""
        slot = where["slot"]
        held = self._slots.get(slot)
        if held is None:
            raise where.error(f"slot {slot} must be filled by a SUMS before, not empty")
        behind = f"as SUMS {held.index} has left in slot {slot}"
        where.require(where["rows"] <= held.rows, "rows", f"at most {held.rows} {behind}", where["rows"])
        where.require(where["keys"] == held.keys, "keys", f"{held.keys} {behind}", where["keys"])
        where.require(where["score_line"] == held.line, "score_line", f"{held.line} {behind}", where["score_line"])
        if held.low:
            raise where.error(f"scores of SUMS {held.index} must begin at the start of a line, not at group {held.low}")
        lines = -(-held.keys // self._accelerator.score_line_sums)
        same = where["rows"] <= self._accelerator.drain_rows or held.stride == lines
        where.require(same, f"output_stride of SUMS {held.index}", f"{lines} for a SOFTMAX", held.stride)

    def _classify(self, where: Where) -> None:
        if self._classes is None:
            where.require(where["first"], "first", "1 in the first CLASSIFY", 0)
        elif not where["first"]:
            index, classes = self._classes
            where.require(where["classes"] == classes, "classes", f"{classes} as in CLASSIFY {index}", where["classes"])
        self._classes = (where.index, where["classes"])
