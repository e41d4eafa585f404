"""What all operations share: their sources, and how one that does not fit is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from model.checks import count_of, refuse, require
from model.fields import Record
from model.values import Value

OPERATIONS: dict[str, type[Operation]] = {}


@dataclass(frozen=True, eq=False)
class Operation(Record):
    """An operation: it reads the values that `sources` names, and the value that it gives has its own name.

    A class of operations says what its `op` is called in the file and `accepts`, for each source, its forms ("fixed or
    sums"); with `many`, the last stands for any number of sources.
    """

    op: ClassVar[str]
    accepts: ClassVar[tuple[str, ...]]
    many: ClassVar[bool]

    sources: tuple[str, ...]

    def __init_subclass__(cls, *, op: str, accepts: tuple[str, ...], many: bool = False) -> None:
        cls.op, cls.accepts, cls.many = op, accepts, many
        OPERATIONS[op] = cls

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.accepts)
        legal = isinstance(self.sources, (tuple, list)) and all(isinstance(source, str) for source in self.sources)
        fits = legal and (len(self.sources) >= count if self.many else len(self.sources) == count)
        names = f"{count} or more names" if self.many else count_of(count, "name")
        require(fits, f"{self.name}.sources", names, self.sources)
        object.__setattr__(self, "sources", tuple(self.sources))

    def result(self, values: Sequence[Value]) -> Value:
        """Return the value that the operation gives for its sources' values."""
        for index, value in enumerate(values):
            forms = self.accepts[min(index, len(self.accepts) - 1)]
            self.require_source(values, index, value.form in forms.split(" or "), forms)
            rows = "one row" if values[0].rows == 1 else "n rows"
            self.require_source(values, index, value.rows == values[0].rows, f"of {rows} as {self.sources[0]!r} is")
        return self.infer(values)

    def infer(self, values: Sequence[Value]) -> Value:
        """Return the value for sources of the right forms and of the same rows."""
        raise NotImplementedError

    def require_source(self, values: Sequence[Value], index: int, holds: bool, expected: str) -> None:
        """Refuse a source whose value does not fit."""
        if not holds:
            refuse(f"{self.name}.sources[{index}]", expected, f"the {values[index]} of {self.sources[index]!r}")

    def require_channels(self, values: Sequence[Value]) -> None:
        """Refuse a first source that does not have the channels of the operation's arrays."""
        channels = self.sizes["channels"]
        self.require_source(values, 0, values[0].channels == channels, f"of {count_of(channels, 'channel')}")
