"""The vector unit: sums and fixed numbers, scaled, normalised, added or looked up, to fixed numbers and codes.

Arithmetic: docs/arithmetic.md, 7, 8 and 10. Timing: docs/machine.md, 3.9.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Member, Out, connect, flipped

from hw.arch import PARAMETER_BITS, Accelerator
from hw.gateware import vector_lane
from hw.gateware.bank import pick
from hw.gateware.cell import use_cell
from hw.gateware.delayed import delayed
from hw.gateware.interfaces import Issue, LineRead, LineWrite, SliceWrite, Standing, Words, instruction_layout
from hw.gateware.logits import LOGIT_BITS
from hw.gateware.pieces import PieceFinder
from hw.gateware.popcount import fold32
from hw.gateware.row_table import RowTable
from hw.gateware.stages import Stages
from hw.gateware.vector_codes import CodeWriter
from hw.gateware.vector_kinds import StepCounter
from hw.gateware.vector_lane import FIXED_BITS
from hw.gateware.vector_steps import SETS
from hw.gateware.vote import VoteUnit
from hw.isa import Opcode

LANE_MODULE = "tallybert_vector_lane"

#: The stages of the pipeline: those of a lane, and the one in which results are written.
STAGES = vector_lane.LATENCY + 1


def _text_ports(a: Accelerator) -> dict[str, Member]:
    """Return what the source embedding reads: a word's scale and bits, and the numbers of its place and its type."""
    word, embedding = Out(LineRead(1, a.word_line_bits)), Out(LineRead(1, a.embedding_line_bits))
    return {"word_scale": word, "word_bits": word, "place": embedding, "kind": embedding}


