"""The checker refuses each operand that breaks a rule: a program of all instructions with one thing changed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hw.arch import Accelerator
from hw.isa import FIELDS, Buffer, Opcode
from mapping.checker import check
from mapping.errors import CheckError
from sim.machine import execute
from sim.timing import simulate
from tests.mapping.cases import profile, with_operands
from tests.mapping.everything import (
    TINY,
    Edit,
    broken,
    changing,
    changing_both,
    everything,
    fenced,
    program,
    renamed,
    without,
)


def test_the_program_of_everything_is_good() -> None:
    made = program(fenced(everything()))
    assert {i.opcode for i in made.instructions} == set(Opcode)
    check(made)
    execute(made)


LOADS = [
    (
        changing("word", buffer=9),
        "buffer must be one that there is, activation (0), weight (1), threshold (2), scale (3)",
    ),
    (changing("scale", row_beats=8), "row_beats must be a multiple of the 16 beats of a line, not 8"),
    (changing("embedding", row_beats=2), "row_beats must be a multiple of the 4 beats of a line, not 2"),
    (changing("table", line=1), "last table line must be at most 15, not 16"),
    (changing("token", line=1), "last token line must be at most 3, not 4"),
    (changing("word", line=10), "last word line must be at most 15, not 17"),
    (changing("embedding", line=10), "last embedding line must be at most 31, not 33"),
    (changing("scale", line=41), "last scale line must be at most 47, not 48"),
    (changing("level", line=1), "last level line must be at most 3, not 4"),
    (changing("table", token=1), "token must be 0 without gather, not 1"),
    (changing("word", token=5), "last token line must be at most 3, not 4"),
    (changing("word", stride=13), "stride must be at most 12, not 13"),
    (changing("word", stride=2), "segment must be at most the 4 bytes of 2^stride, not 8"),
    (changing("word", address=4), "address must be a multiple of 2^stride (8), not 4"),
    (changing("word", address=4096), "region gathered from must be for read, not results for write"),
    (changing("word", address=12288), "memory 0x3000 to 0x3008 must be inside one region, not outside"),
    (changing("word", buffer=Buffer.TOKEN, segments=1), "buffer must be other than token (6) with gather, not 6"),
    (changing("token", segments=2, segment_beats=2, stride=4092), "memory 0x0 to 0x1004 must be inside one region"),
]

PRODUCTS = [
    (changing("score product", keys=0, weight_line=7), "last weight line must be at most 7, not 9"),
    (changing("score product", weight_line=14), "last key line must be at most 15, not 16"),
    (changing("score product", plain=1), "plain must be 0 where unsigned is 0, not 1"),
    (
        changing("score product", activation_planes=2),
        "activation_planes must be 1 where unsigned, first or handover is 0",
    ),
    (
        changing("score product", weight_planes=2),
        "weight_planes must be 1 where unsigned, first or handover is 0, not 2",
    ),
    (changing("score product", weight_negative=1), "weight_negative must be 0 where unsigned, first or handover is 0"),
    (changing("score product", activation_negative=1), "activation_negative must be 0 where unsigned, first or "),
    (changing("context product", activation_planes=5), "activation_planes must be at most code_bits, 4, not 5"),
    (changing("planes product", weight_planes=2), "weight_planes must be 1 where plain is 0, not 2"),
    (changing("planes product", activation_plane_stride=12), "last activation line must be at most 31, not 32"),
    (changing("context product", weight_planes=2, weight_plane_stride=9), "last key line must be at most 15, not 20"),
    (changing("context product", pad=1), "pad must be less than 1 here, not 1"),
    (
        changing("context product", words=22, weight_line=0),
        "inputs of a sum, times 6 for the planes, must be at most 2046, not 2112",
    ),
    (changing("key 2", destination=3), "destination must be output (0), activation (1) or key (2), not 3"),
    (changing("key 2", spare=4), "spare must be less than the 4 columns, not 4"),
    (changing("score", spare=4), "spare must be less than the 4 columns, not 4"),
    (changing("context", transpose=1), "transpose must be 0 where destination is not key (2), not 1"),
    (changing("context", output_bank=4), "output_bank must be 0 where no rows go to the key buffer, not 4"),
    (changing("value", output_bank=4), "output_bank must be 0 where no rows go to the key buffer, not 4"),
    (changing("key 2", output_bank=2), "output_bank must be a multiple of 4 below the 4 columns, not 2"),
    (changing("key", output_bank=4), "output_bank must be a multiple of 4 below the 4 columns, not 4"),
    (changing("key", output_stride=0), "output_stride must be at least the 1 lines of a tile, not 0"),
    (changing("value", output_stride=0), "output_stride must be at least the 1 lines of a tile, not 0"),
    (changing("value", output_line=15), "last key line must be at most 15, not 16"),
    (changing("key", output_line=14), "last key line must be at most 15, not 16"),
    (changing("context", output_line=32), "last activation line must be at most 31, not 32"),
    (changing("value", threshold_line=4), "last threshold line must be at most 3, not 4"),
    (changing("key 2", threshold_line=3), "last threshold line must be at most 3, not 4"),
    (changing_both("score product", "score", rows=5), "rows must be at most the array's 4, not 5"),
    (changing("score", output_stride=0), "output_stride must be at least the 2 lines of a tile, not 0"),
    (changing("score", slot=2), "slot must be at most 1, not 2"),
    (changing("sums", slot=1), "slot must be 0 where destination is sums (0), not 1"),
    (changing("sums", output_line=5), "last sums line must be at most 7, not 8"),
    (changing("score", output_line=13), "last score line must be at most 15, not 16"),
    (changing("sums", rows=3), "rows must be 4 as in MATMUL "),
    (changing("sums", column_groups=3), "column_groups must be 4 as in MATMUL "),
    (without("sums"), "its BINARIZE or SUMS must follow the handover, not FENCE (instruction "),
    (without("sums product"), "SUMS must be behind a MATMUL with handover, not alone"),
]

HELD = [
    (changing("embed", statistics=0), "statistics of row 0 must be left by a VECTOR before, not missing"),
    (changing("embed", rows=3), "statistics of row 3 must be left by a VECTOR before, not missing"),
    (
        changing("normalise", channels=15),
        "channels must be 16 as in instruction 18, which left the statistics of row 0",
    ),
    (changing("softmax", slot=0), "slot 0 must be filled by a SUMS before, not empty"),
    (changing_both("score product", "score", rows=3), "rows must be at most 3 as SUMS "),
    (changing("softmax", keys=5), "keys must be 6 as SUMS 34 has left in slot 1, not 5"),
    (changing("softmax", score_line=2), "score_line must be 0 as SUMS 34 has left in slot 1, not 2"),
    (changing("score", output_stride=3), "output_stride of SUMS 34 must be 2 for a SOFTMAX, not 3"),
    (changing("classify", first=0), "first must be 1 in the first CLASSIFY, not 0"),
    (changing("classify 2", classes=2), "classes must be 3 as in CLASSIFY "),
]

READS = [
    (without("token"), "token lines 0-2 must be written before being read, not empty"),
    (without("word"), "word lines 0-7 must be written before being read, not empty"),
    (changing("word", segments=3), "word lines 0-7 must be written before being read, not empty"),
    (without("embedding"), "embedding lines 0-7 must be written before being read, not empty"),
    (changing("embedding", segment_beats=60), "embedding lines 8-15 must be written before being read"),
    (without("scale"), "scale lines 0-1 must be written before being read, not empty"),
    (without("level"), "level lines 0-1 must be written before being read, not empty"),
    (without("threshold"), "threshold line 0 must be written before being read, not empty"),
    (without("table"), "table lines 0-4 must be written before being read, not empty"),
    (changing("table", segment_beats=10), "table lines 8-10 must be written before being read, not empty"),
    (without("weight"), "weight line 0 must be written before being read, not empty"),
    (without("embed", "normalise"), "fixed lines 0-7 must be written before being read, not empty"),
    (without("key product", "key"), "key line 0 must be written before being read, not empty"),
    (changing("score", spare=1), "key line 2 must be written before being read, not empty"),
    (without("value product", "value"), "key lines 10-11 must be written before being read, not empty"),
    (changing_both("key product", "key", rows=17), "activation line 4 must be written before being read, not empty"),
    (without("softmax"), "activation lines 16-17 must be written before being read, not empty"),
    (without("mean"), "fixed lines 24-25 must be written before being read, not empty"),
    (changing("multiply", add_line=30), "fixed lines 30-31 must be written before being read, not empty"),
    (without("multiply"), "fixed lines 26-27 must be written before being read, not empty"),
    (without("maximum"), "fixed lines 28-29 must be written before being read, not empty"),
    (without("pieces"), "scale lines 16-47 must be written before being read, not empty"),
    (changing("pieces", segment_beats=496), "scale lines 16-47 must be written before being read, not empty"),
    (changing("classify", source_line=16), "fixed lines 16-17 must be written before being read, not empty"),
    (without("sums product", "sums"), "sums lines 0-3 must be written before being read, not empty"),
    (changing_both("sums product", "sums", column_groups=3), "sums lines 0-3 must be written before being read"),
    (changing_both("sums product", "sums", rows=3), "sums lines 0-3 must be written before being read"),
    (changing("store", line=1), "output line 1 must be written before being read, not empty"),
    (
        changing("context 2", output_group=9),
        "activation line 19 must be written from the first position on, in order",
    ),
    (changing("context 2", output_group=1), "activation line 18 must be written from the first position on, in order"),
    (changing("value", output_group=1), "key lines 10-11 must be written from the first position on, in order"),
    (without("store"), "results in output lines 0-2 must be stored before being replaced, not lost"),
    (without("store logits"), "(exit): results in output line 0 of bank 0 must be stored, not left there"),
    (without("store logits 2"), "(halt): results in output line 0 of bank 0 must be stored, not left there"),
]


@pytest.mark.parametrize(
    ("edit", "message"),
    [*LOADS, *PRODUCTS, *HELD, *READS],
    ids=lambda value: value[:60] if isinstance(value, str) else None,
)
def test_rules(edit: Edit, message: str) -> None:
    assert message in broken(edit)


LEFT_OUT = [
    (TINY.replace(key_lines=0), "destination must be output (0) or activation (1), not 2"),
    (TINY.replace(code_bits=1), "planes must be at most code_bits, 1, not 2"),
    (TINY.replace(classes=0), "classes must be at most the accelerator's 0, not 3"),
    (TINY.replace(token_lines=0), "buffer must be one that there is, activation (0), weight (1), threshold (2), "),
    (TINY.replace(row_lanes=0), "buffer must be one that there is, activation (0), weight (1), threshold (2), "),
    (TINY.replace(vector_lanes=0, token_lines=0, classes=0), "buffer must be one that there is, activation (0), "),
]


@pytest.mark.parametrize(("chosen", "message"), LEFT_OUT)
def test_parts_that_are_left_out(chosen: Accelerator, message: str) -> None:
    assert message in broken(lambda steps: None, chosen)


@pytest.mark.parametrize(
    ("chosen", "names", "message"),
    [
        ({"token_lines": 0}, ("embed",), "source must be sums (0) or fixed (1) where there is no token buffer, not 2"),
        ({"row_lanes": 0}, ("score product", "score"), "destination must be other than score where there is no score"),
        ({"row_lanes": 0}, ("softmax",), "row_lanes must be at least 1 for SOFTMAX, not 0"),
        ({"key_lines": 0}, ("score product", "score"), "keys must be 0 where there is no key buffer, not 1"),
        ({"code_bits": 1}, ("planes product", "output"), "activation_planes must be at most code_bits, 1, not 2"),
        (
            {"vector_lanes": 0, "token_lines": 0, "classes": 0},
            ("sums product", "sums"),
            "destination must be other than",
        ),
        (
            {"vector_lanes": 0, "token_lines": 0, "classes": 0},
            ("mean",),
            "vector_lanes must be at least 1 for MEAN, not 0",
        ),
        (
            {"vector_lanes": 0, "token_lines": 0, "classes": 0},
            ("function",),
            "vector_lanes must be at least 1 for TABLE, not 0",
        ),
        ({"classes": 0}, ("exit",), "classes must be at least 1 for EXIT, not 0"),
    ],
)
def test_instructions_of_parts_that_are_left_out(chosen: dict[str, int], names: tuple[str, ...], message: str) -> None:
    def edit(steps: dict[str, object]) -> None:
        for name in set(steps) - set(names):
            del steps[name]

    assert message in broken(edit, TINY.replace(**chosen))


def test_a_negative_plane_needs_code_bits() -> None:
    def edit(steps: dict[str, object]) -> None:
        changing("planes product", activation_planes=1)(steps)
        for name in set(steps) - {"planes product", "output"}:
            del steps[name]

    message = broken(edit, TINY.replace(code_bits=1))
    assert "activation_negative must be 0 where code_bits is 1, not 1" in message


def test_scores_of_two_instructions(refused: Callable[..., str]) -> None:
    steps = everything()
    order = list(steps.items())
    index = list(steps).index("softmax")
    again = [("product again", steps["score product"]), ("again", with_operands(steps["score"], slot=0))]
    edited = dict(order[:index] + again + order[index:])
    message = refused(CheckError, check, program(fenced(edited)))
    assert "scores and maxima must be those of one SUMS, not of instructions [34, 37]" in message


def test_a_vocabulary_proves_every_word(refused: Callable[..., str]) -> None:
    made = program(fenced(everything()))
    check(made, 512)
    message = refused(CheckError, check, made, 513)
    assert "memory 0x0 to 0x1008 must be inside one region, not outside" in message


def test_a_region_that_shrinks(refused: Callable[..., str]) -> None:
    check(renamed("results", size=48))
    message = refused(CheckError, check, renamed("results", size=40))
    assert "memory 0x1020 to 0x102c must be inside one region, not outside" in message
    message = refused(CheckError, check, renamed("data", size=384))
    assert "memory 0x0 to 0x200 must be inside one region, not outside" in message


@pytest.mark.parametrize("seed", range(200))
def test_what_passes_runs_to_its_end(seed: int) -> None:
    source = random.Random(f"mutant {seed}")
    steps = everything()
    for _ in range(source.choice([1, 1, 2])):
        name = source.choice([name for name, instruction in steps.items() if FIELDS[instruction.opcode]])
        field = source.choice(FIELDS[steps[name].opcode])
        before, high = getattr(steps[name], field.name), (1 << field.width) - 1
        value = source.choice([0, 1, 2, 3, 4, 8, 10, 16, before + 1, before ^ 1 << source.randrange(field.width)])
        steps[name] = with_operands(steps[name], **{field.name: min(value, high)})
    print(f"seed {seed}: {name}: {steps[name]}")
    made = program(fenced(steps))
    try:
        check(made)
    except CheckError:
        return
    execute(made)
    simulate(TINY, made.instructions, profile(source))
