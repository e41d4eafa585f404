"""MEAN, CLASSIFY and EXIT in values: against the reference, and against the contract written out step by step."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arch import Accelerator
from hw.isa import Instruction, Vote
from sim.classify import Result
from sim.errors import MachineError
from sim.machine import Machine, execute
from sim.reference import operations, vote
from tests.sim.buffers import fill_fixed, fixed_rows, machine
from tests.sim.plain_network import PlainNetwork
from tests.sim.programs import EXIT, HALT, classify, load, matmul, mean, program
from tests.sim.test_checksum import plain_checksum
from tests.sim.test_vector import ACCELERATORS as LANES
from tests.sim.test_vector import CHANNELS, I16

ACCELERATORS = [a.replace(classes=40, scale_lines=512, output_lines=64, fixed_lines=2048) for a in LANES]
NARROW = ACCELERATORS[0]
cases = pytest.mark.parametrize(("a", "channels"), [(a, c) for a in ACCELERATORS for c in CHANNELS])


def fill_classifier(m: Machine, weights: np.ndarray, bias: np.ndarray, line: int = 0) -> None:
    """Put weights [class, channel] and biases into lines of the scale buffer from a line on; the rest is ones."""
    lanes, scales = m.accelerator.vector_lanes, m.buffers["scale"][0]
    classes, channels = weights.shape
    slices, blocks = -(-channels // lanes), -(-classes // 8)
    scales[line : line + blocks * slices + classes] = 0xFF
    for k in range(classes):
        for c in range(channels):
            scales[line + k // 8 * slices + c // lanes, c % lanes * 8 + k % 8] = int(weights[k, c]) & 0xFF
        scales[line + blocks * slices + k, :4] = np.frombuffer(
            int(bias[k]).to_bytes(4, "little", signed=True), np.uint8
        )


def logits_of(m: Machine, classes: int, line: int) -> np.ndarray:
    """Return the logits in the output buffer; the rest of their lines must be 0."""
    lines = m.buffers["output"][0, line : line + classes]
    assert not lines[:, 4:].any()
    return np.ascontiguousarray(lines[:, :4]).view("<i4").ravel()


@cases
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 16, 31])
def test_mean(a: Accelerator, channels: int, rows: int) -> None:
    random, m = np.random.default_rng(rows), machine(a)
    x = random.integers(*I16, (rows, channels)) >> int(random.integers(0, 12))
    fill_fixed(m, x, 100)
    exponent, multiplier = operations.mean_reciprocal(rows)
    shape = {"channels": channels, "rows": rows, "multiplier": multiplier, "shift": 14 + exponent}
    m.execute(mean(source_line=100, fixed_line=7, **shape))
    assert (fixed_rows(m, 1, channels, 7) == operations.mean(x)).all()


def test_mean_of_as_many_rows_as_there_can_be() -> None:
    a = NARROW.replace(fixed_lines=2048)
    m = machine(a)
    x = np.repeat([[-32768, 32767, 1, -1, 0]], 1024, axis=0)[:1023]
    fill_fixed(m, x)
    exponent, multiplier = operations.mean_reciprocal(1023)
    m.execute(mean(channels=5, rows=1023, multiplier=multiplier, shift=14 + exponent, fixed_line=2046))
    assert (fixed_rows(m, 1, 5, 2046) == operations.mean(x)).all()


@cases
@pytest.mark.parametrize("classes", [1, 2, 8, 9, 23])
@pytest.mark.parametrize("shift", [0, 5, 31])
def test_classify(a: Accelerator, channels: int, classes: int, shift: int) -> None:
    random, m = np.random.default_rng(channels + shift), machine(a)
    m.buffers["output"][:] = 0xFF
    x = random.integers(*I16, (1, channels))
    weights, bias = random.integers(-128, 128, (classes, channels)), random.integers(-(1 << 31), 1 << 31, classes)
    fill_fixed(m, x, 9)
    fill_classifier(m, weights, bias, 3)
    shape = {"channels": channels, "classes": classes, "shift": shift}
    m.execute(classify(source_line=9, scale_line=3, output_line=11, **shape))
    assert (logits_of(m, classes, 11) == operations.classify(x, weights, bias, shift)).all()
    assert (np.delete(m.buffers["output"][0], range(11, 11 + classes), axis=0) == 0xFF).all()
    assert (m.buffers["output"][1:] == 0xFF).all()


def say(m: Machine, logits: np.ndarray, **operands: int) -> Result:
    """Execute a CLASSIFY that makes these logits of one channel, 0; return the result."""
    fill_fixed(m, np.zeros((1, 1), int))
    fill_classifier(m, np.zeros((len(logits), 1), int), logits)
    m.execute(classify(classes=len(logits), **operands))
    return m.classifier.result


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("classes", [1, 2, 3, 17])
@pytest.mark.parametrize("seed", range(8))
def test_votes(kind: str, classes: int, seed: int) -> None:
    random, m = np.random.default_rng(seed), machine(NARROW)
    size = 1 << int(random.integers(2, 31))
    members, shift, bound = 5, int(random.integers(0, 8)), int(random.integers(1, 4 * size))
    multipliers = random.integers(0, 9, members).tolist()
    swings = [vote.swing(kind, multiplier, bound) for multiplier in multipliers]
    totals = np.zeros(classes, np.int64)
    for number, multiplier in enumerate(multipliers):
        logits = random.integers(-size, size, classes)
        totals += vote.contribution(kind, logits, multiplier, shift, min(bound, (1 << 31) - 1))
        rest = sum(swings[number + 1 :]) // int(random.integers(1, 9))
        operands = {"vote": Vote[kind.upper()], "multiplier": multiplier, "vote_shift": shift}
        found = say(m, logits, first=int(number == 0), bound=min(bound, (1 << 31) - 1), swing=rest, **operands)
        leader = vote.leader(totals)
        assert found == Result(leader, vote.is_decided(totals, rest), number + 1, totals[leader])


def test_vote_mean() -> None:
    # Not clamped, and never decided.
    m = machine(NARROW)
    operands = {"vote": Vote.MEAN, "multiplier": 65535, "bound": 1, "vote_shift": 1}
    assert say(m, np.array([-(1 << 31)]), **operands) == Result(0, False, 1, -(1 << 30) * 65535)
    assert say(m, np.array([7]), first=0, **operands) == Result(0, False, 2, -(1 << 30) * 65535 + 229373)


@pytest.mark.parametrize(
    ("logits", "swing", "leader", "decided"),
    [
        ([5, 3], 2, 0, True),
        ([5, 3], 3, 0, False),
        ([3, 5], 2, 1, False),
        ([3, 5], 1, 1, True),
        ([4, 4], 0, 0, True),
        ([4, 4], 1, 0, False),
        ([0, 4, 4], 0, 1, True),
        ([9], 1 << 37, 0, True),
    ],
)
def test_decisions(logits: list[int], swing: int, leader: int, decided: bool) -> None:
    found = say(machine(NARROW), np.array(logits), swing=swing)
    assert (found.leader, found.decided) == (leader, decided)


@pytest.mark.parametrize("a", ACCELERATORS)
@pytest.mark.parametrize("seed", range(10))
def test_any_instructions(a: Accelerator, seed: int) -> None:
    random, m = np.random.default_rng(seed), machine(a)
    m.vector.fixed[:] = random.integers(*I16, m.vector.fixed.shape) >> random.integers(0, 16, m.vector.fixed.shape)
    m.buffers["scale"][:] = random.integers(0, 256, m.buffers["scale"].shape)
    m.buffers["output"][:] = random.integers(0, 256, m.buffers["output"].shape)
    twin = PlainNetwork(a)
    twin.fixed, twin.scales = m.vector.fixed.tolist(), m.buffers["scale"][0].view("<u8")[:, : a.vector_lanes].tolist()
    twin.output = [int.from_bytes(line.tobytes(), "little") for line in m.buffers["output"][0]]

    def below(high: int) -> int:
        return int(random.integers(0, high))

    done = 0
    while done < 10:
        channels = CHANNELS[below(4)]
        if below(2):
            size = {"channels": channels, "rows": 1 + below(40), "multiplier": below(1 << 15), "shift": below(25)}
            i = mean(source_line=below(100), fixed_line=below(300), **size)
        else:
            size = {"channels": channels, "classes": len(twin.totals) if below(2) and twin.totals else 1 + below(20)}
            kind = {"vote": below(3), "first": below(2), "vote_shift": below(32), "shift": below(32)}
            numbers = {
                "multiplier": below(1 << below(17)),
                "bound": below(1 << below(31)),
                "swing": below(1 << below(38)),
            }
            lines = {"source_line": below(100), "scale_line": below(20), "output_line": below(50)}
            i = classify(**size, **kind, **numbers, **lines)
        try:
            checksum = m.execute(i)
        except MachineError:
            continue
        done += 1
        assert checksum == (twin.mean if i.opcode.name == "MEAN" else twin.classify)(i), i
    assert (m.vector.fixed == np.array(twin.fixed)).all()
    assert [int.from_bytes(line.tobytes(), "little") for line in m.buffers["output"][0]] == twin.output
    found = m.classifier.result
    assert (found.leader, found.decided, found.members) == (twin.leader, twin.decided, twin.members)
    assert not twin.totals or found.total == twin.totals[twin.leader]


# --- programs --------------------------------------------------------------------------------------------------------


def test_checksums_by_hand() -> None:
    # Logits 0 and 0 of a buffer of zeros: class 0 leads, decided without a swing.
    result = execute(program(NARROW, [classify(classes=2, channels=5), mean(channels=5, fixed_line=2), HALT]))
    assert result.checksums.tolist() == [plain_checksum([0, 0, 0, 0, 1 << 16]), plain_checksum([0, 0]), 0]
    assert result.result == Result(0, True, 1, 0)
    # A bias of -2 in class 1: the low and the high half of its total fold to 1.
    m = machine(NARROW)
    fill_classifier(m, np.zeros((2, 1), int), np.array([-3, -2]))
    assert m.execute(classify(classes=2, swing=1)) == plain_checksum([0xFFFFFFFD, 0xFFFFFFFE, 2, 1, 1])


def ran(*instructions: Instruction) -> tuple[int, list[bool]]:
    """Return where a run of instructions and a HALT ends, and which have a checksum."""
    result = execute(program(NARROW, [*instructions, HALT], bytes([1] * 64)))
    return result.end, (result.checksums != 0).tolist()


def test_exit() -> None:
    word = load()
    assert ran(word, EXIT, word) == (3, [True, False, True, False])
    decided, open_ = classify(classes=2), classify(classes=2, swing=1)
    assert ran(decided, word, EXIT, word) == (2, [True, True, False, False, False])
    assert ran(open_, EXIT, word) == (3, [True, False, True, False])
    assert ran(open_, EXIT, decided, EXIT, word) == (3, [True, False, True, False, False, False])
    assert ran(decided, open_, EXIT, word) == (4, [True, True, False, True, False])
    assert ran(decided) == (1, [True, False])


def test_the_result_is_that_of_the_end() -> None:
    more = classify(classes=2, first=0)
    assert execute(program(NARROW, [HALT])).result == Result()
    assert execute(program(NARROW, [classify(classes=2), EXIT, more, HALT])).result == Result(0, True, 1, 0)
    assert execute(program(NARROW, [classify(classes=2, swing=1), EXIT, more, HALT])).result == Result(0, True, 2, 0)
    # The memory behind an EXIT that ends the run is not written, and its rules are not looked at.
    execute(program(NARROW, [classify(classes=2), EXIT, mean(source_line=9999), HALT]))


def test_nothing_may_be_on_its_way_to_drain() -> None:
    with pytest.raises(MachineError) as caught:
        execute(program(NARROW, [classify(), matmul(handover=1), EXIT, HALT]))
    expected = "MATMUL with handover must be followed by its BINARIZE or SUMS, not by EXIT"
    assert str(caught.value) == f"instruction 2 ({EXIT}): {expected}"
