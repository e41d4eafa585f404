"""VECTORs: their steps and what comes of them, in the words of docs/machine.md, sections 2 and 3.9."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from hw.arch import Accelerator
from hw.isa import Source
from tests.hw.gateware.clockwork import fold
from tests.hw.gateware.rows import inverse_root, round_shift, saturated

Operands = dict[str, int]
Outputs = dict[str, int]
STAGES = 6
_FLAGS = ("maximum", "normalise", "scale", "add", "multiply", "keep", "statistics")
_ZEROS = (*_FLAGS, "sets", "shift", "epsilon", "code_signed", "code_group")
_LINES = ("typed", "fixed_line", "add_line", "scale_line", "level_line", "code_line", "code_line_1", "code_line_2")
DEFAULTS = dict.fromkeys((*_ZEROS, *_LINES), 0) | {"planes": 1}


def steps_of(a: Accelerator, vector: Operands) -> Iterator[Outputs]:
    """Return what the counter shows in each step."""
    lanes, channels = a.vector_lanes, vector["channels"]
    slices = -(-channels // lanes)
    for r in range(vector["rows"]):
        for q in range(slices):
            from_fixed = vector["source"] == Source.FIXED
            sum_line = r // a.drain_rows * -(-channels // a.sum_line_sums) + q * lanes // a.sum_line_sums
            offset, position = divmod(vector["code_group"] + q, a.line_slices)
            for u in range(vector["planes"]):
                of_planes = vector["code_line"] + u * vector["code_line_1"] * (vector["planes"] > 1)
                code_lines = [of_planes, vector["code_line_1"], vector["code_line_2"]]
                row_end = q == slices - 1
                step = {
                    "valid": 1,
                    "end": int(row_end and r == vector["rows"] - 1 and u == vector["planes"] - 1),
                    "row": r,
                    "row_end": int(row_end),
                    "from_fixed": int(from_fixed),
                    "bank": r % a.drain_rows,
                    "piece": q * lanes % a.sum_line_sums // lanes,
                    "source_line": vector["source_line"] + (r * slices + q if from_fixed else sum_line),
                    "scale_line": vector["scale_line"] + q,
                    "add_line": vector["add_line"] + r * slices + q,
                    "fixed_line": vector["fixed_line"] + r * slices + q,
                    "level_line": vector["level_line"] + q,
                    "code_lines": sum((line + offset) % 65536 << 16 * s for s, line in enumerate(code_lines)),
                    "position": position,
                }
                step |= {name: number % 65536 for name, number in step.items() if name.endswith("_line")}
                step |= {n: vector[n] for n in (*_FLAGS, "sets", "shift")}
                step |= {"rest": channels - q * lanes} if row_end else {}
                step |= {"mean": 0, "table": 0, "silent": 0} | ({"classify": 0} if a.classes else {})
                if a.token_lines:
                    step |= text_of(a, vector, r, q, slices)
                if a.code_bits > 1:
                    step |= {"planes": vector["planes"], "code_signed": vector["code_signed"]}
                    step |= {"plane_bit": vector["planes"] - 1 - u}
                yield step


def text_of(a: Accelerator, vector: Operands, r: int, q: int, slices: int) -> Outputs:
    """Return where a step of an embedding finds the word and the type of its row."""
    in_a_line = a.word_line_bits // a.vector_lanes
    word_line = vector["source_line"] + r * (1 + -(-slices // in_a_line))
    lines = {"word_line": word_line, "bits_line": word_line + 1 + q // in_a_line}
    lines["type_line"] = vector["scale_line"] + q + vector["typed"] * r * slices
    where = {"from_text": int(vector["source"] == Source.EMBEDDING), "bits_piece": q % in_a_line}
    return where | {name: line % 65536 for name, line in lines.items()}


def random_operands(a: Accelerator, random: Random) -> Operands:
    """Return operands of any size, in which lines wrap around; they need not make sense together."""
    far = random.choice([0, 1, 65535, random.randrange(65536)])
    lines = ("source_line", "fixed_line", "add_line", "scale_line", "level_line", "code_line", "code_line_1")
    few = random.random() < 0.5
    channels = [1, a.vector_lanes, a.vector_lanes + 1, random.randint(1, (2 if few else 9) * a.sum_line_sums)]
    return {
        **{name: random.choice([far, random.randrange(64)]) for name in (*lines, "code_line_2")},
        **{name: random.getrandbits(1) for name in (*_FLAGS, "code_signed", "typed")},
        "source": random.randrange(3 if a.token_lines else 2),
        "sets": random.randrange(4),
        "shift": random.randrange(32),
        "epsilon": random.getrandbits(31),
        "channels": random.choice(channels),
        "rows": random.choice([1, a.rows, random.randint(1, a.rows)]),
        "code_group": random.choice([0, a.line_slices - 1, a.line_slices, random.randrange(65536)]),
        "planes": random.choice([1, 1, random.randint(1, a.code_bits)]),
    }


@dataclass
class Norm:
    """What the unit holds of a row."""

    channels: int
    total: int
    root: int
    distance: int

    def apply(self, value: int) -> int:
        return saturated(round_shift((self.channels * value - self.total) * self.root, self.distance), 18)


def norm_of(row: list[int], epsilon: int) -> Norm:
    """Return what step 2 needs of a row: nothing but zeros come of a V of 0."""
    variance = len(row) * sum(x * x for x in row) - sum(row) ** 2 + epsilon
    root, e = inverse_root(variance) if variance else (0, 0)
    return Norm(len(row), sum(row), root, 3 + e)


class Scale(NamedTuple):
    """An entry of the scale buffer; `top` are the bits above the addend."""

    multiplier: int
    addend: int
    top: int = 0xABCD

    def entry(self) -> int:
        return self.multiplier % 65536 | self.addend % (1 << 32) << 16 | self.top << 48


@dataclass
class Tables:
    """The buffers: sums by bank and line, the others by line, lane by lane; lines of words are whole numbers.

    `curves` are those of which the scale buffer has the pieces, by the shift and the line of piece 0.
    """

    sums: list[list[list[int]]]
    fixed: list[list[int]]
    scales: list[list[Scale]]
    levels: list[list[list[tuple[int, int]]]]
    words: list[int]
    embeddings: list[list[int]]
    curves: dict[tuple[int, int], list[int]] = field(default_factory=dict)


@dataclass
class Step:
    """A step in the pipeline, and what comes of it."""

    at: Outputs
    epsilon: int
    numbers: list[int]
    bits: list[int] = field(default_factory=list)
    lanes: int = 0

    def word(self, a: Accelerator) -> int:
        kept = self.kept() if self.at["keep"] else 0
        bits = sum(number << a.vector_lanes * s for s, number in enumerate(self.bits))
        return kept | bits << 16 * a.vector_lanes

    def kept(self) -> int:
        return sum(number % 65536 << 16 * lane for lane, number in enumerate(self.numbers[: self.lanes]))


def results_of(a: Accelerator, vector: Operands, at: Outputs, tables: Tables, norms: dict[int, Norm]) -> Step:
    """Return what a step makes, from what the buffers hold as it enters."""
    width = a.vector_lanes
    lanes = at.get("rest", width)
    step = Step(at, vector["epsilon"], [], lanes=lanes)
    for lane in range(width):
        if at.get("from_text"):
            v = embedded(a, at, lane, tables)
        elif at["from_fixed"]:
            v = tables.fixed[at["source_line"]][lane]
        else:
            v = tables.sums[at["bank"]][at["source_line"]][at["piece"] * width + lane]
        if at["normalise"]:
            v = norms[at["row"]].apply(v)
        if at["scale"]:
            if at["multiply"]:
                multiplier, addend = tables.fixed[at["add_line"]][lane], 0
            else:
                multiplier, addend, _ = tables.scales[at["scale_line"]][lane]
            low, high = bounds(vector)
            v = min(max(round_shift(v * multiplier + addend, at["shift"]), low), high)
        if at["add"]:
            other = tables.fixed[at["add_line"]][lane]
            v = max(v, other) if at["maximum"] else saturated(v + other, 16)
        step.numbers.append(v)
    for s in range(at["sets"]):
        if vector["planes"] > 1:
            bits = [number >> at["plane_bit"] & 1 for number in step.numbers]
        else:
            levels = [lane[s] for lane in tables.levels[at["level_line"]]]
            bits = [(y >= t) ^ polarity for y, (t, polarity) in zip(step.numbers, levels, strict=True)]
        step.bits.append(sum(bit << lane for lane, bit in enumerate(bits[:lanes])))
    return step


def embedded(a: Accelerator, at: Outputs, lane: int, tables: Tables) -> int:
    """Return a number of an embedding: the word's scale with the sign of its bit, the place and the type."""
    words, embeddings = tables.words, tables.embeddings
    scale = words[at["word_line"] % len(words)] & 0xFFFF
    bit = words[at["bits_line"] % len(words)] >> at["bits_piece"] * a.vector_lanes + lane & 1
    place, kind = (embeddings[at[name] % len(embeddings)][lane] for name in ("add_line", "type_line"))
    return saturated((scale if bit else -scale) + place + kind, 16)


