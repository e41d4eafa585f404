"""A program written by hand in which every unit waits for another: products, sums, norms with codes, keys, words that
are gathered and embedded, attention codes, a mean, a vote, and an EXIT that ends the run before its last instructions.

Everything that it reads it has written in the same run or is 0, so it can be run again and again, after faults too.
"""

from __future__ import annotations

from random import Random

from hw.arch import Accelerator
from hw.isa import TOKEN_UNITS, Buffer, Destination, Instruction, Opcode, Source, SumsDestination, Vote, make
from hw.program import Program, Region

CHAINED = Accelerator(
    name="chained",
    rows=2,
    columns=2,
    word_bits=8,
    sum_bits=10,
    code_bits=2,
    activation_lines=8,
    weight_lines=4,
    key_lines=2,
    threshold_lines=2,
    output_lines=2,
    vector_lanes=2,
    sum_lines=4,
    fixed_lines=16,
    scale_lines=8,
    level_lines=4,
    row_lanes=2,
    score_lines=8,
    score_slots=2,
    table_lines=3,
    token_lines=2,
    word_lines=4,
    embedding_lines=4,
    classes=2,
    port_bits=256,
    queue_depth=1,
)
DATA, RESULTS = 4096, 1024
CHANNELS = 5
TOKENS, WORDS, WORD_BITS = DATA // 2, DATA // 2 + 64, 6
_LOADED, _ARRAY, _DRAINED, _STORE, _VECTOR, _ROW = (1 << int(unit) for unit in TOKEN_UNITS)


def chained_program() -> Program:
    """Return the program, on CHAINED, with its memory."""
    instructions = (*_loads(), *_norm(), *_attention(), *_rows(), *_vote(), *_dropped(), make(Opcode.HALT))
    code = b"".join(instruction.encode() for instruction in instructions)
    regions = (
        Region("data", 0, DATA, "read"),
        Region("results", DATA, RESULTS, "write"),
        Region("program", DATA + RESULTS, len(code), "program"),
    )
    return Program(CHAINED, instructions, DATA + RESULTS, regions, _data() + bytes(RESULTS) + code)


def _data() -> bytes:
    """Return scales, which are bits of activations and weights and entries of a table too, and behind them levels.

    Behind those are ids, and the words that they name.
    """
    random = Random(5)
    count = DATA // 32
    scales = [random.randrange(1 << 16) | random.randrange(-20000, 20000) % (1 << 32) << 16 for _ in range(count)]
    levels = [
        sum((random.randrange(-3000, 3000) % (1 << 17) | random.randrange(2) << 17) << 18 * place for place in range(3))
        for _ in range(count)
    ]
    parameters = b"".join(entry.to_bytes(8, "little") for entry in (*scales, *levels))
    ids = b"".join(number.to_bytes(2, "little") for number in (5, 2))
    return parameters + ids + random.randbytes(DATA - len(parameters) - len(ids))


