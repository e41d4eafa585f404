"""The parameters of an accelerator: section and legal range of each, in the order of the YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hw.messages import shown


class AcceleratorError(ValueError):
    """An accelerator that cannot be built; the message says which field, what was expected and what was got."""


@dataclass(frozen=True)
class Parameter:
    """The legal range of one integer parameter."""

    section: str
    low: int
    high: int
    power_of_two: bool = False

    @property
    def expectation(self) -> str:
        """The legal range in words, as in `must be ...`."""
        kind = "a power of two" if self.power_of_two else "an integer"
        return f"{kind} from {self.low} to {self.high}"

    def holds(self, value: Any) -> bool:
        """Return whether a value is legal."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            return False
        return not (self.power_of_two and value & (value - 1))

    def check(self, name: str, value: Any) -> None:
        """Raise an AcceleratorError unless a value is legal."""
        if not self.holds(value):
            raise AcceleratorError(f"{self.section}.{name} must be {self.expectation}, not {shown(value)}")


FIELDS: dict[str, Parameter] = {
    "rows": Parameter("array", 1, 64),
    "columns": Parameter("array", 1, 64, power_of_two=True),
    "word_bits": Parameter("array", 1, 1024, power_of_two=True),
    "pipeline": Parameter("array", 0, 11),
    "sum_bits": Parameter("array", 4, 31),
    "drain_rows": Parameter("array", 1, 64),
    "code_bits": Parameter("array", 1, 8, power_of_two=True),
    "activation_lines": Parameter("buffers", 2, 65536),
    "weight_lines": Parameter("buffers", 2, 65536),
    "key_lines": Parameter("buffers", 0, 65536),
    "threshold_lines": Parameter("buffers", 2, 65536),
    "output_lines": Parameter("buffers", 2, 65536),
    "vector_lanes": Parameter("vector", 0, 128),
    "sum_lines": Parameter("vector", 2, 65536),
    "fixed_lines": Parameter("vector", 2, 65536),
    "scale_lines": Parameter("vector", 2, 65536),
    "level_lines": Parameter("vector", 2, 65536),
    "row_lanes": Parameter("attention", 0, 128),
    "score_lines": Parameter("attention", 2, 65536),
    "score_slots": Parameter("attention", 1, 16),
    "table_lines": Parameter("attention", 2, 65536),
    "token_lines": Parameter("text", 0, 65536),
    "word_lines": Parameter("text", 2, 65536),
    "embedding_lines": Parameter("text", 2, 65536),
    "classes": Parameter("text", 0, 1024),
    "port_bits": Parameter("memory", 8, 256, power_of_two=True),
    "burst_beats": Parameter("memory", 1, 256),
    "reads_in_flight": Parameter("memory", 1, 64),
    "writes_in_flight": Parameter("memory", 1, 64),
    "fetch_depth": Parameter("queues", 1, 16),
    "queue_depth": Parameter("queues", 1, 16),
    "transfers_in_flight": Parameter("queues", 1, 16),
    "clock_mhz": Parameter("implementation", 1, 2000),
}

SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(field.section for field in FIELDS.values()))
