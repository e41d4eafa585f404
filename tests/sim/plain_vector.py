"""SUMS and VECTOR written out step by step, lane by lane, in integers of any size: what the value model must equal."""

from __future__ import annotations

from hw.arch import Accelerator
from hw.isa import Instruction
from sim.reference.operations import inverse_root
from tests.sim.test_checksum import plain_checksum


def rounded(number: int, shift: int) -> int:
    """Return a number / 2^shift, rounded to nearest, a half up."""
    return (2 * number + (1 << shift)) // (2 << shift)


def clamped(number: int, low: int, high: int) -> int:
    return max(low, min(number, high))


def field(entry: int, offset: int, width: int) -> int:
    """Return a signed field."""
    value = entry >> offset & (1 << width) - 1
    return value - (value >> width - 1 << width)


class PlainVector:
    """The buffers that VECTOR works on: sums and bits as lists of lists of lists, fixed, scales and levels by line.

    `sums` is [bank][line][sum], `fixed` [line][lane], `scales` and `levels` [line][lane] entries of 64 bits, and `bits`
    [bank][line][bit]. `words` are lines as integers, `embedding` [line][lane]. `held` has, for each row, C, S, V,
    R and e.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.a = accelerator
        self.sums: list[list[list[int]]] = []
        self.fixed: list[list[int]] = []
        self.scales: list[list[int]] = []
        self.levels: list[list[int]] = []
        self.bits: list[list[list[int]]] = []
        self.words: list[int] = []
        self.embedding: list[list[int]] = []
        self.held: dict[int, tuple[int, int, int, int, int]] = {}

    def execute(self, i: Instruction) -> int:
        """Execute a VECTOR that breaks no rule; return its checksum."""
        words = []
        for row in range(i.rows):
            numbers: list[int] = []
            for q in range(-(-i.channels // self.a.vector_lanes)):
                lanes = min(self.a.vector_lanes, i.channels - q * self.a.vector_lanes)
                for u in range(i.planes):
                    y = [self.number(i, row, q, lane) for lane in range(lanes)]
                    word = self.keep(i, row, q, y)
                    words.append(word | self.codes(i, row, q, u, y) << 16 * self.a.vector_lanes)
                numbers += y
            if i.statistics:
                self.count(i, row, numbers)
        return plain_checksum(words)

    def number(self, i: Instruction, row: int, q: int, lane: int) -> int:
        """Return y of a lane: steps 1 to 4 of the contract."""
        slices = -(-i.channels // self.a.vector_lanes)
        if i.source == 0:
            per_line = self.a.sum_line_sums // self.a.vector_lanes
            first = i.source_line + row // self.a.drain_rows * -(-i.channels // self.a.sum_line_sums)
            line = self.sums[row % self.a.drain_rows][first + q // per_line]
            v = line[q % per_line * self.a.vector_lanes + lane]
        elif i.source == 2:
            v = self.embedded(i, row, q, lane)
        else:
            v = self.fixed[i.source_line + row * slices + q][lane]
        if i.normalise:
            c, s, variance, root, e = self.held[row]
            assert c == i.channels
            v = 0 if variance == 0 else clamped(rounded((c * v - s) * root, 3 + e), -(1 << 17), (1 << 17) - 1)
        if i.scale:
            if i.multiply:
                multiplier, addend = self.fixed[i.add_line + row * slices + q][lane], 0
            else:
                entry = self.scales[i.scale_line + q][lane]
                multiplier, addend = field(entry, 0, 16), field(entry, 16, 32)
            v = rounded(v * multiplier + addend, i.shift)
            low, high = (0, (1 << i.planes) - 1) if i.planes > 1 and not i.code_signed else self.signed(i.planes)
            v = clamped(v, low, high)
        if i.add:
            other = self.fixed[i.add_line + row * slices + q][lane]
            v = max(v, other) if i.maximum else clamped(v + other, -32768, 32767)
        return v

    def embedded(self, i: Instruction, row: int, q: int, lane: int) -> int:
        """Return what a word, a position and a token type make."""
        slices, per_line = -(-i.channels // self.a.vector_lanes), self.a.word_line_bits // self.a.vector_lanes
        line = i.source_line + row * (1 + -(-slices // per_line))
        scale = self.words[line] & 0xFFFF
        bit = self.words[line + 1 + q // per_line] >> q % per_line * self.a.vector_lanes + lane & 1
        position = self.embedding[i.add_line + q + row * slices][lane]
        kind = self.embedding[i.scale_line + q + (row * slices if i.typed else 0)][lane]
        return clamped((scale if bit else -scale) + position + kind, -32768, 32767)

    def signed(self, planes: int) -> tuple[int, int]:
        """Return the range of 16 bits, or of signed codes of several bits."""
        half = 1 << (15 if planes == 1 else planes - 1)
        return -half, half - 1

    def keep(self, i: Instruction, row: int, q: int, y: list[int]) -> int:
        """Write y if it is kept; return its part of the word."""
        if not i.keep:
            return 0
        slices = -(-i.channels // self.a.vector_lanes)
        self.fixed[i.fixed_line + row * slices + q] = y + [0] * (self.a.vector_lanes - len(y))
        return sum((number & 0xFFFF) << 16 * lane for lane, number in enumerate(y))

    def codes(self, i: Instruction, row: int, q: int, u: int, y: list[int]) -> int:
        """Write the codes of a step; return their part of the word."""
        lanes, word = self.a.vector_lanes, 0
        for s in range(i.sets):
            line = (i.code_line, i.code_line_1, i.code_line_2)[s]
            if i.planes > 1:
                line = i.code_line + u * i.code_line_1
                bits = [number >> i.planes - 1 - u & 1 for number in y]
            else:
                entries = self.levels[i.level_line + q]
                bits = [
                    int(number >= field(entry, 18 * s, 17)) ^ entry >> 18 * s + 17 & 1
                    for number, entry in zip(y, entries, strict=False)
                ]
            bits += [0] * (lanes - len(bits))
            place = i.code_group + q
            target = self.bits[row][line + place // self.a.line_slices]
            start = place % self.a.line_slices * lanes
            target[start:] = bits + [0] * (len(target) - start - lanes)
            word |= sum(bit << s * lanes + lane for lane, bit in enumerate(bits))
        return word

    def count(self, i: Instruction, row: int, numbers: list[int]) -> None:
        """Hold what normalise needs of a row."""
        c, s = len(numbers), sum(numbers)
        variance = c * sum(number * number for number in numbers) - s * s + i.epsilon
        self.held[row] = (c, s, variance, *(inverse_root(variance) if variance else (0, 0)))
