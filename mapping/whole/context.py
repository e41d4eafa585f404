"""What the parts of the lowering share: the network, the accelerator, the rows of the run, and what was made so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hw.arch import Accelerator
from hw.isa import Unit
from hw.parameters import FIELDS
from mapping.errors import MappingError
from mapping.whole.image import Image
from mapping.whole.parameters import Packing, Parameters
from mapping.whole.work import Area, Datum, Emit, Parcel, Work
from model.network import Network
from model.operation import Operation
from model.values import Value

NO_PACKING = Packing(1, 0, 0)


def _parameter(space: str) -> str:
    return {"sums": "sum_lines", "score": "score_lines", "slot": "score_slots"}.get(space, f"{space}_lines")


@dataclass
class Stored:
    """A value as it stands in a buffer: a datum for each row tile, or for each tile and head."""

    data: list[Datum]
    packing: Packing = NO_PACKING
    lines: int = 0
    """Lines from one head to the next, in attention operands."""
    plane_lines: int = 0
    """Lines from one plane of codes of several bits to the next."""
    shared: bool = False
    """Whether its lines are those of another value, so that nothing may be written over it."""


@dataclass
class Context:
    """The state of a lowering. `types` are those of the tokens of the run, whose ids stand at `ids_address`.

    `done` has the operations that were made, `needed` those of the member at hand.
    """

    network: Network
    accelerator: Accelerator
    types: Sequence[int]
    ids_address: int
    logits_address: int
    image: Image = field(default_factory=Image)
    works: list[Work] = field(default_factory=list)
    stored: dict[tuple[str, str], Stored] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    needed: frozenset[str] = frozenset()
    word_tables: dict[str, int] = field(default_factory=dict)
    votes: list[Work] = field(default_factory=list)
    attentions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters = Parameters(self.accelerator, self.image)
        self.operations: dict[str, Operation] = {o.name: o for o in self.network.operations}
        self.readers: dict[str, list[Operation]] = defaultdict(list)
        for operation in self.network.operations:
            for source in dict.fromkeys(operation.sources):
                self.readers[source].append(operation)

    @property
    def rows(self) -> int:
        """Rows of the run."""
        return len(self.types)

    def rows_of(self, name: str) -> int:
        """Rows of a value in this run: 1 after `first` and `mean`."""
        return self.rows if self._many(name) else 1

    def _many(self, name: str) -> bool:
        while name != "input":
            operation = self.operations[name]
            if operation.op in ("first", "mean"):
                return False
            name = operation.sources[0]
        return True

    def tiles(self, name: str) -> list[int]:
        """Return the rows of each row tile of a value."""
        rows, height = self.rows_of(name), self.accelerator.rows
        return [min(height, rows - start) for start in range(0, rows, height)]

    def value(self, name: str) -> Value:
        """Return what is known of a value."""
        return self.network.values[name]

    def slices(self, channels: int) -> int:
        """Slices of a row."""
        return -(-channels // self.accelerator.vector_lanes)

    def groups(self, channels: np.ndarray) -> list[np.ndarray]:
        """Cut channels into column groups; the last one is filled up with -1."""
        columns = self.accelerator.columns
        padded = np.full(-(-len(channels) // columns) * columns, -1, np.int64)
        padded[: len(channels)] = channels
        return list(padded.reshape(-1, columns))

    def add(
        self,
        name: str,
        unit: Unit,
        cycles: int,
        emit: Emit,
        *,
        reads: Sequence[Datum] = (),
        writes: Sequence[Datum] = (),
        parcels: Sequence[Parcel] = (),
        after: Sequence[Work] = (),
        turn: tuple[int, ...] | None = None,
    ) -> Work:
        """Append work; of those that could start as early, the one whose turn is first goes first."""
        place = (len(self.works),) if turn is None else turn
        work = Work(name, unit, cycles, emit, list(reads), list(writes), list(parcels), list(after), place)
        self.works.append(work.link())
        return work

    def attention_turn(self, name: str, *place: int) -> tuple[int, ...]:
        """Return the turn of work that leads to the context of these scores, ordered by `place`."""
        return (self.attentions.setdefault(name, len(self.works)), *place)

    def area(self, space: str, lines: int, name: str) -> Area:
        """Return a new area, refusing one that its buffer can never hold."""
        have = self.size(space)
        if lines > have:
            raise MappingError(f"{name}: {self.field(space)} must be at least {lines}, not {have}")
        return Area(space, lines, name)

    def size(self, space: str) -> int:
        """Lines of a buffer."""
        return int(getattr(self.accelerator, _parameter(space)))

    def field(self, space: str) -> str:
        """Return the name of the parameter that says how many lines a buffer has."""
        return f"{FIELDS[_parameter(space)].section}.{_parameter(space)}"

    def check_sums(self, operation: Operation, reach: int) -> None:
        """Refuse an operation whose sums reach so far that the array cannot hold them."""
        a = self.accelerator
        if reach > a.max_inputs:
            need = (reach + 1).bit_length() + 1
            raise self.refuse(operation, f"array.sum_bits must be at least {need}, not {a.sum_bits}")

    def refuse(self, operation: Operation, text: str) -> MappingError:
        """Return the error for an operation that cannot be mapped."""
        return MappingError(f"{operation.name} ({operation.op}): {text}")
