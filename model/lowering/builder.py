"""The network under construction: operations in order, the values that they give, and what the report will say."""

from __future__ import annotations

from typing import Any, TypeVar

from model.fields import INPUT
from model.lowering.report import CodesEntry, ExponentialsEntry, FormatEntry, LogitsEntry, TableEntry
from model.operation import Operation
from model.values import Value, tokens

Entry = TypeVar("Entry", CodesEntry, FormatEntry, TableEntry, ExponentialsEntry, LogitsEntry)


class Builder:
    """Collects operations and entries of the report for a network that reads sentences of up to `rows` tokens."""

    def __init__(self, rows: int) -> None:
        self.operations: list[Operation] = []
        self.values: dict[str, Value] = {INPUT: tokens(rows)}
        self.entries: list[Any] = []

    def add(self, operation: Operation) -> str:
        """Append an operation and return the name of its value."""
        sources = [self.values[source] for source in operation.sources]
        self.values[operation.name] = operation.result(sources)
        self.operations.append(operation)
        return operation.name

    def branch(self) -> Builder:
        """Return a builder that knows the values of this one and has no operations and entries of its own yet."""
        branch = Builder(self.values[INPUT].rows)
        branch.values = dict(self.values)
        return branch

    def take(self, branch: Builder) -> None:
        """Append what a branch has collected."""
        for operation in branch.operations:
            self.add(operation)
        self.entries.extend(branch.entries)

    def note(self, entry: Entry) -> None:
        """Keep an entry for the report."""
        self.entries.append(entry)

    def noted(self, kind: type[Entry]) -> tuple[Entry, ...]:
        """Return the entries of one kind, in order."""
        return tuple(entry for entry in self.entries if isinstance(entry, kind))
