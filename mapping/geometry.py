"""How the arrays of one binary layer are cut into words, lines, tiles and padded rows of an accelerator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hw.arch import Accelerator
from mapping.errors import MappingError

MAX_FIELD = 65535
"""The largest number in a 16-bit operand."""


def ceil_div(value: int, by: int) -> int:
    """Return the quotient rounded up."""
    return -(-value // by)


@dataclass(frozen=True)
class Geometry:
    """A layer of `rows` x `inputs` x `outputs` on an accelerator. Sizes are derived once and never typed again.

    A *row group* is as many rows as the array has, a *column group* as many output channels as it has columns: a tile
    of the array has one of each.
    """

    accelerator: Accelerator
    rows: int
    inputs: int
    outputs: int
    unsigned: bool

    def __post_init__(self) -> None:
        for name in ("rows", "inputs", "outputs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise MappingError(f"layer: {name} must be an integer of at least 1, not {value!r}")
        padded = self.words * self.accelerator.word_bits
        if padded > self.accelerator.max_inputs:
            raise MappingError(
                f"layer: inputs must be at most {self.accelerator.max_inputs} when padded to words of "
                f"{self.accelerator.word_bits} bits, not {padded}; "
                f"array.sum_bits must be at least {(padded + 1).bit_length() + 1}, not {self.accelerator.sum_bits}"
            )

    # --- the tiles -----------------------------------------------------------------------------------------------

    @cached_property
    def row_groups(self) -> int:
        """Row groups of the layer, the last one partial where rows do not divide."""
        return ceil_div(self.rows, self.accelerator.rows)

    @cached_property
    def column_groups(self) -> int:
        """Column groups of the layer, the last one padded with zero weights."""
        return ceil_div(self.outputs, self.accelerator.columns)

    @cached_property
    def words(self) -> int:
        """Words of one row of K inputs."""
        return ceil_div(self.inputs, self.accelerator.word_bits)

    @cached_property
    def pad(self) -> int:
        """Bits of the last word that are not inputs, as MATMUL corrects for them: 0 in the unsigned set."""
        return 0 if self.unsigned else self.words * self.accelerator.word_bits - self.inputs

    @cached_property
    def tile_steps(self) -> int:
        """Steps of the array for the whole layer: the lower bound of its cycles."""
        return self.words * self.row_groups * self.column_groups

    # --- rows in buffers and in memory ---------------------------------------------------------------------------

    @cached_property
    def lines(self) -> int:
        """Lines of one activation or weight row."""
        return ceil_div(self.words, self.accelerator.line_words)

    @cached_property
    def row_bytes(self) -> int:
        """Bytes from one activation or weight row to the next in memory."""
        return self.lines * self.accelerator.line_bits // 8

    @cached_property
    def output_lines(self) -> int:
        """Output buffer lines of one output row."""
        return ceil_div(self.column_groups, self.accelerator.output_line_groups)

    @cached_property
    def output_row_bytes(self) -> int:
        """Bytes from one output row to the next in memory."""
        return self.output_lines * self.accelerator.output_line_bits // 8

    @cached_property
    def threshold_line_bytes(self) -> int:
        """Bytes of the thresholds of one column group in memory."""
        return self.accelerator.threshold_line_bits // 8

    def rows_in(self, start: int, stop: int) -> int:
        """Return the number of rows in the row groups from start up to stop."""
        return min(stop * self.accelerator.rows, self.rows) - start * self.accelerator.rows
