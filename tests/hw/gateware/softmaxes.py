"""SOFTMAXs: their steps and what comes of them, in the words of docs/machine-network.md, sections 2 and 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from hw.arch import Accelerator
from tests.hw.gateware.clockwork import fold
from tests.hw.gateware.rows import round_shift

Operands = dict[str, int]
Outputs = dict[str, int]
STAGES = 6
CARRIED = ("table_line", "last_entry", "multiplier", "shift")
DEFAULTS = {"score_line": 0, "code_line": 0, "code_group": 0, "code_plane_stride": 0, "slot": 0, "planes": 1}
DEFAULTS |= {"table_line": 0, "last_entry": 0, "multiplier": 0, "shift": 0, "level_line": 0, "rows": 1, "keys": 1}


def maximum_line(a: Accelerator, slot: int, row: int) -> int:
    """Return the line in which the maximum of a row stands: slots one behind the other, in powers of two."""
    groups = -(-a.rows // a.drain_rows)
    return slot << (groups - 1).bit_length() | row // a.drain_rows


def steps_of(a: Accelerator, softmax: Operands) -> Iterator[Outputs]:
    """Return what the counter shows in each step: the first pass, then the second one."""
    lanes, keys, rows, planes = a.row_lanes, softmax["keys"], softmax["rows"], softmax["planes"]
    slices = -(-keys // lanes)
    levels = 2**planes - 1
    for second in (0, 1):
        for r in range(rows):
            inner = [(q, u) for q in range(slices) for u in range(planes)]
            for q, u in inner if second else [(q, 0) for q in range(max(slices, levels))]:
                last = (q, u) == inner[-1] if second else q == max(slices, levels) - 1
                at = min(q, slices - 1)
                valid = max(0, min(lanes, keys - q * lanes))
                position = softmax["code_group"] + at
                code_line = softmax["code_line"] + u * softmax["code_plane_stride"] + position // a.line_row_slices
                first_line = softmax["score_line"] + r // a.drain_rows * -(-keys // a.score_line_sums)
                step = {
                    "valid": 1,
                    "second": second,
                    "end": int(second and last and r == rows - 1),
                    "pass_end": int(not second and last and r == rows - 1),
                    "row": r,
                    "row_end": int(last),
                    "whole": int(valid == lanes),
                    "bank": r % a.drain_rows,
                    "piece": at * lanes % a.score_line_sums // lanes,
                    "score_line": (first_line + at * lanes // a.score_line_sums) % 65536,
                    "maximum_line": maximum_line(a, softmax["slot"], r),
                    **{name: softmax[name] for name in CARRIED},
                }
                step |= {} if valid == lanes else {"rest": valid}
                if second:
                    step |= {"code_line": code_line % 65536, "position": position % a.line_row_slices}
                if a.code_bits > 1:
                    step |= {"levels": levels} | ({"plane_bit": planes - 1 - u} if second else {})
                yield step


def random_operands(a: Accelerator, random: Random) -> Operands:
    """Return operands of any size, in which lines wrap around; they need not make sense together."""
    far = random.choice([0, 1, 65535, random.randrange(65536)])
    keys = [1, a.row_lanes, a.row_lanes + 1, random.randint(1, 4 * a.score_line_sums), random.randint(1, 9)]
    return {
        **{n: random.choice([far, random.randrange(64)]) for n in ("score_line", "code_line", "table_line")},
        "level_line": random.randrange(65536),
        "code_group": random.choice([0, a.line_row_slices - 1, a.line_row_slices, random.randrange(65536)]),
        "code_plane_stride": random.choice([0, 1, far]),
        "keys": min(random.choice(keys), 1024),
        "rows": random.choice([1, min(a.rows, 3), a.rows, random.randint(1, a.rows)]),
        "slot": random.randrange(a.score_slots),
        "last_entry": random.choice([0, 65535, random.randrange(65536)]),
        "multiplier": random.choice([0, 65535, random.randrange(65536)]),
        "shift": random.choice([0, 31, random.randrange(32)]),
        "planes": random.choice([planes for planes in (1, 2, 4) if planes <= a.code_bits]),
    }


@dataclass
class Tables:
    """Scores by bank and line, maxima by (slot, row), entries and levels by the number of their place."""

    scores: list[list[list[int]]]
    maxima: dict[tuple[int, int], int]
    entries: list[int]
    levels: list[int]


def entry_of(distance: int, softmax: Outputs, table: list[int]) -> int:
    """Return E of a score that lies so far below the largest one."""
    index = min(round_shift(distance * softmax["multiplier"], softmax["shift"]), softmax["last_entry"])
    return table[index]


def limit_of(level: int, total: int) -> int:
    """Return T, the smallest entry that reaches a level, or 65,536 where none does."""
    return min(-(-level * total // 2**20), 65536)


def codes_of(row: list[int], softmax: Outputs, table: list[int], levels: list[int]) -> list[int]:
    """Return the codes of a row as docs/arithmetic.md, section 9, has them."""
    entries = [entry_of(max(row) - score, softmax, table) for score in row]
    total = sum(entries)
    return [sum(entry * 2**20 >= level * total for level in levels) for entry in entries]


@dataclass
class Step:
    """A step in the pipeline, and what comes of it."""

    at: Outputs
    bits: int = 0
    entries: list[int] = field(default_factory=list)


class Twin:
    """The pipeline of docs/machine-network.md, section 3: asked once a cycle, then stepped.

    `per_line` is how many entries, and how many levels, stand in a line of the table buffer. `words` are those of all
    steps that have left, limits included; the unit has `shown` the first ones of them.
    """

    def __init__(self, a: Accelerator, tables: Tables) -> None:
        self.a, self.tables = a, tables
        self.per_line = (a.table_line_bits // 16, a.table_line_bits // 32)
        self.softmax: Operands = {}
        self.coming: list[Outputs] = []
        self.stages: list[Step | None] = [None] * STAGES
        self.begins: int | None = 0
        self.total = 0
        self.limits: dict[int, list[int]] = {}
        self.words: list[int] = []
        self.shown: list[int] = []
        self.retired = 0
        self.pulse = -1
        self.cycle = 0

    def writes(self) -> bool:
        last = self.stages[-1]
        return bool(last and last.at["second"])

    def moves(self, taken: int) -> bool:
        return not (self.writes() and taken)

    def may_enter(self) -> bool:
        """Return whether a step is there, and its pass has begun."""
        return bool(self.coming) and self.begins is not None and self.cycle >= self.begins

    def accepts(self, taken: int) -> bool:
        return not self.coming or (len(self.coming) == 1 and self.may_enter() and self.moves(taken))

    def outputs(self, taken: int) -> Outputs:
        """Return what the unit shows in this cycle. The words of the limits come when they come."""
        last, moves = self.stages[-1], self.moves(taken)
        writes = self.writes() and moves
        expected: Outputs = {
            "issue.can_accept": self.accepts(taken),
            "entering": self.may_enter() and moves,
            "stopped": not moves or (bool(self.coming) and not self.may_enter()),
            "retire": self.cycle == self.pulse,
            "words.end": bool(last and moves and last.at["end"]),
            "activation.banks": 0,
        }
        if last and writes:
            expected |= {"words.valid": 1, "words.fold": fold(last.bits), "activation.banks": 1 << last.at["row"]}
            expected |= {"activation.line": last.at["code_line"], "activation.position": last.at["position"]}
            expected |= {"activation.data": last.bits}
        return expected

    def step(self, taken: int, issued: Operands | None) -> None:
        """Go on to the next cycle."""
        if self.moves(taken):
            self.leave(self.stages[-1])
            following = None
            if self.may_enter():
                following = self.made(self.coming.pop(0))
                if following.at["pass_end"]:
                    self.begins = None
            self.stages = [following, *self.stages[:-1]]
        if issued:
            self.softmax, self.coming, self.begins = issued, list(steps_of(self.a, issued)), self.cycle + 1
        self.cycle += 1

    def made(self, at: Outputs) -> Step:
        """Return a step, from what the buffers hold as it enters."""
        a, step = self.a, Step(at)
        line = self.tables.scores[at["bank"]][at["score_line"] % len(self.tables.scores[0])]
        valid = at.get("rest", a.row_lanes)
        largest = self.tables.maxima[self.softmax["slot"], at["row"]]
        table = self.tables.entries[at["table_line"] * self.per_line[0] :]
        for lane in range(valid):
            entry = entry_of(largest - line[at["piece"] * a.row_lanes + lane], at, table)
            step.entries.append(entry)
            if at["second"]:
                code = sum(entry >= limit for limit in self.limits[at["row"]])
                step.bits |= (code >> at.get("plane_bit", 0) & 1) << lane
        return step

    def leave(self, step: Step | None) -> None:
        if step is None:
            return
        if step.at["second"]:
            self.words.append(fold(step.bits))
            if step.at["end"]:
                self.pulse = self.cycle + 1
                self.retired += 1
            return
        self.total += sum(step.entries)
        if step.at["row_end"]:
            levels = self.tables.levels[self.softmax["level_line"] * self.per_line[1] :]
            count = 2 ** self.softmax["planes"] - 1
            limits = [limit_of(level, self.total) for level in levels[:count]]
            self.limits[step.at["row"]], self.total = limits, 0
            self.words += limits
        if step.at["pass_end"]:
            self.begins = self.cycle + 8 + 2 ** self.softmax["planes"] - 1
