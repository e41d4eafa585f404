"""Signatures that join the row unit with its buffers."""

from __future__ import annotations

from amaranth.lib import data
from amaranth.lib.wiring import In, Out, Signature

from hw.arch import Accelerator
from hw.gateware.interfaces import GroupWrite


class ScoreWrite(Signature):
    """A group of drained rows of scores, and what makes maxima of them.

    `columns` names the columns that count. The group is the `first` of its rows, or they have a maximum already, in
    line `maximum_line` of the banks of maxima.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        a = accelerator
        super().__init__(
            {
                "groups": Out(GroupWrite(a, a.drain_rows, a.sum_bits)),
                "columns": Out(a.columns),
                "first": Out(1),
                "maximum_line": Out(maximum_line_bits(a)),
            }
        )


class MaximaRead(Signature):
    """Read the maxima of line `line`, one for each row of a group; the data stay until the next read."""

    def __init__(self, accelerator: Accelerator) -> None:
        a = accelerator
        super().__init__(
            {
                "enable": Out(1),
                "line": Out(maximum_line_bits(a)),
                "data": In(data.ArrayLayout(a.sum_bits, a.drain_rows)),
            }
        )


class TableRead(Signature):
    """Read a line of the table buffer for each lane in a cycle with `enable`; the data stay until the next one."""

    def __init__(self, accelerator: Accelerator) -> None:
        a = accelerator
        super().__init__(
            {
                "enable": Out(1),
                "lines": Out(data.ArrayLayout(16, a.row_lanes)),
                "data": In(data.ArrayLayout(a.table_line_bits, a.row_lanes)),
            }
        )


def group_bits(accelerator: Accelerator) -> int:
    """Return the width of the number of a group of drained rows in a tile."""
    return (-(-accelerator.rows // accelerator.drain_rows) - 1).bit_length()


def maximum_line_bits(accelerator: Accelerator) -> int:
    """Return the width of a line of maxima: the group of rows, and above it the slot."""
    return group_bits(accelerator) + (accelerator.score_slots - 1).bit_length()


def level_bits(accelerator: Accelerator) -> int:
    """Return the most bits of an attention code: 1, 2 or 4."""
    return min(accelerator.code_bits, 4)


def level_count(accelerator: Accelerator) -> int:
    """Return the most levels of a row."""
    return (1 << level_bits(accelerator)) - 1
