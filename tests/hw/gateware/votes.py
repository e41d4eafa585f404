"""MEANs, CLASSIFYs and TABLEs: their steps and their numbers, in the words of docs/machine-network.md, section 2."""

from __future__ import annotations

from collections.abc import Iterator

from hw.arch import Accelerator
from hw.isa import Opcode
from tests.hw.gateware.curves import tabled
from tests.hw.gateware.members import Poll, logit_of
from tests.hw.gateware.rows import round_shift, saturated
from tests.hw.gateware.vectors import Operands, Outputs, Step, Tables, Twin, steps_of


def mean_steps(a: Accelerator, mean: Operands) -> Iterator[Outputs]:
    """Return what the counter shows in each step of a MEAN."""
    channels, rows = mean["channels"], mean["rows"]
    slices = -(-channels // a.vector_lanes)
    for q in range(slices):
        for r in range(rows):
            last, row_end = r == rows - 1, q == slices - 1
            step = {name: mean[name] for name in ("multiplier", "shift")}
            step |= {"valid": 1, "mean": 1, "scale": 1, "from_fixed": 1, "begins": int(r == 0), "keep": int(last)}
            step |= {"silent": int(not last), "end": int(last and row_end), "row_end": int(row_end)}
            step |= {"source_line": (mean["source_line"] + r * slices + q) % 65536}
            step |= {"fixed_line": (mean["fixed_line"] + q) % 65536}
            step |= dict.fromkeys(("table", "normalise", "add", "maximum", "multiply", "statistics", "sets"), 0)
            step |= {"rest": channels - q * a.vector_lanes} if row_end else {}
            yield step | ({"planes": 1, "code_signed": 0} if a.code_bits > 1 else {}) | _others(a)


def classify_steps(a: Accelerator, classify: Operands) -> Iterator[Outputs]:
    """Return what the counter shows in each step of a CLASSIFY."""
    channels, classes = classify["channels"], classify["classes"]
    slices = -(-channels // a.vector_lanes)
    for k in range(classes):
        for q in range(slices + 1):
            bias = q == slices
            line = -(-classes // 8) * slices + k if bias else k // 8 * slices + q
            step = {"valid": 1, "classify": 1, "silent": 1, "from_fixed": 1, "begins": int(q == 0), "bias": int(bias)}
            step |= {"weight": k % 8, "end": int(bias and k == classes - 1), "row_end": int(q >= slices - 1)}
            step |= {"scale_line": (classify["scale_line"] + line) % 65536}
            step |= dict.fromkeys(("mean", "table", "keep", "normalise", "add", "statistics", "sets"), 0)
            step |= {} if bias else {"source_line": (classify["source_line"] + q) % 65536}
            step |= {"rest": 0 if bias else channels - q * a.vector_lanes} if q >= slices - 1 else {}
            yield step | ({"planes": 1} if a.code_bits > 1 else {}) | ({"from_text": 0} if a.token_lines else {})


def table_steps(a: Accelerator, table: Operands) -> Iterator[Outputs]:
    """Return what the counter shows in each step of a TABLE."""
    lanes, channels = a.vector_lanes, table["channels"]
    slices = -(-channels // lanes)
    for index in range(table["rows"] * slices):
        row_end = index % slices == slices - 1
        rest = channels - (slices - 1) * lanes if row_end else lanes
        for lane in range(rest):
            last = lane == rest - 1
            step = {"valid": 1, "table": 1, "scale": 1, "from_fixed": 1, "lane": lane, "shift": table["shift"]}
            step |= {"keep": int(last), "silent": int(not last), "row_end": int(row_end)}
            step |= {"end": int(last and index == table["rows"] * slices - 1), "scale_line": table["table_line"]}
            step |= {name: (table[name] + index) % 65536 for name in ("source_line", "fixed_line")}
            step |= dict.fromkeys(("mean", "normalise", "add", "maximum", "multiply", "statistics", "sets"), 0)
            step |= {"rest": rest} if row_end else {}
            yield step | ({"planes": 1, "code_signed": 0} if a.code_bits > 1 else {}) | _others(a)


def _others(a: Accelerator) -> Outputs:
    return ({"from_text": 0} if a.token_lines else {}) | ({"classify": 0} if a.classes else {})


STEPS = {Opcode.MEAN: mean_steps, Opcode.CLASSIFY: classify_steps, Opcode.TABLE: table_steps}


def entry_of(tables: Tables, line: int, lane: int) -> int:
    """Return an entry of the scale buffer as a number."""
    return tables.scales[line % len(tables.scales)][lane].entry()


def products_of(a: Accelerator, at: Outputs, tables: Tables) -> list[int]:
    """Return the products of a step of a CLASSIFY, or its bias."""
    if at["bias"]:
        return [signed(entry_of(tables, at["scale_line"], 0), 32)]
    numbers = tables.fixed[at["source_line"]][: at.get("rest", a.vector_lanes)]
    weights = [entry_of(tables, at["scale_line"], lane) >> 8 * at["weight"] for lane in range(len(numbers))]
    return [x * signed(w, 8) for x, w in zip(numbers, weights, strict=True)]


def signed(number: int, bits: int) -> int:
    """Return the low bits of a number as two's complement."""
    number %= 1 << bits
    return number - (number >> bits - 1 << bits)


class VotingTwin(Twin):
    """The pipeline with MEANs, CLASSIFYs and TABLEs in it: what is issued names its `opcode`, if it is no VECTOR.

    `said` are the words that a CLASSIFY has yet to show, each with whether it is the last, and `lines` its lines of the
    output buffer.
    """

    def __init__(self, a: Accelerator, tables: Tables) -> None:
        super().__init__(a, tables)
        self.total: list[int] = []
        self.looked_up: list[int] = []
        self.products: list[int] = []
        self.logits: list[int] = []
        self.poll = Poll()
        self.classes = 1
        self.voting = False
        self.said: list[tuple[int, bool]] = []
        self.lines: list[tuple[int, int]] = []

    def steps(self, issued: Operands) -> Iterator[Outputs]:
        code = Opcode(issued.get("opcode", Opcode.VECTOR))
        self.classes = issued["classes"] if code is Opcode.CLASSIFY else self.classes
        self.voting |= code is Opcode.CLASSIFY
        return STEPS.get(code, steps_of)(self.a, issued)

    def blocks(self, issued: Operands) -> bool:
        return issued.get("opcode") == Opcode.CLASSIFY or bool(issued.get("statistics"))

    def pulse(self, step: Step) -> int:
        return 16 + 2 * self.classes if step.at.get("classify") else super().pulse(step)

    def enter(self, vector: Operands, at: Outputs) -> Step:
        if at.get("mean"):
            return self.average(at)
        if at.get("classify"):
            return self.classify(vector, at)
        if at["table"]:
            return self.look_up(vector, at)
        return super().enter(vector, at)

    def average(self, at: Outputs) -> Step:
        numbers = self.tables.fixed[at["source_line"]]
        before = [0] * len(numbers) if at["begins"] else self.total
        self.total = [total + number for total, number in zip(before, numbers, strict=True)]
        means = [saturated(round_shift(total * at["multiplier"], at["shift"]), 16) for total in self.total]
        return Step(at, 0, means, lanes=at.get("rest", self.a.vector_lanes))

    def look_up(self, table: Operands, at: Outputs) -> Step:
        curve = self.tables.curves[table["shift"], table["table_line"]]
        number = self.tables.fixed[at["source_line"]][at["lane"]]
        self.looked_up = [*self.looked_up, tabled(curve, number, table["shift"])]
        numbers = self.looked_up
        if at["keep"]:
            self.looked_up = []
        return Step(at, 0, numbers, lanes=len(numbers))

    def classify(self, vector: Operands, at: Outputs) -> Step:
        self.products = ([] if at["begins"] else self.products) + products_of(self.a, at, self.tables)
        if at["bias"]:
            logit = logit_of(self.products[:-1], self.products[-1], vector["shift"])
            self.lines.append(((vector["output_line"] + len(self.logits)) % 65536, logit))
            self.said.append((logit % (1 << 32), False))
            self.logits.append(logit)
        if at["end"]:
            self.poll.add(self.logits, vector | {"shift": vector["vote_shift"]})
            *totals, outcome = self.poll.words(self.logits)[len(self.logits) :]
            self.said += [*((total, False) for total in totals), (outcome, True)]
            self.logits = []
        return Step(at, 0, [])
