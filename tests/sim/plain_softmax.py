"""SOFTMAX written out row by row, score by score, in integers of any size: what the value model must equal."""

from __future__ import annotations

from hw.arch import Accelerator
from hw.isa import Instruction
from tests.sim.plain_vector import rounded
from tests.sim.test_checksum import plain_checksum


class PlainSoftmax:
    """What SOFTMAX works on.

    Scores are [bank][line][sum], maxima [slot][row], bits [bank][line][bit]; lines of the table buffer are integers.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.a = accelerator
        self.scores: list[list[list[int]]] = []
        self.maxima: list[list[int]] = []
        self.table: list[int] = []
        self.bits: list[list[list[int]]] = []

    def execute(self, i: Instruction) -> int:
        """Execute a SOFTMAX that breaks no rule; return its checksum."""
        exponentials = [[self.exponential(i, row, key) for key in range(i.keys)] for row in range(i.rows)]
        bounds = [self.bounds(i, sum(row)) for row in exponentials]
        words = [bound for row in bounds for bound in row]
        for r in range(i.rows):
            for q in range(-(-i.keys // self.a.row_lanes)):
                part = exponentials[r][q * self.a.row_lanes : (q + 1) * self.a.row_lanes]
                codes = [sum(e >= bound for bound in bounds[r]) for e in part]
                words += [
                    self.write(i, r, q, u, [code >> i.planes - 1 - u & 1 for code in codes]) for u in range(i.planes)
                ]
        return plain_checksum(words)

    def exponential(self, i: Instruction, row: int, key: int) -> int:
        """Return E of a score."""
        line, place = divmod(key, self.a.score_line_sums)
        line += i.score_line + row // self.a.drain_rows * -(-i.keys // self.a.score_line_sums)
        distance = self.maxima[i.slot][row] - self.scores[row % self.a.drain_rows][line][place]
        index = min(rounded(distance * i.multiplier, i.shift), i.last_entry)
        return self.entry(i.table_line, index, 16)

    def entry(self, line: int, index: int, bits: int) -> int:
        """Return an entry of the table buffer."""
        per_line = self.a.table_line_bits // bits
        return self.table[line + index // per_line] >> index % per_line * bits & (1 << bits) - 1

    def bounds(self, i: Instruction, total: int) -> list[int]:
        """Return T of each level."""
        levels = [self.entry(i.level_line, k, 32) % (1 << 22) for k in range(2**i.planes - 1)]
        return [min((level * total + (1 << 20) - 1) // (1 << 20), 65536) for level in levels]

    def write(self, i: Instruction, row: int, q: int, u: int, bits: list[int]) -> int:
        """Write the bits of a step; return them as a word."""
        lanes = self.a.row_lanes
        line, position = divmod(i.code_group + q, self.a.line_bits // lanes)
        target = self.bits[row][i.code_line + u * i.code_plane_stride + line]
        target[position * lanes :] = bits + [0] * (len(target) - position * lanes - len(bits))
        return sum(bit << lane for lane, bit in enumerate(bits))
