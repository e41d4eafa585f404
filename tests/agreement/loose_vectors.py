"""Random VECTOR and MEAN instructions of loose programs: every source, every part on and off, any number of lanes."""

from __future__ import annotations

from hw.isa import Instruction, Opcode, Source, make
from tests.agreement.loose_accesses import word_lines
from tests.agreement.loose_scene import Scene

Operands = dict[str, int]

_MOST_SLICES = 6
_MOST_STEPS = 400


class LooseVectors:
    """Makes instructions of VECTOR for one program."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.a = scene.a
        self.number = scene.number

    def vector(self) -> list[Instruction]:
        """Return a VECTOR that reads sums or fixed numbers."""
        a, number = self.a, self.number
        if not a.vector_lanes:
            return []
        rows, channels = self._shape()
        likely = Source.FIXED if self._may_normalise(rows, channels) else Source.SUMS
        source = self.scene.either(Source.SUMS, Source.FIXED, likely)
        operands = {"source": source, "rows": rows, "channels": channels, "shift": number(0, 31)}
        operands["source_line"] = self._sums(rows, channels) if source is Source.SUMS else self._fixed(rows, channels)
        operands["scale_line"] = number(0, a.scale_lines - self._slices(channels))
        operands |= self._levels(channels)
        planes = number(2, a.code_bits) if a.code_bits > 1 and number(0, 3) == 0 else 1
        if planes > 1 and (place := self._planes(channels, planes)):
            more = {"scale": 1, "sets": 1, "planes": planes, "code_signed": number(0, 1)}
            if number(0, 2) == 0:
                operands |= self._factors() | {"add_line": self._fixed(rows, channels)}
            return [make(Opcode.VECTOR, **operands, **place, **more)]
        scale = number(0, 3) > 0
        normalise = source is Source.FIXED and self._may_normalise(rows, channels) and number(0, 3) > 0
        operands |= {"scale": int(scale), "normalise": int(normalise)}
        if scale or (source is Source.FIXED and not normalise):
            operands |= self._result(rows, channels, operands["source_line"] if source is Source.FIXED else None)
            if operands["add"]:
                operands["maximum"] = number(0, 1)
            elif scale and number(0, 1):
                operands |= self._factors()
        return [make(Opcode.VECTOR, **operands, **self._codes(channels))]

    def embedding(self) -> list[Instruction]:
        """Return a VECTOR that embeds words: what the gathers, or any LOAD, have left."""
        a, number = self.a, self.number
        if not a.token_lines:
            return []
        rows = number(1, a.rows)
        most = min(_MOST_SLICES, a.level_lines, a.fixed_lines)
        slices = self.scene.either(most, number(1, most))
        while rows * word_lines(a, slices) > a.word_lines or rows * slices > min(a.embedding_lines, a.fixed_lines):
            rows, slices = max(1, rows - 1), max(1, slices - 1)
        channels = number((slices - 1) * a.vector_lanes + 1, slices * a.vector_lanes)
        typed = number(0, 1)
        return [
            make(
                Opcode.VECTOR,
                source=Source.EMBEDDING,
                rows=rows,
                channels=channels,
                shift=number(0, 31),
                source_line=number(0, a.word_lines - rows * word_lines(a, slices)),
                add_line=number(0, a.embedding_lines - rows * slices),
                scale_line=number(0, a.embedding_lines - (rows if typed else 1) * slices),
                typed=typed,
                keep=number(0, 3) and 1,
                statistics=number(0, 1),
                fixed_line=number(0, a.fixed_lines - rows * slices),
                **self._levels(channels),
                **self._codes(channels),
            )
        ]

    def mean(self) -> list[Instruction]:
        """Return a MEAN: with the multiplier and shift of its rows, or with any; its result above or below them."""
        a, number = self.a, self.number
        if not a.vector_lanes:
            return []
        slices = number(1, min(_MOST_SLICES, a.fixed_lines // 2))
        most = min((a.fixed_lines - slices) // slices, _MOST_STEPS // slices)
        rows = number(1, most) if number(0, 2) else number(1, min(4, most))
        total = (rows + 1) * slices
        first = number(0, a.fixed_lines - total)
        source, result = self.scene.either((first, first + rows * slices), (first + slices, first))
        power = (rows - 1).bit_length()
        usual = ((1 << 14 + power) + rows // 2) // rows, 14 + power
        multiplier, shift = self.scene.either(usual, (number(0, (1 << 15) - 1), number(0, 24)))
        channels = number((slices - 1) * a.vector_lanes + 1, slices * a.vector_lanes)
        place = {"source_line": source, "fixed_line": result, "rows": rows, "channels": channels}
        return [make(Opcode.MEAN, multiplier=multiplier, shift=shift, **place)]

    # --- parts ---------------------------------------------------------------------------------------------------

    def _shape(self) -> tuple[int, int]:
        """Return rows and channels; often those of the last statistics, so that a norm may follow."""
        a, number = self.a, self.number
        channels = self.scene.machine.vector.moments.channels.tolist()
        if channels[0] and self.scene.random.random() < 0.6:
            rows, found = number(1, a.rows), channels[0]
            rows = min(rows, next((r for r, c in enumerate(channels) if c != found), a.rows))
            if self._fits(rows, found):
                return rows, found
        rows = number(1, a.rows)
        slices = number(1, _MOST_SLICES)
        while slices > 1 and not self._fits(rows, slices * a.vector_lanes):
            slices -= 1
        if not self._fits(rows, slices * a.vector_lanes):
            return 1, 1
        return rows, number((slices - 1) * a.vector_lanes + 1, slices * a.vector_lanes)

    def _fits(self, rows: int, channels: int) -> bool:
        """Tell whether the buffers of VECTOR have room for so much."""
        a, slices = self.a, self._slices(channels)
        sums = -(-rows // a.drain_rows) * -(-channels // a.sum_line_sums)
        lines = min(a.scale_lines, a.level_lines)
        return slices <= lines and rows * slices <= a.fixed_lines and sums <= a.sum_lines

    def _may_normalise(self, rows: int, channels: int) -> bool:
        return bool((self.scene.machine.vector.moments.channels[:rows] == channels).all())

    def _sums(self, rows: int, channels: int) -> int:
        a = self.a
        return self.number(0, a.sum_lines - -(-rows // a.drain_rows) * -(-channels // a.sum_line_sums))

    def _fixed(self, rows: int, channels: int) -> int:
        return self.number(0, self.a.fixed_lines - rows * self._slices(channels))

    def _slices(self, channels: int) -> int:
        return -(-channels // self.a.vector_lanes)

    def _levels(self, channels: int) -> Operands:
        return {
            "level_line": self.number(0, self.a.level_lines - self._slices(channels)),
            "epsilon": self.scene.either(0, 1, self.number(0, (1 << 31) - 1)),
        }

    def _result(self, rows: int, channels: int, source: int | None) -> Operands:
        """Return what becomes of fixed numbers: added to others, kept where no step reads what another writes."""
        steps = rows * self._slices(channels)
        operands = {"add": self.number(0, 1), "keep": self.number(0, 2) and 1, "statistics": self.number(0, 1)}
        for _ in range(6):
            kept = self._fixed(rows, channels)
            added = kept if self.scene.rarely() else self._fixed(rows, channels)
            if all(line in (None, kept) or abs(line - kept) >= steps for line in (source, added)):
                break
        else:
            kept = added = self._fixed(rows, channels) if source is None else source
        return operands | {"fixed_line": kept, "add_line": added}

    def _factors(self) -> Operands:
        """Return what makes numbers of the fixed buffer factors; where scales are does not matter then."""
        return {"multiply": 1, "scale_line": self.number(0, 65535)}

    def _codes(self, channels: int) -> Operands:
        """Return sets of codes, each in lines of its own or anywhere."""
        a, number, space = self.a, self.number, range(self.a.activation_lines)
        group = number(0, 2 * a.line_slices)
        lines = -(-(group + self._slices(channels)) // a.line_slices)
        sets = min(number(0, 3), len(space) // lines)
        if number(0, 2):
            firsts = self.scene.random.sample(range(space.start, space.stop - lines + 1, lines), sets)
        else:
            firsts = [space.start + number(0, len(space) - lines) for _ in range(sets)]
        names = ("code_line", "code_line_1", "code_line_2")
        return {"sets": sets, "code_group": group} | dict(zip(names, firsts, strict=False))

    def _planes(self, channels: int, planes: int) -> Operands:
        """Return where the planes of codes go, or nothing if there is no room for them."""
        a, number = self.a, self.number
        group = number(0, a.line_slices)
        lines = -(-(group + self._slices(channels)) // a.line_slices)
        if lines * planes > a.activation_lines:
            return {}
        stride = number(0, (a.activation_lines - lines) // (planes - 1))
        first = number(0, a.activation_lines - lines - (planes - 1) * stride)
        return {"code_line": first, "code_line_1": stride, "code_group": group}