def _loads() -> list[Instruction]:
    """Return the loads; the words are gathered as soon as their ids are there."""
    gather = {"gather": 1, "token": 0, "address": WORDS, "stride": WORD_BITS}
    words = {"row_beats": 2, "segments": 2, "segment_beats": 2, "line": 0}
    return [
        _load(Buffer.TOKEN, TOKENS, 1),
        _load(Buffer.ACTIVATION, 0, 4),
        _load(Buffer.WEIGHT, 256, 4, _ARRAY),
        make(Opcode.LOAD, buffer=Buffer.WORD, wait=_LOADED, **gather, **words),
        _load(Buffer.LEVEL, DATA // 4, 4),
        _load(Buffer.EMBEDDING, 64, 4, _VECTOR),
        _load(Buffer.THRESHOLD, 512, 2),
        _load(Buffer.SCALE, 0, 8, _VECTOR | _DRAINED),
        _load(Buffer.TABLE, 96, 3, _ROW),
    ]


def _load(buffer: Buffer, address: int, rows: int, signal: int = 0) -> Instruction:
    beats = CHAINED.parameter_line_beats if buffer in (Buffer.SCALE, Buffer.LEVEL) else 1
    shape = {"row_beats": beats, "segments": 1, "segment_beats": rows * beats, "stride": 0}
    return make(Opcode.LOAD, signal=signal, buffer=buffer, address=address, line=0, **shape)


def _norm() -> list[Instruction]:
    """Return words embedded, a product of two planes, its sums, a residual and two norms, the second one for codes."""
    row = {"rows": 1, "channels": CHANNELS}
    fixed = {"source": Source.FIXED, "source_line": 0, **row}
    codes = {"code_line": 4, "code_line_1": 5, "code_line_2": 6}
    words = {"rows": 1, "channels": CHANNELS, "source_line": 2, "add_line": 1, "scale_line": 0, "typed": 1}
    return [
        _vector(source=Source.EMBEDDING, keep=1, fixed_line=8, sets=1, code_line=3, wait=_LOADED, **words),
        _matmul(unsigned=1, plain=1, rows=1, column_groups=3, wait=_LOADED, **_PLANES),
        make(
            Opcode.SUMS,
            output_line=0,
            output_group=0,
            output_stride=0,
            rows=1,
            column_groups=3,
            wait=_LOADED,
            signal=_VECTOR,
        ),
        _vector(
            source=Source.SUMS, source_line=0, scale=1, shift=9, epsilon=77, wait=_LOADED | _DRAINED, **_KEEP, **row
        ),
        _vector(
            normalise=1,
            scale=1,
            scale_line=1,
            shift=12,
            add=1,
            sets=3,
            level_line=1,
            epsilon=3,
            **_KEEP,
            **codes,
            **fixed,
        ),
        _vector(normalise=1, sets=2, code_line=3, code_line_1=7, code_group=1, wait=_VECTOR, signal=_ARRAY, **fixed),
    ]


def _attention() -> list[Instruction]:
    """Return the product of those codes, its bits as keys, and the product with them, stored."""
    return [
        _matmul(activation_line=4, pad=3, wait=_VECTOR),
        _binarize(destination=Destination.KEY, transpose=1, signal=_ARRAY),
        _matmul(unsigned=1, keys=1, activation_line=5, wait=_DRAINED),
        _binarize(threshold_line=1, signal=_STORE | _VECTOR),
        make(Opcode.STORE, wait=_DRAINED, address=DATA, **_STORED),
        make(Opcode.EXIT),
        _vector(source=Source.FIXED, source_line=0, rows=1, channels=CHANNELS, statistics=1, wait=_DRAINED | _VECTOR),
    ]


def _rows() -> list[Instruction]:
    """Return scores of two slots, their attention codes of two planes, and the product with these, stored."""
    rows = {"column_groups": 2, "weight_stride": 1}
    scores = {"destination": SumsDestination.SCORE, "output_group": 0, "output_stride": 2, "rows": 2, "spare": 1}
    codes = {"keys": 3, "rows": 2, "planes": 2, "code_plane_stride": 1, "table_line": 0, "last_entry": 30}
    codes |= {"multiplier": 3, "shift": 1, "level_line": 2}
    return [
        _matmul(**rows),
        make(Opcode.SUMS, slot=1, output_line=0, column_groups=2, signal=_ROW, **scores),
        _matmul(activation_line=1, **rows),
        make(Opcode.SUMS, slot=0, output_line=4, column_groups=2, signal=_ROW, **scores),
        make(Opcode.SOFTMAX, slot=1, score_line=0, code_line=4, code_group=1, wait=_LOADED | _DRAINED, **codes),
        make(Opcode.SOFTMAX, slot=0, score_line=4, code_line=6, wait=_DRAINED, signal=_ARRAY, **codes),
        _matmul(unsigned=1, plain=1, activation_line=6, wait=_ROW, **_PLANES),
        _binarize(output_line=1, signal=_STORE),
        make(Opcode.STORE, wait=_DRAINED, address=DATA + 64, **_STORED | {"line": 1}, signal=_VECTOR),
    ]


def _vote() -> list[Instruction]:
    """Return a mean of the embedded row and of one behind it, the logits of two classes, stored, and the end."""
    place = {"channels": CHANNELS - 1, "source_line": 14, "scale_line": 0, "output_line": 0, "classes": 2}
    vote = {"first": 1, "vote": Vote.SOFT, "shift": 3, "vote_shift": 9, "multiplier": 700, "bound": 1 << 20}
    return [
        make(Opcode.MEAN, source_line=8, fixed_line=14, channels=CHANNELS - 1, rows=3, multiplier=21845, shift=16),
        make(Opcode.CLASSIFY, swing=0, wait=_STORE | _VECTOR, signal=_STORE, **place, **vote),
        make(Opcode.STORE, wait=_VECTOR, address=DATA + 128, **_STORED),
        make(Opcode.EXIT),
    ]


def _dropped() -> list[Instruction]:
    """Return what a core must not do any more: it would wait for tokens, load and store."""
    return [
        _load(Buffer.ACTIVATION, 512, 4, _ARRAY),
        make(Opcode.STORE, address=DATA + 256, **_STORED),
        _vector(source=Source.FIXED, source_line=0, rows=1, channels=CHANNELS, statistics=1, wait=_LOADED),
        make(Opcode.FENCE),
    ]


_STORED = {"line": 0, "row_beats": 1, "segments": 1, "segment_beats": 2, "stride": 0}
_PLANES = {"activation_planes": 2, "activation_negative": 1, "activation_plane_stride": 1}
_KEEP = {"keep": 1, "statistics": 1}


def _matmul(**operands: int) -> Instruction:
    usual = {"unsigned": 0, "first": 1, "handover": 1, "activation_line": 0, "weight_line": 0, "words": 1, "pad": 0}
    usual |= {"rows": 2, "column_groups": 1, "activation_stride": 0, "weight_stride": 0}
    return make(Opcode.MATMUL, **usual | operands)


def _binarize(**operands: int) -> Instruction:
    usual = {
        "threshold_line": 0,
        "output_line": 0,
        "output_group": 0,
        "output_stride": 0,
        "rows": 2,
        "column_groups": 1,
    }
    return make(Opcode.BINARIZE, **usual | operands)


def _vector(**operands: int) -> Instruction:
    return make(Opcode.VECTOR, **{"wait": _VECTOR} | operands)
