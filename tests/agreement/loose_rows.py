"""Random SOFTMAX instructions of loose programs: behind sums of scores, with levels that a number meets exactly."""

from __future__ import annotations

import struct

import numpy as np

from hw.isa import Buffer, Instruction, Opcode, make
from sim.errors import MachineError
from tests.agreement.loose_products import LooseProducts
from tests.agreement.loose_scene import Scene

_PLANES = (1, 2, 4)
_LATEST = 4


class LooseRows:
    """Adds sums to the score buffer and what SOFTMAX makes of them."""

    def __init__(self, scene: Scene, products: LooseProducts) -> None:
        self.scene = scene
        self.a = scene.a
        self.number = scene.number
        self.products = products
        self.open: list[Instruction] = []
        """The latest SUMS to score."""

    def scores(self) -> bool:
        """Add a product whose sums become scores."""
        if not self.scene.add_best(self.products.scores):
            return False
        self.open = [*self.open, self.scene.order.instructions[-1]][-_LATEST:]
        return True

    def chain(self) -> bool:
        """Add scores of a few slots and, behind them, the SOFTMAX of each."""
        if not self.a.row_lanes:
            return False
        for _ in range(self.number(1, 3)):
            self.scores()
        for _ in range(self.number(1, 4)):
            self.softmax()
        return True

    def softmax(self) -> bool:
        """Add a SOFTMAX of scores that are there, sometimes of others that happen to do; choose its table by them."""
        if not self.open or not (rows := self._rows(self.scene.random.choice(self.open))):
            return False
        legal = [planes for planes in _PLANES if planes <= self.a.code_bits and self._room(planes)]
        planes = self.scene.either(legal[-1], self.scene.random.choice(legal))
        step = {"multiplier": self._multiplier(), "shift": self.scene.either(0, 1, 4, 9, self.number(0, 31))}
        operands = rows | step | self._table(planes) | {"planes": planes} | self._place(rows["keys"], planes)
        if not self._fits(operands):
            return False
        if self.number(0, 2) == 0:
            self._bring_table(operands)
        if self.number(0, 1):
            self._bring_levels(operands)
        self.scene.add_best(lambda: [make(Opcode.SOFTMAX, **operands | self._place(rows["keys"], planes))])
        return True

    # --- operands ------------------------------------------------------------------------------------------------

    def _rows(self, sums: Instruction) -> dict[str, int]:
        """Return which scores are read: those of a SUMS, or fewer, or what else the buffer holds."""
        a, number = self.a, self.number
        written = min(sums.column_groups * a.columns - sums.spare, a.activation_lines * a.line_bits)
        if written < 1:
            return {}
        keys = number(1, written) if self.scene.rarely() else written
        rows = number(1, sums.rows) if self.scene.rarely() else sums.rows
        line = sums.output_line + sums.output_group // a.score_line_groups
        slot = number(0, a.score_slots - 1) if self.scene.rarely() else sums.slot
        needed = -(-rows // a.drain_rows) * -(-keys // a.score_line_sums)
        if needed > a.score_lines:
            return {}
        if self.scene.rarely() or line + needed > a.score_lines:
            line = number(0, a.score_lines - needed)
        return {"score_line": line, "keys": keys, "rows": rows, "slot": slot}

    def _fits(self, operands: dict[str, int]) -> bool:
        """Tell whether the machine takes a SOFTMAX of these scores: the slot holds maxima that no score is above."""
        try:
            self._exponentials(operands)
        except MachineError:
            return False
        return True

    def _multiplier(self) -> int:
        return self.scene.either(0, 1, 1, 2, self.number(0, 40), self.number(0, 65535), 65535)

    def _level_lines(self, planes: int) -> int:
        return -(-((1 << planes) - 1) * 32 // self.a.table_line_bits)

    def _room(self, planes: int) -> bool:
        """Tell whether there are lines for so many levels and so many planes of codes."""
        return self._level_lines(planes) <= self.a.table_lines

    def _table(self, planes: int) -> dict[str, int]:
        """Return where the table and the levels are, anywhere."""
        a, number = self.a, self.number
        table, level = number(0, a.table_lines - 1), number(0, a.table_lines - self._level_lines(planes))
        most = min((a.table_lines - table) * (a.table_line_bits // 16), 1 << 16) - 1
        last = self.scene.either(0, most, number(0, most), number(0, min(9, most)))
        return {"table_line": table, "last_entry": last, "level_line": level}

    def _place(self, keys: int, planes: int) -> dict[str, int]:
        """Return where the planes of the codes go."""
        a, number = self.a, self.number
        slices = -(-keys // a.row_lanes)
        most = a.activation_lines * a.line_row_slices - slices
        group = number(0, min(most, self.scene.either(0, a.line_row_slices, most)))
        lines = -(-(group + slices) // a.line_row_slices)
        stride = number(0, (a.activation_lines - lines) // (planes - 1)) if planes > 1 else number(0, 65535)
        reach = lines + (planes - 1) * stride if planes > 1 else lines
        return {
            "code_line": number(0, a.activation_lines - reach),
            "code_group": group,
            "code_plane_stride": stride,
        }

    # --- tables --------------------------------------------------------------------------------------------------

    def _exponentials(self, operands: dict[str, int]) -> np.ndarray:
        """Return the number of the table that each score has, [row, key]."""
        row, buffer = self.scene.machine.row, self.scene.machine.buffers["table"][0]
        chosen = {"code_line": 0} | {name: value for name, value in operands.items() if not name.startswith("code")}
        indices = row._indices(make(Opcode.SOFTMAX, **chosen))
        table = np.ascontiguousarray(buffer[operands["table_line"] :]).reshape(-1).view("<u2")
        return table[indices].astype(np.int64)

    def _bring_table(self, operands: dict[str, int]) -> None:
        """Load a table that falls, as those of networks do; slowly or fast, to nothing or not."""
        ratio = self.scene.either(0.0, 0.5, 0.9, 0.99, 1.0)
        entries = [round(65535 * ratio**i) for i in range(operands["last_entry"] + 1)]
        self.scene.bring(Buffer.TABLE, operands["table_line"], struct.pack(f"<{len(entries)}H", *entries))

    def _bring_levels(self, operands: dict[str, int]) -> None:
        """Load levels that numbers of one row meet exactly, or miss by one."""
        exponentials = self._exponentials(operands)
        row = exponentials[self.number(0, len(exponentials) - 1)].tolist()
        total = max(1, sum(row))
        levels = []
        for _ in range((1 << operands["planes"]) - 1):
            level = (self.scene.random.choice([*row, 65535, 1]) << 20) // total + self.scene.either(0, 0, 1, -1)
            usual = min(max(level, 0), (1 << 22) - 1)
            levels.append(self.scene.either(usual, usual, usual, self.number(0, (1 << 32) - 1)))
        if self.number(0, 1):
            levels.sort()
        self.scene.bring(Buffer.TABLE, operands["level_line"], struct.pack(f"<{len(levels)}I", *levels))
