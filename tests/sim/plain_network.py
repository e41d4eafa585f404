"""MEAN, TABLE and CLASSIFY written out lane by lane, in integers of any size: what the value model must equal."""

from __future__ import annotations

from hw.arch import Accelerator
from hw.isa import Instruction
from tests.sim.plain_vector import clamped, field, rounded
from tests.sim.test_checksum import plain_checksum


class PlainNetwork:
    """What they work on.

    `fixed` is [line][lane], `scales` [line][lane] entries of 64 bits; lines of bank 0 of the output are integers.
    The rest is what the vote holds.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.a = accelerator
        self.fixed: list[list[int]] = []
        self.scales: list[list[int]] = []
        self.output: list[int] = []
        self.totals: list[int] = []
        self.members = 0
        self.leader = 0
        self.decided = False

    def mean(self, i: Instruction) -> int:
        """Execute a MEAN that breaks no rule; return its checksum."""
        lanes, words = self.a.vector_lanes, []
        slices = -(-i.channels // lanes)
        for q in range(slices):
            y = [0] * lanes
            for lane in range(min(lanes, i.channels - q * lanes)):
                total = sum(self.fixed[i.source_line + r * slices + q][lane] for r in range(i.rows))
                y[lane] = clamped(rounded(total * i.multiplier, i.shift), -(1 << 15), (1 << 15) - 1)
            self.fixed[i.fixed_line + q] = y
            words.append(sum((number & 0xFFFF) << 16 * lane for lane, number in enumerate(y)))
        return plain_checksum(words)

    def table(self, i: Instruction) -> int:
        """Execute a TABLE that breaks no rule; return its checksum."""
        lanes, words = self.a.vector_lanes, []
        slices = -(-i.channels // lanes)
        for place in range(i.rows * slices):
            y = [0] * lanes
            for lane in range(min(lanes, i.channels - place % slices * lanes)):
                x = clamped(self.fixed[i.source_line + place][lane], -(128 << i.shift), (128 << i.shift) - 1)
                piece, rest = divmod(x, 1 << i.shift)
                line, entry = divmod(piece + 128, lanes)
                y[lane] = self.piece(self.scales[i.table_line + line][entry], rest, i.shift)
            self.fixed[i.fixed_line + place] = y
            words.append(sum((number & 0xFFFF) << 16 * lane for lane, number in enumerate(y)))
        return plain_checksum(words)

    def piece(self, entry: int, rest: int, shift: int) -> int:
        """Return what a piece makes `rest` behind its start."""
        return rounded(2 * rest * field(entry, 0, 16) + field(entry, 16, 32) + rest * (entry >> 48 & 1), shift)

    def classify(self, i: Instruction) -> int:
        """Execute a CLASSIFY that breaks no rule; return its checksum."""
        logits = [self.logit(i, k) for k in range(i.classes)]
        words = [logit & 0xFFFFFFFF for logit in logits]
        for k, word in enumerate(words):
            self.output[i.output_line + k] = word
        if i.first:
            self.totals, self.members = [0] * i.classes, 0
        self.members += 1
        own = logits.index(max(logits))
        for k, logit in enumerate(logits):
            soft = rounded(logit * i.multiplier, i.vote_shift)
            self.totals[k] += (clamped(soft, -i.bound, i.bound), i.multiplier * (k == own), soft)[i.vote]
        self.leader = self.totals.index(max(self.totals))
        self.decided = i.vote != 2
        for k, total in enumerate(self.totals):
            lead = self.totals[self.leader] - total
            if (k > self.leader and lead < i.swing) or (k < self.leader and lead <= i.swing):
                self.decided = False
        words += [total % (1 << 64) for total in self.totals]
        return plain_checksum([*words, self.leader | self.decided << 16])

    def logit(self, i: Instruction, k: int) -> int:
        """Return the logit of a class."""
        lanes, slices = self.a.vector_lanes, -(-i.channels // self.a.vector_lanes)
        total = field(self.scales[i.scale_line + -(-i.classes // 8) * slices + k][0], 0, 32)
        for c in range(i.channels):
            q, lane = divmod(c, lanes)
            weight = field(self.scales[i.scale_line + k // 8 * slices + q][lane], k % 8 * 8, 8)
            total += self.fixed[i.source_line + q][lane] * weight
        return clamped(rounded(total, i.shift), -(1 << 31), (1 << 31) - 1)
