"""The accelerator: one frozen object from which RTL, simulator, mapper and docs take every width, depth and count."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hw.messages import shown
from hw.parameters import FIELDS, SECTIONS, AcceleratorError

__all__ = ["FIELDS", "FORMAT", "PARAMETER_BITS", "SECTIONS", "Accelerator", "AcceleratorError"]

FORMAT = "tallybert-accelerator-1"

PARAMETER_BITS = 64
"""Width of an entry of the scale and level buffers."""


@dataclass(frozen=True)
class Accelerator:
    """The structure of one accelerator. Every derived size is a property; cycle formulas are not here on purpose."""

    name: str = "unnamed"
    rows: int = 4
    columns: int = 4
    word_bits: int = 16
    pipeline: int = 1
    sum_bits: int = 15
    drain_rows: int = 1
    code_bits: int = 1
    activation_lines: int = 256
    weight_lines: int = 256
    key_lines: int = 0
    threshold_lines: int = 64
    output_lines: int = 64
    vector_lanes: int = 0
    sum_lines: int = 64
    fixed_lines: int = 256
    scale_lines: int = 64
    level_lines: int = 64
    row_lanes: int = 0
    score_lines: int = 64
    score_slots: int = 2
    table_lines: int = 64
    token_lines: int = 0
    word_lines: int = 64
    embedding_lines: int = 64
    classes: int = 0
    port_bits: int = 32
    burst_beats: int = 16
    reads_in_flight: int = 4
    writes_in_flight: int = 4
    fetch_depth: int = 4
    queue_depth: int = 4
    transfers_in_flight: int = 2
    clock_mhz: int = 50
    counters: bool = True

    def __post_init__(self) -> None:
        _check_name(self.name)
        for name, field in FIELDS.items():
            field.check(name, getattr(self, name))
        if not isinstance(self.counters, bool):
            raise AcceleratorError(f"implementation.counters must be true or false, not {shown(self.counters)}")
        self._check_relations()

    def _check_relations(self) -> None:
        if self.drain_rows > self.rows:
            raise AcceleratorError(f"array.drain_rows must be at most array.rows ({self.rows}), not {self.drain_rows}")
        self._check_keys()
        self._check_options()
        levels = self.word_bits.bit_length()
        if self.pipeline > levels:
            raise AcceleratorError(
                f"array.pipeline must be at most {levels} for words of {self.word_bits} bits "
                f"(one register after the product and one after each adder level), not {self.pipeline}"
            )
        if self.word_bits > self.max_inputs:
            need = (self.word_bits + 1).bit_length() + 1
            raise AcceleratorError(
                f"array.sum_bits must be at least {need} to hold one word of {self.word_bits} bits, not {self.sum_bits}"
            )

    def _check_options(self) -> None:
        """Check the sizes of units that may be left out, and that what they work with is there."""
        for path, unit in (("vector.vector_lanes", "vector unit"), ("attention.row_lanes", "row unit")):
            lanes = getattr(self, path.split(".")[1])
            if lanes & (lanes - 1):
                raise AcceleratorError(f"{path} must be 0 (no {unit}) or a power of two, not {lanes}")
        if self.token_lines == 1:
            raise AcceleratorError("text.token_lines must be 0 (no embedding) or at least 2, not 1")
        for name in ("token_lines", "classes"):
            value = getattr(self, name)
            if value and not self.vector_lanes:
                raise AcceleratorError(f"text.{name} must be 0 where vector.vector_lanes is 0, not {value}")

    def _check_keys(self) -> None:
        """Check what the key buffer asks for: the rows of a group lie in different banks, and no group wraps around."""
        if self.key_lines == 0:
            return
        if self.key_lines == 1:
            raise AcceleratorError("buffers.key_lines must be 0 (no key buffer) or at least 2, not 1")
        for name in ("rows", "drain_rows"):
            if getattr(self, name) & (getattr(self, name) - 1):
                raise AcceleratorError(
                    f"array.{name} must be a power of two where there is a key buffer, not {getattr(self, name)} "
                    "(buffers.key_lines: 0 leaves it out)"
                )
        if self.drain_rows > self.columns:
            raise AcceleratorError(
                f"array.drain_rows must be at most array.columns ({self.columns}) where there is a key buffer, "
                f"not {self.drain_rows}"
            )

    # --- derived sizes -------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> int:
        """Binary multiply-accumulates per cycle."""
        return self.rows * self.columns * self.word_bits

    @property
    def count_bits(self) -> int:
        """Width of a popcount accumulator."""
        return self.sum_bits - 1

    @property
    def max_inputs(self) -> int:
        """Largest K, padded to whole words, that a sum can hold with room for a threshold that never fires."""
        return (1 << (self.sum_bits - 1)) - 2

    @property
    def threshold_entry_bits(self) -> int:
        """Width of one threshold in memory: a signed number with the polarity as its top bit."""
        return 16 if self.sum_bits <= 15 else 32

    @property
    def beat_bytes(self) -> int:
        """Bytes moved by one beat of the memory port."""
        return self.port_bits // 8

    @property
    def line_bits(self) -> int:
        """Width of one line of the activation, weight and key buffers."""
        written = max(self.columns, self.rows if self.key_lines else 1, self.vector_lanes, self.row_lanes)
        return max(self.port_bits, self.word_bits, written)

    @property
    def line_beats(self) -> int:
        """Beats that fill one line of the activation and weight buffers."""
        return self.line_bits // self.port_bits

    @property
    def line_words(self) -> int:
        """Words in one line of the activation, weight and key buffers."""
        return self.line_bits // self.word_bits

    @property
    def line_groups(self) -> int:
        """Column groups in one line of the activation and key buffers."""
        return self.line_bits // self.columns

    @property
    def line_row_groups(self) -> int:
        """Row tiles in one line of the key buffer, where it is written transposed."""
        return self.line_bits // self.rows

    @property
    def line_slices(self) -> int:
        """Slices of `vector_lanes` bits in one line of the activation buffer."""
        return self.line_bits // self.vector_lanes

    @property
    def line_row_slices(self) -> int:
        """Slices of `row_lanes` bits in one line of the activation buffer."""
        return self.line_bits // self.row_lanes

    @property
    def sum_line_sums(self) -> int:
        """Sums in one line of the sums buffer."""
        return max(self.columns, self.vector_lanes)

    @property
    def sum_line_groups(self) -> int:
        """Column groups in one line of the sums buffer."""
        return self.sum_line_sums // self.columns

    @property
    def score_line_sums(self) -> int:
        """Sums in one line of the score buffer."""
        return max(self.columns, self.row_lanes)

    @property
    def score_line_groups(self) -> int:
        """Column groups in one line of the score buffer."""
        return self.score_line_sums // self.columns

    @property
    def table_line_bits(self) -> int:
        """Width of one line of the table buffer: entries of 16 bits, levels of 32."""
        return max(self.port_bits, 32)

    @property
    def token_line_bits(self) -> int:
        """Width of one line of the token buffer: ids of 16 bits."""
        return max(self.port_bits, 16)

    @property
    def word_line_bits(self) -> int:
        """Width of one line of the word buffer: the scale of a word, or some of its bits."""
        return max(self.port_bits, self.vector_lanes, 16)

    @property
    def word_line_slices(self) -> int:
        """Slices of `vector_lanes` bits in one line of the word buffer."""
        return self.word_line_bits // self.vector_lanes

    @property
    def embedding_line_bits(self) -> int:
        """Width of one line of the embedding buffer: a number of 16 bits for each vector lane, whole beats."""
        return max(16 * self.vector_lanes, self.port_bits)

    @property
    def parameter_line_bits(self) -> int:
        """Width of one line of the scale and level buffers: an entry for each lane, whole beats."""
        return max(PARAMETER_BITS * self.vector_lanes, self.port_bits)

    @property
    def parameter_line_beats(self) -> int:
        """Beats that fill one line of the scale and level buffers."""
        return self.parameter_line_bits // self.port_bits

    @property
    def threshold_line_beats(self) -> int:
        """Beats that fill one line of the threshold buffer: one threshold for each column."""
        return -(-self.columns * self.threshold_entry_bits // self.port_bits)

    @property
    def threshold_line_bits(self) -> int:
        """Width of one line of the threshold buffer."""
        return self.threshold_line_beats * self.port_bits

    @property
    def output_line_bits(self) -> int:
        """Width of one line of the output buffer; a stored row is a whole number of words as well, and a logit fits."""
        return max(self.port_bits, self.columns, self.word_bits, 32 if self.classes else 1)

    @property
    def output_line_beats(self) -> int:
        """Beats in one line of the output buffer."""
        return self.output_line_bits // self.port_bits

    @property
    def output_line_groups(self) -> int:
        """Column groups in one line of the output buffer."""
        return self.output_line_bits // self.columns

    @property
    def instruction_beats(self) -> int:
        """Beats of one instruction."""
        return 256 // self.port_bits

    # --- identity ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters, grouped in sections as in the YAML file."""
        result: dict[str, Any] = {"format": FORMAT, "name": self.name}
        for section in SECTIONS:
            result[section] = {n: getattr(self, n) for n, f in FIELDS.items() if f.section == section}
        result["implementation"]["counters"] = self.counters
        return result

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the parameters (the name included)."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def replace(self, **changes: Any) -> Accelerator:
        """Return a copy with some parameters changed, checked again."""
        return dataclasses.replace(self, **changes)


def _check_name(name: Any) -> None:
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not name[0].isalpha() or set(name) - set(allowed):
        raise AcceleratorError(
            f"name must be 1 to 64 letters, digits, '_' or '-', starting with a letter, not {shown(name)}"
        )
