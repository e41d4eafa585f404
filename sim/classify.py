"""MEAN and CLASSIFY in values: from fixed rows to one row, to logits, and to what the members of a network say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw.arch import Accelerator
from hw.isa import Instruction, Vote
from sim.checksum import checksum, fold_bytes, fold_fields
from sim.moments import round_shift, saturate
from sim.rules import check_classify, check_mean, require
from sim.transfers import require_lines

_FIXED_BITS = 16
_LOGIT_BITS = 32
_ENTRY_BYTES = 8
"""Bytes of an entry of the scale buffer, each the weight of one class."""


def execute_mean(accelerator: Accelerator, i: Instruction, fixed: np.ndarray) -> int:
    """Execute a MEAN on the fixed buffer [line, lane]; return the checksum of the words that it wrote."""
    check_mean(accelerator, i)
    slices = -(-i.channels // accelerator.vector_lanes)
    require_lines("fixed", i.source_line, i.rows * slices, len(fixed))
    require_lines("fixed", i.fixed_line, slices, len(fixed))
    sums = fixed[i.source_line : i.source_line + i.rows * slices].reshape(i.rows, -1).sum(axis=0)
    y = saturate(round_shift(sums * i.multiplier, i.shift), _FIXED_BITS)
    y[i.channels :] = 0
    lines = y.reshape(slices, -1)
    fixed[i.fixed_line : i.fixed_line + slices] = lines
    return checksum(fold_fields(lines & (1 << _FIXED_BITS) - 1, _FIXED_BITS))


@dataclass(frozen=True)
class Result:
    """What the registers show behind the last CLASSIFY: the leading class, whether decided, members, its total."""

    leader: int = 0
    decided: bool = False
    members: int = 0
    total: int = 0


class Classifier:
    """The totals int64 [class] of the members so far, none before the first CLASSIFY, and the result."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.totals = np.zeros(0, np.int64)
        self.result = Result()

    def execute(self, i: Instruction, fixed: np.ndarray, buffers: Mapping[str, np.ndarray]) -> int:
        """Execute a CLASSIFY; return the checksum of the words that it wrote."""
        check_classify(self.accelerator, i)
        if not i.first:
            before = len(self.totals)
            require(before, "first", "1 where no CLASSIFY is before", i.first)
            require(i.classes == before, "classes", f"those of the CLASSIFY before, {before}", i.classes)
        logits = self._logits(i, fixed, buffers["scale"][0])
        self._write(i, logits, buffers["output"][0])
        if i.first:
            self.totals = np.zeros(i.classes, np.int64)
        self.totals = self.totals + _contribution(i, logits)
        leader = int(self.totals.argmax())
        decided = i.vote != Vote.MEAN and _is_decided(self.totals, leader, i.swing)
        members = 1 if i.first else self.result.members + 1
        self.result = Result(leader, decided, members, int(self.totals[leader]))
        return checksum(
            np.concatenate(
                [
                    fold_fields(logits[:, None] & (1 << _LOGIT_BITS) - 1, _LOGIT_BITS),
                    fold_bytes(self.totals[:, None].astype("<i8").view(np.uint8)),
                    np.array([leader | decided << 16], np.uint32),
                ]
            )
        )

    def _logits(self, i: Instruction, fixed: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Return the logits, int64 [class]."""
        lanes = self.accelerator.vector_lanes
        slices, blocks = -(-i.channels // lanes), -(-i.classes // _ENTRY_BYTES)
        require_lines("fixed", i.source_line, slices, len(fixed))
        require_lines("scale", i.scale_line, blocks * slices + i.classes, len(scales))
        x = fixed[i.source_line : i.source_line + slices].ravel()[: i.channels]
        biases = i.scale_line + blocks * slices
        used = np.ascontiguousarray(scales[i.scale_line : biases, : lanes * _ENTRY_BYTES]).view(np.int8)
        weights = used.reshape(blocks, slices * lanes, _ENTRY_BYTES).swapaxes(1, 2).reshape(-1, slices * lanes)
        bias = np.ascontiguousarray(scales[biases : biases + i.classes, :4]).view("<i4").ravel()
        totals = weights[: i.classes, : i.channels].astype(np.int64) @ x + bias
        return saturate(round_shift(totals, i.shift), _LOGIT_BITS)

    def _write(self, i: Instruction, logits: np.ndarray, output: np.ndarray) -> None:
        """Write each logit to a line of the output buffer, which it fills with zeros."""
        require_lines("output", i.output_line, i.classes, len(output))
        lines = output[i.output_line : i.output_line + i.classes]
        lines[:] = 0
        lines[:, : _LOGIT_BITS // 8] = logits[:, None].astype("<i4").view(np.uint8)


def _contribution(i: Instruction, logits: np.ndarray) -> np.ndarray:
    """Return what a member adds to the total of each class."""
    if i.vote == Vote.HARD:
        return np.where(np.arange(len(logits)) == logits.argmax(), i.multiplier, 0)
    rounded = round_shift(logits * i.multiplier, i.vote_shift)
    return rounded if i.vote == Vote.MEAN else np.clip(rounded, -i.bound, i.bound)


def _is_decided(totals: np.ndarray, leader: int, swing: int) -> bool:
    """Tell whether members to come, who can move two totals against each other by `swing`, cannot change the class."""
    leads = totals[leader] - totals
    return bool((leads[leader + 1 :] >= swing).all() and (leads[:leader] > swing).all())