def bounds(vector: Operands) -> tuple[int, int]:
    """Return the least and the largest result of `scale`."""
    bits = vector["planes"]
    if bits == 1:
        return -32768, 32767
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if vector["code_signed"] else (0, (1 << bits) - 1)


class Twin:
    """The pipeline of docs/machine.md, 3.9: asked once a cycle, then stepped."""

    def __init__(self, a: Accelerator, tables: Tables) -> None:
        self.a, self.tables = a, tables
        self.entering: list[tuple[Operands, Outputs]] = []
        self.stages: list[Step | None] = [None] * STAGES
        self.written = 0
        self.norms: dict[int, Norm] = {}
        self.row: list[int] = []
        self.pulses: list[int] = []
        self.outstanding = 0
        self.blocked = False
        self.unblocked = 0
        self.cycle = 0

    def writes(self, taken: int) -> bool:
        last = self.stages[-1]
        return bool(last and last.at["sets"] and not taken)

    def moves(self, taken: int) -> bool:
        last = self.stages[-1]
        if not last or not last.at["sets"]:
            return True
        return self.writes(taken) and self.written == last.at["sets"] - 1

    def accepts(self, taken: int) -> bool:
        ends = not self.entering or (self.moves(taken) and len(self.entering) == 1)
        return ends and not self.blocked

    def outputs(self, taken: int) -> Outputs:
        """Return what the unit shows in this cycle."""
        a, last, moves = self.a, self.stages[-1], self.moves(taken)
        expected: Outputs = {
            "issue.can_accept": self.accepts(taken),
            "entering": bool(self.entering and moves),
            "stopped": not moves,
            "retire": self.cycle in self.pulses,
            "words.valid": bool(last and moves and not last.at["silent"]),
            "words.end": bool(last and moves and last.at["end"] and not last.at["silent"]),
            "fixed.enable": bool(last and moves and last.at["keep"]),
            "activation.banks": 0,
        }
        if last and moves and not last.at["silent"]:
            expected |= {"words.fold": fold(last.word(a))}
            expected |= {"fixed.line": last.at["fixed_line"], "fixed.data": last.kept()} if last.at["keep"] else {}
        if last and self.writes(taken):
            line = last.at["code_lines"] >> 16 * self.written & 0xFFFF
            expected |= {"activation.banks": 1 << last.at["row"], "activation.line": line}
            expected |= {"activation.position": last.at["position"], "activation.data": last.bits[self.written]}
        return expected

    def step(self, taken: int, issued: Operands | None) -> None:
        """Go on to the next cycle."""
        moves, writes = self.moves(taken), self.writes(taken)
        self.outstanding -= self.cycle in self.pulses
        if self.cycle == self.unblocked:
            self.blocked = False
        self.written = 0 if moves else self.written + writes
        if moves:
            self.leave(self.stages[-1])
            following = None
            if self.entering:
                vector, at = self.entering.pop(0)
                following = self.enter(vector, at)
            self.stages = [following, *self.stages[:-1]]
        if issued:
            self.entering = [(issued, at) for at in self.steps(issued)]
            self.outstanding += 1
            self.blocked = self.blocks(issued)
        self.cycle += 1

    def steps(self, issued: Operands) -> Iterator[Outputs]:
        return steps_of(self.a, issued)

    def blocks(self, issued: Operands) -> bool:
        return bool(issued["statistics"])

    def enter(self, vector: Operands, at: Outputs) -> Step:
        return results_of(self.a, vector, at, self.tables, self.norms)

    def pulse(self, step: Step) -> int:
        """Return how many cycles after the last step of its instruction has left the pulse comes."""
        return 12 if step.at["statistics"] else 1

    def leave(self, step: Step | None) -> None:
        if step is None:
            return
        at = step.at
        if at["keep"]:
            valid = step.numbers[: step.lanes]
            self.tables.fixed[at["fixed_line"]] = valid + [0] * (self.a.vector_lanes - step.lanes)
        if at["statistics"]:
            self.row += step.numbers[: step.lanes]
            if at["row_end"]:
                self.norms[at["row"]], self.row = norm_of(self.row, step.epsilon), []
        if at["end"]:
            self.pulses.append(self.cycle + self.pulse(step))
            self.unblocked = self.pulses[-1] if self.pulse(step) > 1 else self.unblocked
