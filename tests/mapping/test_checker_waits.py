"""What the checker takes as order within a unit and across the sequencer: own waits, pulses, FENCE and EXIT."""

from __future__ import annotations

import pytest

from hw.isa import Opcode, Unit, make
from mapping.checker import check
from mapping.order import Order
from tests.mapping.everything import Steps, changing, everything, fenced, program, refusal
from tests.sim.programs import (
    ARRAY,
    DRAIN,
    FENCE,
    HALT,
    LOAD,
    VECTOR,
    binarize,
    load,
    matmul,
    store,
    sums,
    table,
    vector,
)

CLASSIFY = make(
    Opcode.CLASSIFY,
    **dict.fromkeys(("source_line", "scale_line", "output_line", "shift", "vote_shift", "vote", "multiplier"), 0),
    classes=1,
    channels=1,
    first=1,
)


def behind(steps: Steps, name: str, new: Steps) -> Steps:
    """Return the instructions with others behind one of them."""
    result: Steps = {}
    for key, instruction in steps.items():
        result[key] = instruction
        if key == name:
            result |= new
    return result


NEEDS = [
    (("token",), "token lines 0-2 must be written before being read", "LOAD"),
    (("embedding",), "embedding lines 0-7 must be written before being read", "LOAD"),
    (("normalise",), "fixed lines 0-7 must be written before being read", "VECTOR"),
    (("key", "key product 2", "key 2", "value"), "key line 0 must be written before being read", "DRAIN"),
    (("score",), "score lines 0-3 must be written before being read", "DRAIN"),
    (("softmax",), "activation lines 16-17 must be written before being read", "ROW"),
    (("context 2",), "activation line 18 must be written before being read", "DRAIN"),
    (("sums",), "sums lines 0-3 must be written before being read", "DRAIN"),
    (("quantize",), "activation lines 20-21 must be written before being read", "VECTOR"),
    (("output",), "output line 0 must be written before being read", "DRAIN"),
    (("mean",), "fixed lines 24-25 must be written before being read", "VECTOR"),
    (("pieces",), "scale lines 16-47 must be written before being read", "LOAD"),
    (("multiply",), "fixed lines 26-27 must be written before being read", "VECTOR"),
    (("maximum", "pieces"), "fixed lines 28-29 must be written before being read", "VECTOR"),
    (("function",), "fixed lines 24-25 must be written before being read", "VECTOR"),
    (("classify",), "output lines 0-2 must be written before being read", "VECTOR"),
    (("classify 2",), "output lines 0-2 must be written before being read", "VECTOR"),
]


@pytest.mark.parametrize(("names", "what", "unit"), NEEDS, ids=lambda value: str(value)[:30])
def test_a_fence_that_is_needed(names: tuple[str, ...], what: str, unit: str) -> None:
    steps = everything()
    made = fenced(steps, names)
    message = refusal(made)
    assert message.endswith(f"{what}; nothing makes it wait for {unit} instruction {made.index(steps[names[0]])}")


SPARED = [
    *("activation", "weight", "threshold", "scale", "level", "table"),
    *("embed", "store logits", "store logits 2", "exit", "context"),
]


@pytest.mark.parametrize("name", SPARED)
def test_a_fence_that_is_not_needed(name: str) -> None:
    check(program(fenced(everything(), (name,))))


def test_statistics_let_nothing_be_accepted() -> None:
    steps = everything()
    check(program(fenced(steps, ("embed",))))
    changing("embed", statistics=0)(steps)
    changing("normalise", normalise=0)(steps)
    check(program(fenced(steps)))
    message = refusal(fenced(steps, ("embed",)))
    assert "fixed lines 0-7 must be written before being read; nothing makes it wait for VECTOR instruction " in message
    changing("normalise", wait=VECTOR)(steps)
    check(program(fenced(steps, ("embed",))))


@pytest.mark.parametrize(
    ("name", "waiting"), [("multiply", "maximum"), ("maximum", "function"), ("function", "classify")]
)
def test_an_own_wait_orders_what_stands_in_the_fixed_buffer(name: str, waiting: str) -> None:
    steps = everything()
    changing("pieces", signal=VECTOR)(steps)
    changing("function", wait=LOAD)(steps)
    assert "nothing makes it wait for VECTOR instruction " in refusal(fenced(steps, (name, "pieces")))
    changing(waiting, wait=VECTOR | steps[waiting].wait)(steps)
    check(program(fenced(steps, (name, "pieces"))))


