"""Random TABLE instructions of loose programs: any numbers by pieces that are there, or that are loaded for them."""

from __future__ import annotations

from hw.isa import Buffer, Instruction, Opcode, make
from sim.errors import MachineError
from sim.table import execute_table
from tests.agreement.loose_scene import Scene

_MOST_SLICES = 6
_MOST_STEPS = 400
_MOST_ROWS = 64
_PIECES, _MOST_SHIFT = 256, 8
_LATEST = 3


class LooseTables:
    """Adds TABLEs, and LOADs of their pieces."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.a = scene.a
        self.number = scene.number
        self.left: list[tuple[int, int]] = []
        """Where the latest tables were put, and their shifts."""

    def table(self) -> bool:
        """Add a TABLE; its pieces before it, where those that are there would give numbers of more than 16 bits."""
        a, number = self.a, self.number
        if not a.vector_lanes or self._lines() > a.scale_lines:
            return False
        line, shift = number(0, a.scale_lines - self._lines()), self.scene.either(0, _MOST_SHIFT, number(0, 8))
        if self.left and number(0, 1):
            line, shift = self.scene.random.choice(self.left)
        operands = self._shape() | {"table_line": line, "shift": shift}
        if not self._fits(operands):
            if not self._bring(operands):
                return False
            self.left = [*self.left, (line, shift)][-_LATEST:]
        return self.scene.add_best(lambda: [self._placed(operands)])

    def _lines(self) -> int:
        """Return how many lines of scales a table has."""
        return -(-_PIECES // self.a.vector_lanes)

    def _shape(self) -> dict[str, int]:
        """Return rows, channels, and where they stand."""
        a, number = self.a, self.number
        slices = number(1, min(_MOST_SLICES, a.fixed_lines))
        channels = number((slices - 1) * a.vector_lanes + 1, slices * a.vector_lanes)
        most = min(_MOST_ROWS, a.fixed_lines // slices, _MOST_STEPS // channels)
        rows = number(1, most) if number(0, 2) == 0 else number(1, min(4, most))
        return {"rows": rows, "channels": channels, "source_line": number(0, a.fixed_lines - rows * slices)}

    def _placed(self, operands: dict[str, int]) -> Instruction:
        """Return the instruction, with its result in place or where no slice reads it."""
        source, lines = operands["source_line"], operands["rows"] * -(-operands["channels"] // self.a.vector_lanes)
        last = self.a.fixed_lines - lines
        apart = [line for line in range(last + 1) if abs(line - source) >= lines]
        line = source if self.scene.rarely() or not apart else self.scene.random.choice(apart)
        return make(Opcode.TABLE, fixed_line=line, **operands)

    # --- pieces --------------------------------------------------------------------------------------------------

    def _fits(self, operands: dict[str, int]) -> bool:
        """Tell whether the machine takes these numbers by the pieces that are there."""
        machine = self.scene.machine
        trial = make(Opcode.TABLE, fixed_line=operands["source_line"], **operands)
        try:
            execute_table(self.a, trial, machine.vector.fixed.copy(), machine.buffers["scale"][0])
        except MachineError:
            return False
        return True

    def _bring(self, operands: dict[str, int]) -> bool:
        """Load the lines of a new table that are read; the others keep what they hold."""
        shift, lanes = operands["shift"], self.a.vector_lanes
        lines = operands["rows"] * -(-operands["channels"] // lanes)
        rows = self.scene.machine.vector.fixed[operands["source_line"] :][:lines].reshape(operands["rows"], -1)
        pieces = (rows[:, : operands["channels"]] >> shift).clip(-_PIECES // 2, _PIECES // 2 - 1) + _PIECES // 2
        first, last = int(pieces.min()) // lanes, int(pieces.max()) // lanes
        points, data = self._points(), b""
        for line in range(first, last + 1):
            entries = [self._entry(points, j, shift) for j in range(line * lanes, min(_PIECES, (line + 1) * lanes))]
            data += b"".join(entry.to_bytes(8, "little") for entry in entries)
            data += self.scene.random.randbytes(self.a.parameter_line_bits // 8 - 8 * len(entries))
        return self.scene.bring(Buffer.SCALE, operands["table_line"] + first, data)

    def _entry(self, points: list[int], j: int, shift: int) -> int:
        """Return a piece; the bits that mean nothing are anything."""
        difference = points[j + 1] - points[j]
        start = (points[j] << shift) % (1 << 32)
        return difference // 2 % (1 << 16) | start << 16 | difference % 2 << 48 | self.number(0, (1 << 15) - 1) << 49

    def _points(self) -> list[int]:
        """Return 257 numbers: any, from one end to the other, rising, or near to each other."""
        kind, number = self.number(0, 3), self.number
        if kind == 0:
            return [number(-32768, 32767) for _ in range(_PIECES + 1)]
        if kind == 1:
            return [self.scene.either(-32768, -32767, 32766, 32767) for _ in range(_PIECES + 1)]
        if kind == 2:
            return sorted(number(-32768, 32767) for _ in range(_PIECES + 1))
        return [number(-3, 3) for _ in range(_PIECES + 1)]