class VectorUnit(wiring.Component):
    """A pipeline of STAGES stages behind the step counter. One step enters per cycle, unless the pipeline stands still.

    A step that enters in cycle t is in the last stage in t + STAGES, if it never stops, and leaves it in the cycle in
    which its last set of codes is written; sets are not written in cycles in which the activation buffer is `taken`.
    The retirement pulse is one cycle after the last step has left, with `statistics` twelve; that of a CLASSIFY comes
    16 + 2 * classes cycles after it.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = a = accelerator
        fixed_line = a.vector_lanes * FIXED_BITS
        super().__init__(
            {
                "issue": In(Issue()),
                "sums": Out(LineRead(a.drain_rows, a.sum_line_sums * a.sum_bits)),
                "source": Out(LineRead(1, fixed_line)),
                "residual": Out(LineRead(1, fixed_line)),
                "fixed": Out(LineWrite(fixed_line)),
                "scale": Out(LineRead(1, a.parameter_line_bits)),
                "level": Out(LineRead(1, a.parameter_line_bits)),
                **(_text_ports(a) if a.token_lines else {}),
                **({"logits": Out(LineWrite(LOGIT_BITS)), "standing": Out(Standing())} if a.classes else {}),
                "activation": Out(SliceWrite(a)),
                "taken": In(1),
                "retire": Out(1),
                "words": Out(Words()),
                "entering": Out(1),
                "stopped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a = self._accelerator
        m.submodules.counter = counter = StepCounter(a)
        m.submodules.table = table = RowTable(rows=a.rows, lanes=a.vector_lanes)
        connect(m, counter.issue, flipped(self.issue))
        advance, leaves = Signal(), Signal()
        stages = Stages(m, counter.step, advance)
        codes = self._codes(m, stages, advance)
        m.d.comb += [
            advance.eq(~codes.stays),
            leaves.eq(advance & stages.at(STAGES, "valid")),
            counter.advance.eq(advance),
            self.entering.eq(counter.step.valid & advance),
            self.stopped.eq(~advance),
        ]
        pieces = self._pieces(m, stages, advance)
        self._read(m, stages, table, pieces, advance)
        results, numbers = self._lanes(m, stages, table.coefficients, pieces, advance)
        kept = [Mux(codes.mask[lane], result[:FIXED_BITS], 0) for lane, result in enumerate(results)]
        m.d.comb += [
            *(codes.values[lane].eq(result) for lane, result in enumerate(results)),
            self.fixed.enable.eq(leaves & stages.at(STAGES, "keep")),
            self.fixed.line.eq(stages.at(STAGES, "fixed_line")),
            self.fixed.data.eq(Cat(kept)),
        ]
        self._show(m, stages, leaves, kept, codes)
        voted = self._vote(m, stages, counter, numbers, advance) if a.classes else Const(0)
        self._keep_rows(m, stages, table, counter, leaves, voted)
        m.d.comb += [table.mask.eq(codes.mask), *(table.values[lane].eq(y) for lane, y in enumerate(results))]
        return m

    def _show(self, m: Module, stages: Stages, leaves: Signal, kept: list[Value], codes: CodeWriter) -> None:
        """Show the words of the step that leaves the pipeline."""
        makes_words = Signal()
        m.d.comb += [
            makes_words.eq(leaves & ~stages.at(STAGES, "silent")),
            self.words.valid.eq(makes_words),
            self.words.end.eq(makes_words & stages.at(STAGES, "end")),
            self.words.fold.eq(
                fold32(m, Cat(Mux(stages.at(STAGES, "keep"), Cat(kept), 0), *(codes.bits[s] for s in range(SETS))))
            ),
        ]

    def _vote(self, m: Module, stages: Stages, counter: StepCounter, numbers: list[Signal], advance: Signal) -> Signal:
        """Give the steps of a CLASSIFY to the vote; return 1 one cycle before its pulse."""
        m.submodules.vote = vote = VoteUnit(self._accelerator)
        connect(m, vote.logits, flipped(self.logits))
        connect(m, vote.standing, flipped(self.standing))
        m.d.comb += [
            vote.advance.eq(advance),
            vote.valid.eq(stages.at(3, "valid") & stages.at(3, "classify")),
            *(getattr(vote, name).eq(stages.at(3, name)) for name in ("begins", "bias", "weight")),
            vote.mask.eq(self._valid_lanes(stages, 3)),
            vote.scale.eq(self.scale.data[0]),
            *(vote.values[lane].eq(number) for lane, number in enumerate(numbers)),
            vote.classify.eq(counter.classify),
        ]
        with m.If(vote.words.valid):
            m.d.comb += [getattr(self.words, name).eq(getattr(vote.words, name)) for name in ("valid", "end", "fold")]
        return vote.done

    def _valid_lanes(self, stages: Stages, stage: int) -> Value:
        row_end, rest = stages.at(stage, "row_end"), stages.at(stage, "rest")
        return Cat(~row_end | (rest > lane) for lane in range(self._accelerator.vector_lanes))

    def _pieces(self, m: Module, stages: Stages, advance: Signal) -> PieceFinder:
        """Return what finds the piece of a step of a TABLE."""
        m.submodules.pieces = pieces = PieceFinder(self._accelerator)
        m.d.comb += [
            pieces.advance.eq(advance),
            pieces.slice.eq(self.source.data[0]),
            pieces.lane.eq(stages.at(1, "lane")),
            pieces.shift.eq(stages.at(2, "shift")),
            pieces.entries.eq(self.scale.data[0]),
        ]
        return pieces

    def _read(self, m: Module, stages: Stages, table: RowTable, pieces: PieceFinder, advance: Signal) -> None:
        """Read for each stage in the cycle in which a step enters it: data stand as long as the pipeline does.

        The residual line is there from stage 3 on, in which it may have the multipliers.
        """
        from_fixed = stages.at(0, "from_fixed")
        m.d.comb += [
            self.sums.enable.eq(self.entering & ~from_fixed),
            self.source.enable.eq(self.entering & from_fixed),
            *(port.line.eq(stages.at(0, "source_line")) for port in (self.sums, self.source)),
            table.read.eq(self.entering),
            table.read_row.eq(stages.at(0, "row")),
            *(port.enable.eq(advance) for port in (self.scale, self.residual, self.level)),
            self.scale.line.eq(stages.at(2, "scale_line") + Mux(stages.at(2, "table"), pieces.line, 0)),
            self.residual.line.eq(stages.at(2, "add_line")),
            self.level.line.eq(stages.at(5, "level_line")),
        ]
        if self._accelerator.token_lines:
            lines = {"word_scale": "word_line", "word_bits": "bits_line", "place": "add_line", "kind": "type_line"}
            for port, line in lines.items():
                read = getattr(self, port)
                m.d.comb += [read.enable.eq(self.entering & stages.at(0, "from_text"))]
                m.d.comb += [read.line.eq(stages.at(0, line))]

    def _lanes(
        self, m: Module, stages: Stages, row: data.View, pieces: PieceFinder, advance: Signal
    ) -> tuple[list[Signal], list[Signal]]:
        """Return the results of the lanes, those of the step in the last stage, and the numbers of that in stage 4."""
        a = self._accelerator
        limit, unsigned_set = self._limit(m, stages)
        common = {"advance": advance, "normalise": stages.at(1, "normalise")}
        common |= {"begins": stages.at(1, "begins"), "mean": stages.at(2, "mean")}
        common |= {"factor": row.factor, "offset": row.offset}
        common |= {"distance": delayed(m, row.distance, "distance", enable=advance)}
        common |= {"scale": stages.at(3, "scale"), "shift": stages.at(4, "shift"), "add": stages.at(5, "add")}
        common |= {"limit": limit, "unsigned_set": unsigned_set, "maximum": stages.at(5, "maximum")}
        first = Signal(signed(FIXED_BITS))
        common |= {"collects": stages.at(5, "table"), "first": first}
        text, factors = self._texts(m, stages), self._factors(stages, pieces)
        residual = delayed(m, self.residual.data[0], "residual", cycles=2, enable=advance)
        if a.token_lines:
            common |= {"text": stages.at(2, "from_text")}
        results, numbers = [], []
        for lane, value in enumerate(self._values(m, stages)):
            operands = {"value": value, "turn": stages.at(5, "lane") == lane, **factors[lane]}
            operands["residual"] = residual[lane * FIXED_BITS : (lane + 1) * FIXED_BITS]
            operands["from_piece"] = stages.at(2, "table") if lane == 0 else Const(0, 1)
            operands["doubled"] = pieces.doubled if lane == 0 else Const(0, len(pieces.doubled))
            operands |= {port: data[lane] for port, data in text.items()}
            result = Signal(signed(vector_lane.result_bits(a.sum_bits)), name=f"result{lane}")
            number = Signal(signed(FIXED_BITS), name=f"number{lane}")
            outputs = {"result": result, "passed": number} | ({} if lane else {"clamped": first})
            m.submodules[f"lane{lane}"] = use_cell(LANE_MODULE, outputs, common | operands)
            results.append(result)
            numbers.append(number)
        return results, numbers

    def _factors(self, stages: Stages, pieces: PieceFinder) -> list[dict[str, Value]]:
        """Return multiplier and addend of each lane for the step in stage 3; those of a TABLE are of lane 0 only."""
        mean, multiply, factors = stages.at(3, "mean"), stages.at(3, "multiply"), []
        for lane in range(self._accelerator.vector_lanes):
            scale = self.scale.data[0][lane * PARAMETER_BITS :]
            number = self.residual.data[0][lane * FIXED_BITS : (lane + 1) * FIXED_BITS]
            multiplier = Mux(mean, stages.at(3, "multiplier"), Mux(multiply, number, scale[:16]))
            addend = Mux(mean | multiply, 0, scale[16:48])
            if lane == 0:
                table = stages.at(3, "table")
                multiplier, addend = Mux(table, pieces.multiplier, multiplier), Mux(table, pieces.addend, addend)
            factors.append({"multiplier": multiplier, "addend": addend})
        return factors

    def _texts(self, m: Module, stages: Stages) -> dict[str, list[Value]]:
        """Return what the lanes add up in stage 1 of an embedding: bits and scale of the word, place and type."""
        a = self._accelerator
        if not a.token_lines:
            return {}
        lanes, bits = range(a.vector_lanes), Signal(a.vector_lanes)
        m.d.comb += bits.eq(pick(self.word_bits.data[0], stages.at(1, "bits_piece"), a.vector_lanes))
        of_lanes = {
            name: [line[lane * FIXED_BITS : (lane + 1) * FIXED_BITS] for lane in lanes]
            for name, line in (("place", self.place.data[0]), ("kind", self.kind.data[0]))
        }
        scale = self.word_scale.data[0][:FIXED_BITS]
        return {"bit": [bits[lane] for lane in lanes], "word_scale": [scale for _ in lanes], **of_lanes}

    def _values(self, m: Module, stages: Stages) -> list[Value]:
        """Return the numbers of the slice in stage 1, from the one buffer or the other."""
        a = self._accelerator
        line, sums = Signal(a.sum_line_sums * a.sum_bits), Signal(a.vector_lanes * a.sum_bits)
        m.d.comb += line.eq(pick(Value.cast(self.sums.data), stages.at(1, "bank"), len(line)))
        m.d.comb += sums.eq(pick(line, stages.at(1, "piece"), len(sums)))
        values = []
        for lane in range(a.vector_lanes):
            total = sums[lane * a.sum_bits : (lane + 1) * a.sum_bits].as_signed()
            number = self.source.data[0][lane * FIXED_BITS : (lane + 1) * FIXED_BITS].as_signed()
            value = Signal(signed(max(a.sum_bits, FIXED_BITS)), name=f"value{lane}")
            m.d.comb += value.eq(Mux(stages.at(1, "from_fixed"), number, total))
            values.append(value)
        return values

    def _limit(self, m: Module, stages: Stages) -> tuple[Value, Value]:
        """Return the largest result of the step in stage 4, and whether 0 is the least one."""
        fixed = (1 << FIXED_BITS - 1) - 1
        if self._accelerator.code_bits == 1:
            return Value.cast(fixed), Value.cast(0)
        planes, is_signed, coded = stages.at(4, "planes"), stages.at(4, "code_signed"), Signal()
        of_codes = Array((1 << bits) - 1 for bits in range(self._accelerator.code_bits + 1))[planes - is_signed]
        m.d.comb += coded.eq(planes != 1)
        return Mux(coded, of_codes, fixed), coded & ~is_signed

    def _codes(self, m: Module, stages: Stages, advance: Signal) -> CodeWriter:
        """Return what writes the codes of the step in the last stage. Its valid lanes are found one stage before."""
        a = self._accelerator
        m.submodules.codes = codes = CodeWriter(a, vector_lane.result_bits(a.sum_bits))
        connect(m, codes.write, flipped(self.activation))
        fields = {"valid": "valid", "sets": "sets", "row": "row", "lines": "code_lines", "position": "position"}
        if a.code_bits > 1:
            fields["plane_bit"] = "plane_bit"
            m.d.comb += codes.coded.eq(stages.at(STAGES, "planes") != 1)
        lanes = self._valid_lanes(stages, STAGES - 1)
        m.d.comb += [
            *(getattr(codes, port).eq(stages.at(STAGES, field)) for port, field in fields.items()),
            codes.taken.eq(self.taken),
            codes.mask.eq(delayed(m, lanes, "lanes", enable=advance)),
            codes.levels.eq(self.level.data[0]),
        ]
        return codes

    def _keep_rows(
        self, m: Module, stages: Stages, table: RowTable, counter: StepCounter, leaves: Signal, voted: Value
    ) -> None:
        """Let the rows of an instruction with `statistics` into the table, and nothing else in until they are there.

        A CLASSIFY, too, lets nothing in before it has `voted`.
        """
        blocked, done = Signal(), Signal()
        statistics, end = stages.at(STAGES, "statistics"), stages.at(STAGES, "end")
        head = instruction_layout(Opcode.VECTOR)(self.issue.head)
        votes = head.opcode == Opcode.CLASSIFY if self._accelerator.classes else 0
        m.d.comb += [
            counter.blocked.eq(blocked),
            table.valid.eq(leaves & statistics),
            table.last.eq(stages.at(STAGES, "row_end")),
            table.end.eq(end),
            table.row.eq(stages.at(STAGES, "row")),
            table.channels.eq(counter.channels),
            table.epsilon.eq(counter.epsilon),
        ]
        later = statistics | (stages.at(STAGES, "classify") if self._accelerator.classes else 0)
        m.d.sync += [done.eq(table.done | voted), self.retire.eq(table.done | voted | leaves & end & ~later)]
        with m.If(done):
            m.d.sync += blocked.eq(0)
        with m.If(self.issue.issued):
            m.d.sync += blocked.eq(head.statistics | votes)
