"""Random CLASSIFY and EXIT instructions of loose programs: ties, swings that just decide and just do not."""

from __future__ import annotations

import copy
import struct

from hw.isa import Buffer, Opcode, Vote, make
from tests.agreement.loose_scene import Scene

_MOST_SWING = (1 << 38) - 1
_MOST_SLICES = 6


class LooseVotes:
    """Adds CLASSIFYs, and EXITs behind them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.a = scene.a
        self.number = scene.number

    @property
    def decided(self) -> bool:
        """Tell whether an EXIT would end the run."""
        return self.scene.machine.classifier.result.decided

    def classify(self, decides: bool | None = None) -> bool:
        """Add a CLASSIFY; one that decides, if that can be chosen, or one that does not, or any."""
        a, number = self.a, self.number
        if not a.classes:
            return False
        before = len(self.scene.machine.classifier.totals)
        first = int(not before or decides is True or number(0, 2) == 0)
        classes = number(1, a.classes) if first else before
        slices = min(_MOST_SLICES, a.fixed_lines, (a.scale_lines - classes) // -(-classes // 8))
        if slices < 1 or classes > a.output_lines:
            return False
        channels = number(1, slices * a.vector_lanes)
        vote = self.scene.either(*Vote) if classes == 1 else self.scene.either(Vote.SOFT, Vote.SOFT, Vote.HARD)
        if decides and vote is Vote.MEAN:
            vote = Vote.HARD
        used = -(-channels // a.vector_lanes)
        lines = -(-classes // 8) * used + classes
        operands = {
            "source_line": number(0, a.fixed_lines - used),
            "scale_line": number(0, a.scale_lines - lines),
            "output_line": number(0, a.output_lines - classes),
            "classes": classes,
            "shift": self.scene.either(0, 5, number(0, 31)),
            "channels": channels,
            "vote_shift": self.scene.either(0, 12, number(0, 31)),
            "vote": vote,
            "first": first,
            "multiplier": self.scene.either(0, 1, number(0, 65535), 65535),
            "bound": self.scene.either(1, 2, number(1, 1 << 20), (1 << 31) - 1),
        }
        if self.number(0, 2) == 0:
            self._bring_weights(operands)
        self.scene.add(make(Opcode.CLASSIFY, swing=self._swing(operands, decides), **operands))
        return True

    def exit(self) -> None:
        """Add an EXIT: one that ends the run once in a while."""
        if self.a.classes and (not self.decided or self.number(0, 7) == 0):
            self.scene.add(make(Opcode.EXIT))

    def _bring_weights(self, operands: dict[str, int]) -> None:
        """Load weights and biases of few values, so that logits of different classes are the same."""
        slices, classes = -(-operands["channels"] // self.a.vector_lanes), operands["classes"]
        line_bytes = self.a.parameter_line_bits // 8
        weights = [self.number(-128, 127) for _ in range(2)]
        size = -(-classes // 8) * slices * line_bytes
        data = bytes(weights[self.number(0, 7) == 0] & 0xFF for _ in range(size // 8) for _ in range(8))
        if self.number(0, 1):
            data = bytes(size)
        biases = [self.scene.either(0, 5, -5, self.number(-(1 << 31), (1 << 31) - 1)) for _ in range(2)]
        for _ in range(classes):
            data += struct.pack("<i", self.scene.random.choice(biases)) + self.scene.random.randbytes(line_bytes - 4)
        self.scene.bring(Buffer.SCALE, operands["scale_line"], data)

    def _swing(self, operands: dict[str, int], decides: bool | None) -> int:
        """Return what the members to come may move: as much as just decides, one more, or anything."""
        machine = self.scene.machine
        trial = copy.copy(machine.classifier)
        buffers = machine.buffers | {"output": machine.buffers["output"].copy()}
        trial.execute(make(Opcode.CLASSIFY, **operands), machine.vector.fixed, buffers)
        leader, totals = trial.result.leader, trial.totals.tolist()
        leads = [totals[leader] - total - (k < leader) for k, total in enumerate(totals) if k != leader]
        most = min(min(leads, default=_MOST_SWING), _MOST_SWING)
        if decides is None:
            decides = self.scene.either(True, False, None)
        if decides:
            return self.scene.either(most, most, 0, self.number(0, most))
        if decides is False and most < _MOST_SWING:
            return self.scene.either(most + 1, most + 1, _MOST_SWING)
        return self.number(0, _MOST_SWING)
