"""Random products of loose programs: any planes, sums in pieces, bits to any buffer, sums to both of theirs."""

from __future__ import annotations

from hw.isa import Destination, Instruction, Opcode, SumsDestination, make
from tests.agreement.loose_scene import Scene

_MOST_WORDS = 40
_MOST_KEYS = 96


class LooseProducts:
    """Makes a MATMUL, or several, with the BINARIZE or SUMS behind."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.a = scene.a
        self.readable: dict[str, range] = {}
        self.writable = range(0)
        self.destination = Destination.OUTPUT
        self.right, self.transpose, self.line_pieces = "weight", 0, 1

    def bits(self) -> list[Instruction]:
        """Return a product whose bits go anywhere; of a buffer that is read and written, to other lines."""
        a, scene = self.a, self.scene
        self._choose_lines(scene.either(*Destination) if a.key_lines else scene.number(0, 1))
        if scene.random.random() < 0.3:
            return self._sum_in_pieces()
        planes = self._planes()
        words = scene.number(1, self._most_words(planes))
        rows, groups = scene.number(1, 4 * a.rows), scene.number(1, min(3, a.threshold_lines))
        pad = 0 if planes["unsigned"] else scene.number(0, a.word_bits - 1)
        rows, groups = self._room(rows, groups)
        product = self._matmul(words, rows, groups, first=1, handover=1, pad=pad, **planes)
        return [product, self._binarize(rows, groups)]

    def sums(self) -> list[Instruction]:
        """Return a product whose sums go to the sums buffer."""
        a, number = self.a, self.scene.number
        if not a.vector_lanes:
            return []
        rows = number(1, min(a.rows, a.sum_lines * a.drain_rows))
        blocks = -(-rows // a.drain_rows)
        groups = number(1, min(6, a.sum_lines // blocks * a.sum_line_groups))
        offset = number(0, a.sum_lines // blocks * a.sum_line_groups - groups)
        line, stride = self.scene.places(range(a.sum_lines), -(-(offset + groups) // a.sum_line_groups), blocks)
        return self._sums(rows, groups, {"output_line": line, "output_group": offset, "output_stride": stride})

    def scores(self) -> list[Instruction]:
        """Return a product whose sums go to the score buffer: often rows as SOFTMAX reads them, of any length."""
        a, number = self.a, self.scene.number
        if not a.row_lanes:
            return []
        rows = number(1, min(a.rows, a.score_lines * a.drain_rows))
        blocks = -(-rows // a.drain_rows)
        most = min(_MOST_KEYS // a.columns, a.score_lines // blocks * a.score_line_groups)
        groups = number(1, most)
        lines = -(-groups // a.score_line_groups)
        line = number(0, a.score_lines - blocks * lines)
        place = {"output_line": line, "output_group": 0, "output_stride": lines}
        if blocks * lines < a.score_lines and self.scene.rarely():
            place["output_group"] = number(0, (a.score_lines - line - blocks * lines) * a.score_line_groups)
        slot = {"destination": SumsDestination.SCORE, "slot": number(0, a.score_slots - 1)}
        return self._sums(rows, groups, place | slot)

    def _sums(self, rows: int, groups: int, place: dict[str, int]) -> list[Instruction]:
        self._choose_lines(Destination.OUTPUT)
        planes = self._planes()
        words = self.scene.number(1, min(12, self._most_words(planes)))
        pad = 0 if planes["unsigned"] else self.scene.number(0, self.a.word_bits - 1)
        shape = {"rows": rows, "column_groups": groups, "spare": self.scene.number(0, self.a.columns - 1)}
        product = self._matmul(words, rows, groups, first=1, handover=1, pad=pad, **planes)
        return [product, make(Opcode.SUMS, **place, **shape)]

    def _choose_lines(self, destination: int) -> None:
        a, scene = self.a, self.scene
        self.destination = Destination(destination)
        self.readable = {
            "activation": range(a.activation_lines),
            "weight": range(a.weight_lines),
            "key": range(a.key_lines),
        }
        self.writable = range(a.output_lines)
        if self.destination is not Destination.OUTPUT:
            name = self.destination.name.lower()
            self.readable[name], self.writable = scene.cut(self.readable[name])
        self.right = scene.either("weight", "key") if a.key_lines else "weight"

    # --- operands ------------------------------------------------------------------------------------------------

    def _planes(self) -> dict[str, int]:
        """Return what a sum is made of: one plane of each operand or several, the first of which may be subtracted."""
        a, number = self.a, self.scene.number
        if self.scene.random.random() < 0.4:
            return {"unsigned": number(0, 1), "activation_planes": 1, "weight_planes": 1, "plain": 0}
        while True:
            plain = number(0, 1)
            planes = (number(1, a.code_bits), number(1, a.code_bits) if plain else 1)
            form = {"unsigned": 1, "plain": plain, "activation_planes": planes[0], "weight_planes": planes[1]}
            if self._most_words(form) > 0:
                signs = 1 if a.code_bits > 1 else 0
                return form | {"activation_negative": number(0, signs), "weight_negative": number(0, signs)}

    def _sum_in_pieces(self) -> list[Instruction]:
        """Return one tile whose sum is made by several instructions, each from lines of its own."""
        a, number = self.a, self.scene.number
        form = {"unsigned": number(0, 1), "activation_planes": 1, "weight_planes": 1, "plain": 0}
        form["plain"] = form["unsigned"] and number(0, 1)
        if self._most_words(form) < 1:
            form["plain"] = 0
        left, pieces = self._most_words(form), []
        while left > 0 and len(pieces) < 4:
            pieces.append(number(1, left))
            left -= pieces[-1]
        rows, _ = self._room(number(1, a.rows), 1)
        products = [
            self._matmul(words, rows, 1, pad=0, first=int(place == 0), handover=int(place == len(pieces) - 1), **form)
            for place, words in enumerate(pieces)
        ]
        return [*products, self._binarize(rows, 1)]

    def _most_words(self, form: dict[str, int]) -> int:
        """Return the words that a sum of this form can add up and that the planes in both buffers have lines for."""
        a = self.a
        planes = form["activation_planes"], form["weight_planes"]
        bits = a.max_inputs // ((1 << planes[0]) - 1) // ((1 << planes[1]) - 1) // (1 + form["plain"])
        lines = min(len(self.readable["activation"]) // planes[0], len(self.readable[self.right]) // planes[1])
        return min(bits // a.word_bits, lines * a.line_words, _MOST_WORDS)

    def _matmul(self, words: int, rows: int, groups: int, **form: int) -> Instruction:
        a, lines = self.a, -(-words // self.a.line_words)
        operands: dict[str, int] = {"keys": int(self.right == "key")}
        for name, space, count in (
            ("activation", self.readable["activation"], -(-rows // a.rows)),
            ("weight", self.readable[self.right], groups),
        ):
            planes = form[f"{name}_planes"]
            plane_stride = self.scene.number(0, (len(space) - lines) // (planes - 1) if planes > 1 else 9)
            reach = lines + (planes - 1) * plane_stride
            first, stride = self.scene.places(space, reach, count)
            operands |= {f"{name}_line": first, f"{name}_stride": stride, f"{name}_plane_stride": plane_stride}
        return make(Opcode.MATMUL, words=words, rows=rows, column_groups=groups, **operands, **form)

    def _room(self, rows: int, groups: int) -> tuple[int, int]:
        """Choose how bits are written; return as many rows and column groups as there is room for."""
        a = self.a
        self.transpose = int(self.destination is Destination.KEY and self.scene.random.random() < 0.5)
        pieces = {
            Destination.OUTPUT: a.output_line_groups,
            Destination.ACTIVATION: a.line_groups,
            Destination.KEY: a.line_row_groups if self.transpose else a.line_groups,
        }
        self.line_pieces = pieces[self.destination]
        most = len(self.writable) * self.line_pieces
        if self.transpose:
            return min(rows, most * a.rows), groups
        return rows, min(groups, most)

    def _binarize(self, rows: int, groups: int) -> Instruction:
        a, number = self.a, self.scene.number
        tiles, bank = -(-rows // a.rows), 0
        along, across = (tiles, groups) if self.transpose else (groups, tiles)
        if self.destination is Destination.KEY and not self.transpose:
            unit = min(a.rows, a.columns)
            bank = unit * number(0, a.columns // unit - 1)
            across = -(-(bank + rows) // a.columns)
        offset = number(0, len(self.writable) * self.line_pieces - along)
        needed = -(-(offset + along) // self.line_pieces)
        line, stride = self.scene.places(self.writable, needed, across)
        shared = number(0, 1)
        return make(
            Opcode.BINARIZE,
            destination=self.destination,
            transpose=self.transpose,
            shared=shared,
            threshold_line=number(0, a.threshold_lines - (1 if shared else groups)),
            output_line=line,
            output_group=offset,
            output_stride=stride,
            output_bank=bank,
            spare=self.scene.either(0, number(0, a.columns - 1)),
            rows=rows,
            column_groups=groups,
        )
