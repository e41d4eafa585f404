"""hw.isa: every operand at its limits, encoding and decoding, refusals."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.isa import (
    FIELDS,
    INSTRUCTION_BYTES,
    OPCODE,
    SIGNAL,
    TOKEN_UNITS,
    UNIT_OF,
    WAIT,
    Field,
    Instruction,
    InstructionError,
    Opcode,
    Unit,
    decode,
    make,
)
from hw.operands import OPERANDS as OPERANDS_BY_NAME

OPERANDS = [(opcode, field) for opcode in Opcode for field in FIELDS[opcode]]
# Written out on purpose: what a LOAD of no tokens, a MATMUL of one plane, a BINARIZE to the output buffer, a SUMS to
# the sums buffer, a VECTOR of nothing, a SOFTMAX to codes of one bit and a CLASSIFY of a further hard vote leave out.
DEFAULTS = {
    Opcode.LOAD: {"gather": 0, "token": 0},
    Opcode.MATMUL: {
        **dict.fromkeys(("keys", "plain", "activation_negative", "weight_negative"), 0),
        **dict.fromkeys(("activation_plane_stride", "weight_plane_stride"), 0),
        **dict.fromkeys(("activation_planes", "weight_planes"), 1),
    },
    Opcode.BINARIZE: dict.fromkeys(("destination", "transpose", "shared", "output_bank", "spare"), 0),
    Opcode.SUMS: {"destination": 0, "slot": 0, "spare": 0},
    Opcode.VECTOR: {
        **dict.fromkeys(("maximum", "multiply"), 0),
        **dict.fromkeys(("normalise", "scale", "add", "keep", "statistics", "sets", "shift", "epsilon"), 0),
        **dict.fromkeys(("fixed_line", "add_line", "scale_line", "level_line", "code_signed", "code_group"), 0),
        **dict.fromkeys(("code_line", "code_line_1", "code_line_2", "typed", "maximum", "multiply"), 0),
        "planes": 1,
    },
    Opcode.SOFTMAX: {"code_group": 0, "code_plane_stride": 0, "slot": 0, "planes": 1},
    Opcode.CLASSIFY: {"first": 0, "bound": 0, "swing": 0},
}
SEQUENCED = (Opcode.FENCE, Opcode.HALT, Opcode.EXIT)
WAIT_FOR_THEIR_OWN = (Opcode.LOAD, Opcode.VECTOR, Opcode.MEAN, Opcode.CLASSIFY, Opcode.TABLE)


def name_of(item: object) -> str | None:
    return item.name.lower() if isinstance(item, Opcode | Field) else None


def lowest(opcode: Opcode) -> dict[str, int]:
    return {field.name: int(field.count) for field in FIELDS[opcode]}


def highest(opcode: Opcode) -> dict[str, int]:
    return {field.name: 2**field.width - 1 for field in FIELDS[opcode]}


def legal_mask(opcode: Opcode, field: Field = SIGNAL) -> int:
    if opcode in WAIT_FOR_THEIR_OWN and field is WAIT:
        return 0b111111
    return 0 if opcode in SEQUENCED else 0b111111 & ~(1 << UNIT_OF[opcode])


def put(data: bytes, field: Field, value: int) -> bytes:
    word = int.from_bytes(data, "little") & ~((2**field.width - 1) << field.offset) | value << field.offset
    return word.to_bytes(INSTRUCTION_BYTES, "little")


def instructions() -> st.SearchStrategy[Instruction]:
    def of(opcode: Opcode) -> st.SearchStrategy[Instruction]:
        operands = {f.name: st.integers(int(f.count), 2**f.width - 1) for f in FIELDS[opcode]}
        wait, signal = (st.integers(0, 63).map(lambda v, f=f: v & legal_mask(opcode, f)) for f in (WAIT, SIGNAL))
        return st.builds(
            lambda wait, signal, ops: make(opcode, wait=wait, signal=signal, **ops),
            wait,
            signal,
            st.fixed_dictionaries(operands),
        )

    return st.sampled_from(list(Opcode)).flatmap(of)


class TestRoundTrip:
    @pytest.mark.parametrize(("opcode", "field"), OPERANDS, ids=name_of)
    def test_each_operand_at_its_limits(self, opcode: Opcode, field: Field) -> None:
        for value in {int(field.count), 1, 2**field.width // 2, 2**field.width - 1}:
            instruction = make(opcode, **{**lowest(opcode), field.name: value})
            data = instruction.encode()
            assert len(data) == INSTRUCTION_BYTES
            assert int.from_bytes(data, "little") >> field.offset & (2**field.width - 1) == value
            assert decode(data) == instruction
            assert getattr(decode(data), field.name) == value

    @pytest.mark.parametrize("opcode", Opcode, ids=name_of)
    def test_all_operands_at_their_limits(self, opcode: Opcode) -> None:
        wait, signal = legal_mask(opcode, WAIT), legal_mask(opcode, SIGNAL)
        for operands, masks in itertools.product((lowest(opcode), highest(opcode)), ((0, 0), (wait, 0), (0, signal))):
            instruction = make(opcode, wait=masks[0], signal=masks[1], **operands)
            assert decode(instruction.encode()) == instruction

    @settings(deadline=None, max_examples=300)
    @given(instructions())
    def test_any_instruction(self, instruction: Instruction) -> None:
        assert decode(instruction.encode()) == instruction
        assert "\n" not in str(instruction)

    @settings(deadline=None, max_examples=500)
    @given(st.binary(min_size=32, max_size=32), st.integers(0, 14))
    def test_any_bytes_decode_to_themselves_or_are_refused(self, data: bytes, opcode: int) -> None:
        data = bytes([opcode]) + data[1:]
        try:
            assert decode(data).encode() == data
        except InstructionError as error:
            assert "\n" not in str(error)

    def test_fields_do_not_overlap(self) -> None:
        for opcode in Opcode:
            bits = [b for f in (OPCODE, WAIT, SIGNAL, *FIELDS[opcode]) for b in range(f.offset, f.offset + f.width)]
            assert len(bits) == len(set(bits))
            assert max(bits) < 8 * INSTRUCTION_BYTES

    def test_bytes_of_one_instruction(self) -> None:
        load = make(
            Opcode.LOAD,
            buffer=1,
            address=0x12345678,
            line=2,
            row_beats=3,
            segments=4,
            segment_beats=6,
            stride=0xABC,
            wait=0b0010,
            signal=0b0110,
        )
        assert load.encode().hex() == "01020601_78563412_02000300_04000600_bc0a0000_".replace("_", "") + "00" * 12

    def test_bytes_of_a_gather(self) -> None:
        where = dict(address=0x4000, line=5, row_beats=6, segments=7, segment_beats=8)
        load = make(Opcode.LOAD, buffer=7, gather=1, **where, stride=9, token=0x1234, wait=0b100001)
        assert (
            load.encode().hex() == "01210017_00400000_05000600_07000800_09000000_34120000".replace("_", "") + "00" * 8
        )

    def test_bytes_of_operands_that_share_words(self) -> None:
        classify = make(
            Opcode.CLASSIFY,
            **dict(source_line=0x0102, scale_line=0x0304, output_line=0x0506, classes=3, shift=7, channels=0x140),
            **dict(vote_shift=9, vote=1, first=1, multiplier=0x0708, bound=0x11223344, swing=0x2A55667788),
        )
        expected = "0b000000_02010403_06050338_4001a900_08070000_44332211_88776655_2a000000"
        assert classify.encode().hex() == expected.replace("_", "")

    def test_bytes_of_what_reads_two_numbers_or_a_table(self) -> None:
        where = dict(source_line=0x0102, add_line=0x0304, channels=0x140, rows=5, shift=9)
        pair = make(Opcode.VECTOR, **where, source=1, maximum=1, multiply=1)
        expected = "08000001_02010000_04030000_40010509_00000000_00000000_00004101_00000000"
        assert pair.encode().hex() == expected.replace("_", "")
        del where["add_line"]
        table = make(Opcode.TABLE, **where, fixed_line=0x0506, table_line=0x0708)
        expected = "0d000000_02010605_08070000_40010509".replace("_", "")
        assert table.encode().hex() == expected + "00" * 16


class TestRefusals:
    @pytest.mark.parametrize(("opcode", "field"), OPERANDS, ids=name_of)
    def test_operands_out_of_range_or_of_the_wrong_type(self, opcode: Opcode, field: Field) -> None:
        low, high = int(field.count), 2**field.width - 1
        expected = f"{opcode.name}.{field.name} must be an integer from {low} to {high}, not "
        for wrong in (low - 1, high + 1, True, 1.0, "1", None):
            with pytest.raises(InstructionError) as caught:
                make(opcode, **{**lowest(opcode), field.name: wrong})
            assert str(caught.value) == f"{expected}{wrong!r}"

    def test_a_number_too_long_to_print(self) -> None:
        with pytest.raises(InstructionError, match=r"not a number of 16610 bits$"):
            make(Opcode.LOAD, **{**lowest(Opcode.LOAD), "address": 10**5000})

    @pytest.mark.parametrize(("opcode", "field"), [o for o in OPERANDS if o[1].count], ids=name_of)
    def test_a_count_of_0(self, opcode: Opcode, field: Field) -> None:
        data = put(make(opcode, **lowest(opcode)).encode(), field, 0)
        with pytest.raises(InstructionError) as caught:
            decode(data)
        highest = 2**field.width - 1
        assert str(caught.value) == f"{opcode.name}.{field.name} must be an integer from 1 to {highest}, not 0"

    @pytest.mark.parametrize("opcode", [0, 14, 15, 128, 255])
    def test_unknown_opcodes(self, opcode: int) -> None:
        with pytest.raises(InstructionError) as caught:
            decode(bytes([opcode]) + bytes(31))
        known = (
            "1 (LOAD), 2 (MATMUL), 3 (BINARIZE), 4 (STORE), 5 (FENCE), 6 (HALT), 7 (SUMS), 8 (VECTOR), 9 (SOFTMAX), "
            "10 (MEAN), 11 (CLASSIFY), 12 (EXIT), 13 (TABLE)"
        )
        assert str(caught.value) == f"opcode must be one of {known}, not {opcode}"

    @pytest.mark.parametrize("opcode", Opcode, ids=name_of)
    def test_every_stray_bit(self, opcode: Opcode) -> None:
        data = make(opcode, **lowest(opcode)).encode()
        used = {b for f in (OPCODE, WAIT, SIGNAL, *FIELDS[opcode]) for b in range(f.offset, f.offset + f.width)}
        for bit in set(range(8 * INSTRUCTION_BYTES)) - used:
            stray = put(data, Field("stray", bit, 1), 1)
            with pytest.raises(InstructionError) as caught:
                decode(stray)
            assert str(caught.value) == f"{opcode.name} must have its unused bits at 0, not {stray.hex()}"

    @pytest.mark.parametrize("opcode", Opcode, ids=name_of)
    @pytest.mark.parametrize("field", [WAIT, SIGNAL], ids=name_of)
    def test_every_mask(self, opcode: Opcode, field: Field) -> None:
        data, legal = make(opcode, **lowest(opcode)).encode(), legal_mask(opcode, field)
        names = "+".join(unit.name.lower() for unit in TOKEN_UNITS if legal >> unit & 1) or "no unit"
        for mask in range(256):
            if mask & ~legal == 0:
                assert decode(put(data, field, mask)) == make(opcode, **{field.name: mask}, **lowest(opcode))
                continue
            with pytest.raises(InstructionError) as caught:
                decode(put(data, field, mask))
            expected = f"{opcode.name}.{field.name} must name only {names}, not the mask {mask}"
            assert str(caught.value) == expected

    @pytest.mark.parametrize("wrong", [-1, True, 1.0, "1", None, 64, 256])
    def test_masks_of_the_wrong_type(self, wrong: object) -> None:
        with pytest.raises(InstructionError) as caught:
            make(Opcode.STORE, wait=wrong, **lowest(Opcode.STORE))
        assert str(caught.value) == f"STORE.wait must name only load+array+drain+vector+row, not the mask {wrong!r}"

    @pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
    def test_wrong_lengths(self, length: int) -> None:
        with pytest.raises(InstructionError) as caught:
            decode(bytes(length))
        assert str(caught.value) == f"an instruction must be 32 bytes, not {length}"

    @pytest.mark.parametrize(("opcode", "field"), [o for o in OPERANDS if o[1].default is not None], ids=name_of)
    def test_an_operand_with_a_default_may_be_left_out(self, opcode: Opcode, field: Field) -> None:
        operands = highest(opcode)
        del operands[field.name]
        assert make(opcode, **operands) == make(opcode, **operands, **{field.name: field.default})
        assert getattr(make(opcode, **operands), field.name) == DEFAULTS[opcode][field.name]

    def test_operands_without_a_default_are_needed(self) -> None:
        for opcode in Opcode:
            defaults = {field.name: field.default for field in FIELDS[opcode] if field.default is not None}
            assert defaults == DEFAULTS.get(opcode, {})
        for opcode, field in OPERANDS:
            if field.default is None:
                operands = lowest(opcode)
                del operands[field.name]
                with pytest.raises(InstructionError, match=rf"^{opcode.name} must have the operands \["):
                    make(opcode, **operands)

    def test_missing_and_unknown_operands(self) -> None:
        with pytest.raises(InstructionError, match=r"^HALT must have the operands \[\], not \['rows'\]$"):
            make(Opcode.HALT, rows=1)
        with pytest.raises(InstructionError, match=r"^STORE must have the operands \['address', .*\], not \[\]$"):
            make(Opcode.STORE)

    def test_an_operand_that_the_opcode_does_not_have(self) -> None:
        with pytest.raises(AttributeError, match=r"^HALT has no operand 'rows'$"):
            _ = make(Opcode.HALT).rows


def test_units() -> None:
    expected = {
        Unit.LOAD: {Opcode.LOAD},
        Unit.ARRAY: {Opcode.MATMUL},
        Unit.DRAIN: {Opcode.BINARIZE, Opcode.SUMS},
        Unit.STORE: {Opcode.STORE},
        Unit.VECTOR: {Opcode.VECTOR, Opcode.MEAN, Opcode.CLASSIFY, Opcode.TABLE},
        Unit.ROW: {Opcode.SOFTMAX},
        Unit.SEQUENCER: {Opcode.FENCE, Opcode.HALT, Opcode.EXIT},
    }
    for unit in Unit:
        assert {opcode for opcode in Opcode if make(opcode, **lowest(opcode)).unit is unit} == expected[unit]
    assert (*TOKEN_UNITS, Unit.SEQUENCER) == tuple(Unit)


def test_every_opcode_has_its_operands() -> None:
    assert set(OPERANDS_BY_NAME) == {opcode.name for opcode in Opcode}


def test_sums_stand_where_a_binarize_has_the_same_operands() -> None:
    """The drain unit reads both by one layout: an operand of both starts at the same bit, and where that of a SUMS is
    narrower the bits above it are 0; what only a SUMS has stands in bits that a BINARIZE leaves at 0."""
    of_binarize = {field.name: field for field in FIELDS[Opcode.BINARIZE]}
    taken = {b for field in FIELDS[Opcode.BINARIZE] for b in range(field.offset, field.offset + field.width)}
    used = {b for field in FIELDS[Opcode.SUMS] for b in range(field.offset, field.offset + field.width)}
    for field in FIELDS[Opcode.SUMS]:
        other = of_binarize.get(field.name)
        if other is None:
            assert field.name == "slot"
            assert not taken & set(range(field.offset, field.offset + field.width))
        else:
            assert field.offset == other.offset
            assert not used & set(range(field.offset + field.width, other.offset + other.width))


def test_only_loads_and_vectors_wait_for_their_own_unit() -> None:
    vector = dict(source_line=1, source=0, rows=1, channels=1)
    assert str(make(Opcode.VECTOR, **vector, wait=0b10100)).endswith("wait=drain+vector")
    assert str(make(Opcode.LOAD, **lowest(Opcode.LOAD), wait=0b100001)).endswith("wait=load+row")
    others = r"load\+array\+drain\+store\+row"
    with pytest.raises(InstructionError, match=rf"^VECTOR.signal must name only {others}, not the mask 16$"):
        make(Opcode.VECTOR, **vector, signal=0b10000)
    with pytest.raises(InstructionError, match=r"^SOFTMAX.wait must name only .*\+vector, not the mask 32$"):
        make(Opcode.SOFTMAX, **lowest(Opcode.SOFTMAX), wait=0b100000)


def test_text_names_operands_and_tokens() -> None:
    text = str(make(Opcode.BINARIZE, **lowest(Opcode.BINARIZE), wait=0b0010, signal=0b1010))
    where = "destination=0 transpose=0 shared=0 threshold_line=0 output_line=0 output_group=0 output_stride=0"
    expected = f"binarize {where} rows=1 column_groups=1 output_bank=0 spare=0"
    assert text == f"{expected} wait=array signal=array+store"
