"""Embedding, mean, vote and exit in the machine: from ids in memory to the registers of the vote."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from hw.isa import Buffer, Instruction, Opcode, Source, Unit, Vote, make
from tests.hw.gateware.clockwork import fold, simulate
from tests.hw.gateware.machines import PROGRAM, machine, read, run
from tests.hw.gateware.members import Poll, logit_of
from tests.hw.gateware.rows import round_shift, saturated
from tests.hw.gateware.test_machine_vector import A

#: One slice of four channels; a word is a line with its scale and a line with its bits.
TEXT = A.replace(vector_lanes=4, token_lines=2, word_lines=4, embedding_lines=4, scale_lines=4, classes=3)
IDS = [5, 3]
WORDS = {5: (300, 0b0110), 3: (32767, 0b0001)}
PLACES = [[-400, 300, 7, 12], [999, -1000, -32768, 0]]
TYPES = [7, -9, -11, -13]
WEIGHTS = [[3, -128, 127, 5], [-1, 2, -3, 4], [100, 90, -80, 70]]
BIASES = [1000, -2000, 5]

#: Where the parts stand in memory: ids, embeddings (places, then types), scales (weights, then biases), words.
AT_IDS, AT_EMBEDDINGS, AT_SCALES, AT_WORDS = 0x00, 0x08, 0x20, 0x400
MEMBER = {"vote": Vote.SOFT, "multiplier": 3, "bound": 1 << 30, "first": 1}


def memory(program: list[Instruction]) -> bytes:
    """Return an image with everything in it; words are 16 bytes each."""
    image = bytearray(0x500)

    def put(address: int, numbers: list[int], size: int) -> None:
        data = b"".join((number % (1 << 8 * size)).to_bytes(size, "little") for number in numbers)
        image[address : address + len(data)] = data

    put(AT_IDS, IDS, 2)
    put(AT_EMBEDDINGS, [*PLACES[0], *PLACES[1], *TYPES], 2)
    put(AT_SCALES, [sum(WEIGHTS[k][c] % 256 << 8 * k for k in range(3)) for c in range(4)], 8)
    for k, bias in enumerate(BIASES):
        put(AT_SCALES + 32 * (k + 1), [bias % (1 << 32)], 8)
    for word, (scale, bits) in WORDS.items():
        put(AT_WORDS + 16 * word, [scale, bits], 8)
    code = b"".join(instruction.encode() for instruction in program)
    image[PROGRAM : PROGRAM + len(code)] = code
    return bytes(image)


def program(swing: int, behind: list[Instruction]) -> list[Instruction]:
    own, vector = 1 << Unit.LOAD, 1 << Unit.VECTOR
    whole = {"line": 0, "segments": 1, "stride": 0}
    gather = {"gather": 1, "token": 0, "address": AT_WORDS, "segments": 2, "segment_beats": 2, "stride": 4}
    embed = {"source_line": 0, "add_line": 0, "scale_line": 2, "channels": 4, "rows": 2}
    mean = {"source_line": 0, "fixed_line": 6, "multiplier": 16384, "shift": 15, "channels": 4, "rows": 2}
    vote = MEMBER | {"vote_shift": 1, "swing": swing, "classes": 3, "shift": 2, "channels": 4}
    return [
        make(Opcode.LOAD, buffer=Buffer.TOKEN, address=AT_IDS, row_beats=1, segment_beats=1, **whole),
        make(Opcode.LOAD, buffer=Buffer.WORD, line=0, row_beats=1, **gather, wait=own),
        make(Opcode.LOAD, buffer=Buffer.EMBEDDING, address=AT_EMBEDDINGS, row_beats=1, segment_beats=3, **whole),
        make(Opcode.LOAD, buffer=Buffer.SCALE, address=AT_SCALES, row_beats=4, segment_beats=16, **whole,
             signal=vector),
        make(Opcode.VECTOR, source=Source.EMBEDDING, keep=1, fixed_line=0, **embed, wait=own),
        make(Opcode.MEAN, **mean, wait=vector),
        make(Opcode.CLASSIFY, source_line=6, scale_line=0, output_line=0, **vote, wait=vector),
        make(Opcode.FENCE),
        make(Opcode.EXIT),
        *behind,
        make(Opcode.HALT),
    ]  # fmt: skip


def numbers() -> tuple[list[list[int]], list[int], list[int]]:
    """Return the embedding, its mean and the logits."""
    rows = []
    for token, place in zip(IDS, PLACES, strict=True):
        scale, bits = WORDS[token]
        rows.append([saturated((scale if bits >> c & 1 else -scale) + place[c] + TYPES[c], 16) for c in range(4)])
    mean = [saturated(round_shift(sum(row[c] for row in rows) * 16384, 15), 16) for c in range(4)]
    products = [[x * w for x, w in zip(mean, weights, strict=True)] for weights in WEIGHTS]
    return rows, mean, [logit_of(part, bias, 2) for part, bias in zip(products, BIASES, strict=True)]


def crc(words: list[int]) -> int:
    return zlib.crc32(b"".join(fold(word).to_bytes(4, "little") for word in words))


def line(values: list[int]) -> int:
    return sum(value % 65536 << 16 * c for c, value in enumerate(values))


BEHIND = [make(Opcode.VECTOR, source=Source.FIXED, source_line=0, channels=4, rows=1, keep=1, fixed_line=1)] * 7


@pytest.mark.parametrize("pace", [1, 13])
def test_from_ids_to_a_vote_and_an_exit(pace: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same program with swings at the gap of the first two and one above it: the run ends early, or it does not.

    The EXIT is taken with a read in flight. Each run is exact, whatever the one before it has left.
    """
    dut = machine(TEXT, monkeypatch)
    rows, mean, logits = numbers()
    poll = Poll()
    poll.add(logits, MEMBER | {"shift": 1, "swing": 0})
    lead, second, _ = sorted(poll.totals, reverse=True)
    exact = lead - second + int(poll.totals.index(second) > poll.leader) - 1
    assert exact > 0
    seen_before: dict[int, Any] = {}

    async def process(ctx: Any) -> None:
        for swing in (exact, exact + 1, exact, exact + 1):
            code, owed = program(swing, BEHIND), []
            records = await run(ctx, dut, memory(code), len(code), pace, owed)
            assert seen_before.setdefault(swing, records) == records
            taken = swing == exact
            assert [await read(ctx, dut, offset) for offset in (0x08, 0x18)] == [2, 9 if taken else len(code)]
            poll = Poll()
            poll.add(logits, MEMBER | {"shift": 1, "swing": swing})
            assert poll.decided == taken
            state = [await read(ctx, dut, offset) for offset in (0x20, 0x24, 0x28, 0x2C)]
            assert state == [poll.outcome(), 1, poll.total() % (1 << 32), poll.total() >> 32]
            embed, average, vote, *rest = records[Unit.VECTOR]
            assert embed[2] == crc([line(row) for row in rows])
            assert average[2] == crc([line(mean)])
            assert vote[2] == crc(poll.words(logits))
            assert vote[1] - vote[0] == 6 + 6 + 16 + 6, "six steps, six stages, and the vote of three classes"
            assert len(rest) == (0 if taken else 7)
            left = records[Unit.SEQUENCER]
            assert [record[2] for record in left] == [0] * (2 if taken else 3)
            assert left[0][1] > vote[1]
            assert await read(ctx, dut, 0x14) == left[-1][1] + 1
            assert owed[-1] == 0
            assert left[1][1] == left[0][1] + 1, "the EXIT finds nothing in flight"
            if taken:
                assert any(owed[left[1][1] :]), "the FENCE has made room for an instruction, which is on its way"
            counts = [[await read(ctx, dut, 0x40 + 20 * u + 4 * s) for s in range(5)] for u in (0, 1, 2, 3, 4, 6)]
            assert {sum(unit) for unit in counts} == {left[-1][1] + 1}

    simulate(dut, process)


