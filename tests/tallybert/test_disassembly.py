"""Instructions in words: operands that are not defaults, lines, memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hw.isa import Buffer, Destination, Instruction, Source, Vote
from tallybert.disassembly import Touched, operand_text, operands, ranges, touch_all, touched_text
from tests.sim.programs import HALT, binarize, classify, load, matmul, program, sums, vector
from tests.sim.test_timing import QUICK
from tests.tallybert.recorded import chain, layer, layer_program


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([0], "0"),
        ([3, 4, 5], "3-5"),
        ([0, 1, 4, 8, 9], "0-1, 4, 8-9"),
        ([0, 2, 4, 6], "0, 2, 4 and 1 more up to 6"),
        ([0, 2, 4, 6, 8, 9], "0, 2, 4 and 2 more up to 9"),
    ],
    ids=["one", "run", "three", "four", "five"],
)
def test_ranges(lines: list[int], text: str) -> None:
    assert ranges(np.array(lines)) == text


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        (matmul(), "first words=1 rows=1 column_groups=1"),
        (
            matmul(first=0, handover=1, unsigned=1, pad=3, activation_line=7, weight_stride=2),
            "unsigned handover words=1 pad=3 rows=1 column_groups=1 weight_stride=2",
        ),
        (load(buffer=Buffer.WEIGHT, address=64, line=3), "row_beats=1 segments=1 segment_beats=1"),
        (binarize(destination=Destination.ACTIVATION), "destination=activation rows=1 column_groups=1"),
        (vector(source=Source.SUMS, scale=1, scale_line=4), "source=sums scale channels=1 rows=1"),
        (
            classify(vote=Vote.HARD),
            "classes=1 channels=1 vote=hard first multiplier=1 bound=1073741824",
        ),
        (HALT, ""),
    ],
    ids=["matmul", "odd matmul", "load", "binarize", "vector", "classify", "halt"],
)
def test_operands_in_words(instruction: Instruction, text: str) -> None:
    assert operand_text(instruction) == text


def test_operands_by_name() -> None:
    found = operands(load(buffer=Buffer.THRESHOLD, address=64, line=3))
    assert found == {"buffer": "threshold", "address": 64, "line": 3, "row_beats": 1, "segments": 1, "segment_beats": 1}
    assert operands(HALT) == {}


def test_a_layer() -> None:
    texts = [touched_text(found) for found in layer().touched]
    titles = [layer().title(number) for number in range(len(texts))]
    assert titles[:2] == ["LOAD 0: activations", "LOAD 1: weights"]
    assert texts[0] == "activations+0x0, 32 bytes -> activation 0-3"
    assert titles[-1].startswith("HALT ") and texts[-1] == ""
    stores = [text for title, text in zip(titles, texts, strict=True) if title.startswith("STORE")]
    assert stores and all(" -> outputs+0x" in text for text in stores)


def test_every_kind_of_instruction() -> None:
    """A gather says how it chooses; SUMS reads no buffer; CLASSIFY writes output lines."""
    texts = {i.opcode.name: touched_text(found) for i, found in zip(chain().instructions, chain().touched, strict=True)}
    assert {name for name, text in texts.items() if not text} == {"EXIT"}
    assert texts["SUMS"].startswith("-> ")
    assert " -> output " in texts["CLASSIFY"]
    gathers = [n for n, i in enumerate(chain().instructions) if i.opcode.name == "LOAD" and i.gather]
    assert "bytes at each id times" in touched_text(chain().touched[gathers[0]])


def test_segments_that_are_apart() -> None:
    apart = load(segments=2, segment_beats=4, row_beats=4, stride=1024, address=0)
    (found,) = touch_all(layer_program(), [apart])
    assert (found.region, found.memory) == ("activations", "activations+0x0, 2 x 16 bytes, 1024 apart")


def test_lines_of_sums_hold_several_groups() -> None:
    accelerator = QUICK.replace(vector_lanes=8, sum_lines=8, fixed_lines=8)
    instructions = [matmul(handover=1, column_groups=5), sums(output_line=1, column_groups=5), HALT]
    found = touch_all(program(accelerator, instructions, bytes(64)), instructions)
    assert accelerator.sum_line_groups == 4
    assert touched_text(found[1]) == "-> sums 1-2"


def test_memory_outside_the_regions() -> None:
    bare = replace(layer_program(), regions=())
    (found,) = touch_all(bare, [load(row_beats=4, segment_beats=4, address=4096)])
    assert (found.region, found.memory) == ("", "memory+0x1000, 16 bytes")


def test_an_operand_that_breaks_a_rule() -> None:
    (found,) = touch_all(layer_program(), [matmul(weight_line=8)])
    assert found == Touched({}, {}, problem="last weight line must be at most 7, not 8")
    assert touched_text(found) == ""
