"""The values of a program: each instruction executed completely, in program order (docs/machine.md, section 2).

The order in time does not appear here. A program whose tokens are right gives the same values on the accelerator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.arch import Accelerator
from hw.isa import Buffer, Destination, Instruction, Opcode, SumsDestination
from hw.program import Program
from sim.checksum import checksum, fold_bits, fold_bytes, fold_fields
from sim.classify import Classifier, Result, execute_mean
from sim.errors import MachineError
from sim.rules import check_binarize, check_exit, check_sums, require
from sim.softmax import Softmax
from sim.sums import write_sums
from sim.table import execute_table
from sim.tiles import Tiles, compute_tiles
from sim.transfers import beat_numbers, gathered_offsets, read_rows, require_rows, segment_offsets, write_rows
from sim.vector import Vector
from sim.writes import read_thresholds, write_bits

__all__ = ["Execution", "Machine", "MachineError", "execute"]


@dataclass(frozen=True)
class Execution:
    """What a program leaves.

    The memory, uint8 from address 0; the checksum of each instruction's words, uint32, 0 for those behind the end; the
    index of the EXIT or HALT that ended the run; and what the registers of the vote show.
    """

    memory: np.ndarray
    checksums: np.ndarray
    end: int
    result: Result


def execute(program: Program) -> Execution:
    """Execute a program on its image."""
    halts = [index for index, i in enumerate(program.instructions) if i.opcode is Opcode.HALT]
    if halts != [len(program.instructions) - 1]:
        raise MachineError(
            f"program must have one HALT, its last instruction, not HALT at {halts} of {len(program.instructions)}"
        )
    machine = Machine(program.accelerator, np.frombuffer(program.image, np.uint8).copy())
    checksums, end = np.zeros(len(program.instructions), np.uint32), halts[0]
    for index, instruction in enumerate(program.instructions):
        try:
            checksums[index] = machine.execute(instruction)
            if instruction.opcode is Opcode.EXIT and machine.classifier.result.decided:
                machine.finish(instruction)
                end = index
                break
        except MachineError as error:
            raise MachineError(f"instruction {index} ({instruction}): {error}") from None
    return Execution(machine.memory, checksums, end, machine.classifier.result)


class Machine:
    """The state that instructions work on: memory, buffers, the sums in the array, the tiles on their way to DRAIN.

    Buffers are little-endian bytes, [bank, line, byte]; those of sums and of fixed numbers are in `vector`, with what
    else VECTOR holds. A buffer that is left out has no lines.
    """

    def __init__(self, accelerator: Accelerator, memory: np.ndarray) -> None:
        a = accelerator
        self.accelerator = a
        self.memory = memory
        line_bytes, parameter_bytes = a.line_bits // 8, a.parameter_line_bits // 8
        there, text = a.vector_lanes > 0, a.token_lines > 0
        self.buffers = {
            "activation": np.zeros((a.rows, a.activation_lines, line_bytes), np.uint8),
            "weight": np.zeros((a.columns, a.weight_lines, line_bytes), np.uint8),
            "key": np.zeros((a.columns, a.key_lines, line_bytes), np.uint8),
            "threshold": np.zeros((1, a.threshold_lines, a.threshold_line_bits // 8), np.uint8),
            "scale": np.zeros((1, a.scale_lines * there, parameter_bytes), np.uint8),
            "level": np.zeros((1, a.level_lines * there, parameter_bytes), np.uint8),
            "table": np.zeros((1, a.table_lines * (a.row_lanes > 0), a.table_line_bits // 8), np.uint8),
            "token": np.zeros((1, a.token_lines, a.token_line_bits // 8), np.uint8),
            "word": np.zeros((1, a.word_lines * text, a.word_line_bits // 8), np.uint8),
            "embedding": np.zeros((1, a.embedding_lines * text, a.embedding_line_bits // 8), np.uint8),
            "output": np.zeros((a.rows, a.output_lines, a.output_line_bits // 8), np.uint8),
        }
        self.vector = Vector(a)
        self.row = Softmax(a)
        self.classifier = Classifier(a)
        self.held = Tiles.zero(a)
        self.drained: Tiles | None = None
        self.drained_shape = (0, 0)

    def execute(self, instruction: Instruction) -> int:
        """Execute one instruction; return the checksum of the words that it wrote."""
        match instruction.opcode:
            case Opcode.LOAD:
                return self._load(instruction)
            case Opcode.MATMUL:
                return self._matmul(instruction)
            case Opcode.BINARIZE:
                return self._binarize(instruction)
            case Opcode.STORE:
                return self._store(instruction)
            case Opcode.SUMS:
                return self._sums(instruction)
            case Opcode.VECTOR | Opcode.MEAN | Opcode.TABLE | Opcode.CLASSIFY:
                return self._vector(instruction)
            case Opcode.SOFTMAX:
                return self.row.execute(instruction, self.buffers)
            case Opcode.EXIT:
                check_exit(self.accelerator)
            case Opcode.HALT:
                self.finish(instruction)
        return 0

    def _vector(self, i: Instruction) -> int:
        """Execute an instruction of the unit VECTOR."""
        match i.opcode:
            case Opcode.MEAN:
                return execute_mean(self.accelerator, i, self.vector.fixed)
            case Opcode.TABLE:
                return execute_table(self.accelerator, i, self.vector.fixed, self.buffers["scale"][0])
            case Opcode.CLASSIFY:
                return self.classifier.execute(i, self.vector.fixed, self.buffers)
        return self.vector.execute(i, self.buffers)

    def finish(self, i: Instruction) -> None:
        """End the run with a HALT or an EXIT; nothing may be on its way to DRAIN."""
        if self.drained is not None:
            raise MachineError(f"MATMUL with handover must be followed by its BINARIZE or SUMS, not by {i.opcode.name}")

    # --- LOAD and STORE ------------------------------------------------------------------------------------------

    def _load(self, i: Instruction) -> int:
        legal = [b.value for b in Buffer if self.buffers[b.name.lower()].size]
        if i.buffer not in legal:
            raise MachineError(f"buffer must be one of {', '.join(map(str, legal))}, not {i.buffer}")
        name = Buffer(i.buffer).name.lower()
        buffer = self.buffers[name]
        require_rows(i)
        line_beats = buffer.shape[2] // self.accelerator.beat_bytes
        if i.row_beats % line_beats:
            raise MachineError(f"row_beats must be a multiple of the {line_beats} beats of a line, not {i.row_beats}")
        if i.gather:
            offsets = gathered_offsets(self.accelerator, i, self.buffers["token"][0])
        else:
            require(not i.token, "token", "0 without gather", i.token)
            offsets = segment_offsets(self.accelerator, i)
        beats = self._beats()[beat_numbers(self.accelerator, i, offsets, len(self.memory))]
        write_rows(buffer, name, i, beats)
        return checksum(fold_bytes(beats))

    def _store(self, i: Instruction) -> int:
        require_rows(i)
        numbers = beat_numbers(self.accelerator, i, segment_offsets(self.accelerator, i), len(self.memory))
        beats = read_rows(self.buffers["output"], "output", i, self.accelerator.beat_bytes)
        self._beats()[numbers] = beats
        return checksum(fold_bytes(beats))

    def _beats(self) -> np.ndarray:
        """Return the memory as beats, a view; bytes behind the last whole beat are not in it."""
        size = self.accelerator.beat_bytes
        count = len(self.memory) // size
        return self.memory[: count * size].reshape(count, size)

    # --- MATMUL --------------------------------------------------------------------------------------------------

    def _matmul(self, i: Instruction) -> int:
        if self.drained is not None:
            raise MachineError("MATMUL with handover must be followed by its BINARIZE or SUMS, not by another MATMUL")
        tiles = compute_tiles(self.accelerator, self.buffers, i, self.held)
        self.held = tiles.last()
        if not i.handover:
            return 0
        self.drained, self.drained_shape = tiles, (i.rows, i.column_groups)
        count_bits = self.accelerator.count_bits
        sums = np.where(self._valid(i), tiles.sums, 0) & ((1 << count_bits) - 1)
        return checksum(fold_fields(sums.reshape(*sums.shape[:2], -1), count_bits))

    def _valid(self, i: Instruction) -> np.ndarray:
        """Return which rows of the array are valid in each row tile, bool [row tile, 1, row, 1]."""
        row_tiles = -(-i.rows // self.accelerator.rows)
        numbers = np.arange(row_tiles * self.accelerator.rows)
        return (numbers < i.rows).reshape(row_tiles, 1, self.accelerator.rows, 1)

    # --- BINARIZE and SUMS ---------------------------------------------------------------------------------------

    def _binarize(self, i: Instruction) -> int:
        tiles = self._take(i)
        check_binarize(self.accelerator, i)
        thresholds, polarity = read_thresholds(self.accelerator, self.buffers["threshold"][0], i)
        reached = tiles.values() >= thresholds[None, :, None, :]
        bits = (reached ^ polarity[None, :, None, :]) & self._valid(i)
        bits[:, -1, :, self.accelerator.columns - i.spare :] = False
        write_bits(self.buffers[Destination(i.destination).name.lower()], i, bits)
        return checksum(self._group_folds(bits, i.rows, 1))

    def _sums(self, i: Instruction) -> int:
        check_sums(self.accelerator, i)
        d = np.where(self._valid(i), self._take(i).values(), 0)
        d[:, -1, :, self.accelerator.columns - i.spare :] = 0
        if i.destination == SumsDestination.SCORE:
            self.row.write_scores(i, d[0])
        else:
            write_sums("sums", self.vector.sums, i, d[0])
        sum_bits = self.accelerator.sum_bits
        return checksum(self._group_folds(d & ((1 << sum_bits) - 1), i.rows, sum_bits))

    def _take(self, i: Instruction) -> Tiles:
        """Return the tiles of the MATMUL before this BINARIZE or SUMS, which must be of its shape."""
        if self.drained is None:
            raise MachineError(f"{i.opcode.name} must follow a MATMUL with handover, not an empty drain register")
        if (i.rows, i.column_groups) != self.drained_shape:
            raise MachineError(
                f"rows and column_groups must be those of the MATMUL, {self.drained_shape}, "
                f"not {(i.rows, i.column_groups)}"
            )
        tiles, self.drained = self.drained, None
        return tiles

    def _group_folds(self, fields: np.ndarray, rows: int, width: int) -> np.ndarray:
        """Return the folds of the groups of `drain_rows` rows, tile by tile; only the last row tile may be partial."""
        a = self.accelerator
        groups = -(-a.rows // a.drain_rows)
        padded = np.zeros((*fields.shape[:2], groups * a.drain_rows, a.columns), fields.dtype)
        padded[:, :, : a.rows] = fields
        words = padded.reshape(*fields.shape[:2], groups, -1)
        folds = fold_bits(words) if width == 1 else fold_fields(words, width)
        valid = rows - (len(fields) - 1) * a.rows
        last = folds[-1, :, : -(-valid // a.drain_rows)]
        return np.concatenate([folds[:-1].ravel(), last.ravel()])
