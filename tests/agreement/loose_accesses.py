"""What an instruction reads and writes, line by line, from docs/machine.md: what the order of a loose program rests on.

Lines count in all banks at once. Two things that are no lines stand among them: a LOAD to the activation buffer and
whatever else writes that buffer must never overlap, nor CLASSIFY and the bits of a BINARIZE on their way to output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hw.arch import Accelerator
from hw.isa import Buffer, Destination, Instruction, Opcode, Source, SumsDestination

Places = set[tuple[str, int]]
Accesses = tuple[Places, Places]

_PORT = {("activation port", 0)}
_OUTPUT = {("output port", 0)}


def accesses(a: Accelerator, i: Instruction) -> Accesses:
    """Return what an instruction reads and what it writes."""
    maker = _MAKERS.get(i.opcode)
    return maker(a, i) if maker else (set(), set())


def buffer_shape(a: Accelerator, buffer: Buffer) -> tuple[int, int, int]:
    """Return banks, lines and beats of a line of what a LOAD writes; no lines where it is left out."""
    port, lanes, text = a.port_bits, a.vector_lanes > 0, a.token_lines > 0
    return {
        Buffer.ACTIVATION: (a.rows, a.activation_lines, a.line_beats),
        Buffer.WEIGHT: (a.columns, a.weight_lines, a.line_beats),
        Buffer.THRESHOLD: (1, a.threshold_lines, a.threshold_line_beats),
        Buffer.SCALE: (1, a.scale_lines * lanes, a.parameter_line_beats),
        Buffer.LEVEL: (1, a.level_lines * lanes, a.parameter_line_beats),
        Buffer.TABLE: (1, a.table_lines * (a.row_lanes > 0), a.table_line_bits // port),
        Buffer.TOKEN: (1, a.token_lines, a.token_line_bits // port),
        Buffer.WORD: (1, a.word_lines * text, a.word_line_bits // port),
        Buffer.EMBEDDING: (1, a.embedding_lines * text, a.embedding_line_bits // port),
    }[buffer]


def word_lines(a: Accelerator, slices: int) -> int:
    """Return the lines that a word of so many slices has in the word buffer."""
    return 1 + -(-slices // a.word_line_slices)


def _lines(name: str, first: int, count: int) -> Places:
    return {(name, line) for line in range(first, first + count)}


def _pieces(name: str, firsts: Iterable[int], group: int, groups: int, line_groups: int) -> Places:
    """Return the lines of so many pieces of a line, counted from each of some lines."""
    apart = range(group // line_groups, (group + groups - 1) // line_groups + 1)
    return {(name, first + line) for first in firsts for line in apart}


# --- by opcode --------------------------------------------------------------------------------------------------------


def _load(a: Accelerator, i: Instruction) -> Accesses:
    buffer = Buffer(i.buffer)
    banks, _, line_beats = buffer_shape(a, buffer)
    rows = i.segments * i.segment_beats // i.row_beats
    writes = _lines(buffer.name.lower(), i.line, -(-rows // banks) * (i.row_beats // line_beats))
    per_line = a.token_line_bits // 16
    ids = range(i.token // per_line, (i.token + i.segments - 1) // per_line + 1)
    reads = {("token", line) for line in ids} if i.gather else set()
    return reads, writes | (_PORT if buffer is Buffer.ACTIVATION else set())


def _store(a: Accelerator, i: Instruction) -> Accesses:
    rows = i.segments * i.segment_beats // i.row_beats
    return _lines("output", i.line, -(-rows // a.rows) * -(-i.row_beats // a.output_line_beats)), set()


def _matmul(a: Accelerator, i: Instruction) -> Accesses:
    lines, reads = -(-i.words // a.line_words), set()
    for name, first, tiles, stride, planes, apart in (
        ("activation", i.activation_line, -(-i.rows // a.rows), i.activation_stride, *_planes(i, "activation")),
        ("key" if i.keys else "weight", i.weight_line, i.column_groups, i.weight_stride, *_planes(i, "weight")),
    ):
        for tile in range(tiles):
            for plane in range(planes):
                reads |= _lines(name, first + tile * stride + plane * apart, lines)
    return reads, set()


def _planes(i: Instruction, name: str) -> tuple[int, int]:
    return getattr(i, f"{name}_planes"), getattr(i, f"{name}_plane_stride")


def _binarize(a: Accelerator, i: Instruction) -> Accesses:
    tiles = -(-i.rows // a.rows)
    reads = _lines("threshold", i.threshold_line, 1 if i.shared else i.column_groups)
    if i.destination == Destination.KEY:
        if i.transpose:
            steps, groups, line_groups = i.column_groups, tiles, a.line_row_groups
        else:
            steps, groups, line_groups = -(-(i.output_bank + i.rows) // a.columns), i.column_groups, a.line_groups
        name = "key"
    elif i.destination == Destination.ACTIVATION:
        name, steps, groups, line_groups = "activation", tiles, i.column_groups, a.line_groups
        reads |= _PORT
    else:
        name, steps, groups, line_groups = "output", tiles, i.column_groups, a.output_line_groups
        reads |= _OUTPUT
    firsts = [i.output_line + step * i.output_stride for step in range(steps)]
    return reads, _pieces(name, firsts, i.output_group, groups, line_groups)


def _sums(a: Accelerator, i: Instruction) -> Accesses:
    firsts = [i.output_line + block * i.output_stride for block in range(-(-i.rows // a.drain_rows))]
    if i.destination == SumsDestination.SUMS:
        return set(), _pieces("sums", firsts, i.output_group, i.column_groups, a.sum_line_groups)
    scores = _pieces("score", firsts, i.output_group, i.column_groups, a.score_line_groups)
    return set(), scores | {("slot", i.slot)}


def _vector(a: Accelerator, i: Instruction) -> Accesses:
    slices = -(-i.channels // a.vector_lanes)
    count = i.rows * slices
    if i.source == Source.SUMS:
        reads = _lines("sums", i.source_line, -(-i.rows // a.drain_rows) * -(-i.channels // a.sum_line_sums))
    elif i.source == Source.FIXED:
        reads = _lines("fixed", i.source_line, count)
    else:
        reads = _lines("word", i.source_line, i.rows * word_lines(a, slices)) | _lines("embedding", i.add_line, count)
        reads |= _lines("embedding", i.scale_line, count if i.typed else slices)
    if i.scale and not i.multiply:
        reads |= _lines("scale", i.scale_line, slices)
    if i.add or i.multiply:
        reads |= _lines("fixed", i.add_line, count)
    writes = _lines("fixed", i.fixed_line, count) if i.keep else set()
    if i.sets:
        firsts = [i.code_line + u * i.code_line_1 for u in range(i.planes)]
        if i.planes == 1:
            firsts = [i.code_line, i.code_line_1, i.code_line_2][: i.sets]
        reads |= _PORT | _lines("level", i.level_line, slices)
        writes |= _pieces("activation", firsts, i.code_group, slices, a.line_slices)
    return reads, writes


def _softmax(a: Accelerator, i: Instruction) -> Accesses:
    slices = -(-i.keys // a.row_lanes)
    reads = _lines("score", i.score_line, -(-i.rows // a.drain_rows) * -(-i.keys // a.score_line_sums))
    reads |= _lines("table", i.table_line, i.last_entry * 16 // a.table_line_bits + 1)
    reads |= _lines("table", i.level_line, -(-((1 << i.planes) - 1) * 32 // a.table_line_bits))
    firsts = [i.code_line + u * i.code_plane_stride for u in range(i.planes)]
    return (
        reads | _PORT | {("slot", i.slot)},
        _pieces("activation", firsts, i.code_group, slices, a.line_row_slices),
    )


def _mean(a: Accelerator, i: Instruction) -> Accesses:
    slices = -(-i.channels // a.vector_lanes)
    return _lines("fixed", i.source_line, i.rows * slices), _lines("fixed", i.fixed_line, slices)


def _table(a: Accelerator, i: Instruction) -> Accesses:
    lines = i.rows * -(-i.channels // a.vector_lanes)
    pieces = _lines("scale", i.table_line, -(-256 // a.vector_lanes))
    return pieces | _lines("fixed", i.source_line, lines), _lines("fixed", i.fixed_line, lines)


def _classify(a: Accelerator, i: Instruction) -> Accesses:
    slices = -(-i.channels // a.vector_lanes)
    reads = _lines("scale", i.scale_line, -(-i.classes // 8) * slices + i.classes)
    return reads | _lines("fixed", i.source_line, slices), _OUTPUT | _lines("output", i.output_line, i.classes)


_MAKERS: dict[Opcode, Callable[[Accelerator, Instruction], Accesses]] = {
    Opcode.LOAD: _load,
    Opcode.STORE: _store,
    Opcode.MATMUL: _matmul,
    Opcode.BINARIZE: _binarize,
    Opcode.SUMS: _sums,
    Opcode.VECTOR: _vector,
    Opcode.SOFTMAX: _softmax,
    Opcode.MEAN: _mean,
    Opcode.TABLE: _table,
    Opcode.CLASSIFY: _classify,
}
