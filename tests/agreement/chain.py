"""A program written by hand in which every unit waits for another: products, sums, norms with codes, keys.

Everything that it reads it has written in the same run or is 0, so it can be run again and again, after faults too.
"""

from __future__ import annotations

from random import Random

from hw.arch import Accelerator
from hw.isa import Buffer, Destination, Instruction, Opcode, Source, Unit, make
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
    scale_lines=4,
    level_lines=4,
    port_bits=256,
    queue_depth=1,
)
DATA, RESULTS = 2048, 1024
CHANNELS = 5
_LOADED, _ARRAY, _DRAINED, _STORE, _VECTOR = (1 << int(unit) for unit in Unit if unit is not Unit.SEQUENCER)


def chained_program() -> Program:
    """Return the program, on CHAINED, with its memory."""
    instructions = (*_loads(), *_norm(), *_attention(), make(Opcode.HALT))
    code = b"".join(instruction.encode() for instruction in instructions)
    regions = (
        Region("data", 0, DATA, "read"),
        Region("results", DATA, RESULTS, "write"),
        Region("program", DATA + RESULTS, len(code), "program"),
    )
    return Program(CHAINED, instructions, DATA + RESULTS, regions, _data() + bytes(RESULTS) + code)


def _data() -> bytes:
    """Return scales, which are bits of activations and weights too, and behind them levels."""
    random = Random(5)
    count = DATA // 16
    scales = [random.randrange(1 << 16) | random.randrange(-20000, 20000) % (1 << 32) << 16 for _ in range(count)]
    levels = [
        sum((random.randrange(-3000, 3000) % (1 << 17) | random.randrange(2) << 17) << 18 * place for place in range(3))
        for _ in range(count)
    ]
    return b"".join(entry.to_bytes(8, "little") for entry in (*scales, *levels))


def _loads() -> list[Instruction]:
    def load(buffer: Buffer, address: int, rows: int, signal: int = 0) -> Instruction:
        beats = CHAINED.parameter_line_beats if buffer in (Buffer.SCALE, Buffer.LEVEL) else 1
        shape = {"row_beats": beats, "segments": 1, "segment_beats": rows * beats, "stride": 0}
        return make(Opcode.LOAD, signal=signal, buffer=buffer, address=address, line=0, **shape)

    return [
        load(Buffer.ACTIVATION, 0, 4),
        load(Buffer.WEIGHT, 256, 4, _ARRAY),
        load(Buffer.THRESHOLD, 512, 2),
        load(Buffer.SCALE, 0, 4),
        load(Buffer.LEVEL, DATA // 2, 4, _VECTOR | _DRAINED),
    ]


def _norm() -> list[Instruction]:
    """Return a product of two planes, its sums, a residual and two norms, the second one for codes alone."""
    row = {"rows": 1, "channels": CHANNELS}
    fixed = {"source": Source.FIXED, "source_line": 0, **row}
    codes = {"code_line": 4, "code_line_1": 5, "code_line_2": 6}
    return [
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
    """Return the product of those codes, its bits as keys, the product with them, stored; and late statistics."""
    return [
        _matmul(activation_line=4, pad=3, wait=_VECTOR),
        _binarize(destination=Destination.KEY, transpose=1, signal=_ARRAY),
        _matmul(unsigned=1, keys=1, activation_line=5, wait=_DRAINED),
        _binarize(threshold_line=1, signal=_STORE | _VECTOR),
        make(Opcode.STORE, wait=_DRAINED, address=DATA, line=0, row_beats=1, segments=1, segment_beats=2, stride=0),
        make(Opcode.FENCE),
        _vector(source=Source.FIXED, source_line=0, rows=1, channels=CHANNELS, statistics=1, wait=_DRAINED | _VECTOR),
    ]


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