def test_a_table_settles_nothing() -> None:
    order = Order([table(), table(), table(wait=VECTOR), HALT], {}, 4)
    assert [clock[Unit.VECTOR] for clock in order.issued] == [-1, -1, 1, 2]


def test_an_own_wait_orders_a_gather() -> None:
    steps = everything()
    changing("word", wait=LOAD)(steps)
    check(program(fenced(steps, ("token",))))
    steps = {name: steps[name] for name in ("token", "weight", "word")}
    changing("word", wait=0)(steps)
    changing("weight", wait=LOAD)(steps)
    check(program(fenced(steps, ("token", "weight"))))


def test_loads_are_kept_apart_from_others_that_write_activations() -> None:
    for name, unit in (("normalise", "VECTOR"), ("context", "DRAIN"), ("softmax", "ROW")):
        steps = behind(everything(), name, {"more": load(line=31, segment_beats=4)})
        check(program(fenced(steps)))
        message = refusal(fenced(steps, (name,)))
        rule = f"activation buffer must not be written by LOAD and {unit} at a time"
        assert f"{rule}; nothing makes it wait for {unit} instruction " in message
    steps = behind(everything(), "embed", {"more": load(line=31, segment_beats=4)})
    check(program(fenced(steps)))
    message = refusal(fenced(steps, ("more",)))
    rule = "activation buffer must not be written by VECTOR and LOAD at a time"
    assert f"{rule}; nothing makes it wait for LOAD instruction " in message


def test_bits_to_output_are_kept_apart_from_classify() -> None:
    steps = everything()
    more = {"more product": matmul(handover=1, activation_line=8), "more": binarize(output_line=3)}
    stored = {"store more": store(line=3, address=4200)}
    early = behind(behind(steps, "function", more), "store logits", stored)
    check(program(fenced(early)))
    message = refusal(fenced(early, ("more",)))
    rule = "output buffer must not be written by VECTOR and DRAIN at a time"
    assert f"{rule}; nothing makes it wait for DRAIN instruction " in message
    late = behind(steps, "classify", more | stored)
    check(program(fenced(late)))
    message = refusal(fenced(late, ("classify",)))
    rule = "output buffer must not be written by DRAIN and VECTOR at a time"
    assert f"{rule}; nothing makes it wait for VECTOR instruction " in message


def test_the_own_bit_of_a_load_is_no_token() -> None:
    order = Order([load(), load(), load(wait=LOAD), load(), HALT], {}, 4)
    assert [clock[Unit.LOAD] for clock in order.issued] == [-1, -1, 1, 1, 3]


def test_what_settles() -> None:
    made = [load(signal=VECTOR), vector(wait=LOAD, statistics=1), vector(), vector(), CLASSIFY, vector(), HALT]
    order = Order(made, {}, 4)
    assert [clock[Unit.VECTOR] for clock in order.issued] == [-1, -1, 1, 1, 1, 4, 5]
    assert [clock[Unit.LOAD] for clock in order.issued] == [-1, 0, 0, 0, 0, 0, 0]


def test_exit_orders_as_a_fence_does() -> None:
    made = [load(), vector(), make(Opcode.EXIT), matmul(), HALT]
    order = Order(made, {}, 4)
    assert order.issued[3][Unit.LOAD] == 0
    assert order.issued[3][Unit.VECTOR] == 1


def test_sums_retire_behind_their_matmul() -> None:
    made = [matmul(handover=1), sums(signal=VECTOR), vector(wait=DRAIN), HALT]
    order = Order(made, {1: 0}, 4)
    assert order.issued[2][Unit.ARRAY] == 0
    assert order.issued[2][Unit.DRAIN] == 1


def test_a_sums_must_not_wait_for_its_own_matmul() -> None:
    steps = everything()
    changing("score product", signal=DRAIN)(steps)
    changing("score", wait=ARRAY)(steps)
    message = refusal(fenced(steps))
    assert "must not wait for MATMUL 33, which ends after SUMS 34 begins" in message


def test_a_fence_does_not_come_between_a_product_and_its_sums() -> None:
    made = fenced(everything())
    index = next(index for index, instruction in enumerate(made) if instruction.opcode is Opcode.SUMS)
    made.insert(index, FENCE)
    assert "its BINARIZE or SUMS must follow the handover, not FENCE (instruction " in refusal(made)