def test_the_segments_of_a_gather_wait_two_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a memory that answers at once: a LOAD of two segments with and without `gather`, its ids being 0 and 1."""
    dut = machine(TEXT, monkeypatch)
    plain = {"buffer": Buffer.WORD, "address": 0, "line": 0, "row_beats": 1, "segments": 2, "segment_beats": 2}

    async def process(ctx: Any) -> None:
        took = []
        for operands in (plain | {"stride": 16}, plain | {"stride": 4, "gather": 1}):
            code = [make(Opcode.LOAD, **operands), make(Opcode.HALT)]
            records = await run(ctx, dut, memory(code), len(code))
            issue, retire, _ = records[Unit.LOAD][0]
            took.append(retire - issue)
        assert took[1] >= took[0] + 2

    simulate(dut, process)


def test_an_exit_without_a_vote_is_a_fence_and_the_registers_are_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind a run that has decided."""
    dut = machine(TEXT, monkeypatch)

    async def process(ctx: Any) -> None:
        for code, retired in ((program(0, []), 9), ([make(Opcode.EXIT), make(Opcode.HALT)], 2)):
            records = await run(ctx, dut, memory(code), len(code))
            assert await read(ctx, dut, 0x18) == retired
        assert len(records[Unit.SEQUENCER]) == 2
        assert [await read(ctx, dut, offset) for offset in (0x20, 0x24, 0x28, 0x2C)] == [0] * 4

    simulate(dut, process)
