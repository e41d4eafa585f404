"""hw.arch: defaults, every wrong parameter with its whole message, relations, derived sizes, identity."""

import dataclasses
import re

import pytest

from hw.arch import FIELDS, FORMAT, SECTIONS, Accelerator, AcceleratorError

# Written out on purpose, so that a changed limit is seen: name, section, lowest, highest, power of two.
LIMITS = [
    ("rows", "array", 1, 64, False),
    ("columns", "array", 1, 64, True),
    ("word_bits", "array", 1, 1024, True),
    ("pipeline", "array", 0, 11, False),
    ("sum_bits", "array", 4, 31, False),
    ("drain_rows", "array", 1, 64, False),
    ("code_bits", "array", 1, 8, True),
    ("activation_lines", "buffers", 2, 65536, False),
    ("weight_lines", "buffers", 2, 65536, False),
    ("key_lines", "buffers", 0, 65536, False),
    ("threshold_lines", "buffers", 2, 65536, False),
    ("output_lines", "buffers", 2, 65536, False),
    ("vector_lanes", "vector", 0, 128, False),
    ("sum_lines", "vector", 2, 65536, False),
    ("fixed_lines", "vector", 2, 65536, False),
    ("scale_lines", "vector", 2, 65536, False),
    ("level_lines", "vector", 2, 65536, False),
    ("row_lanes", "attention", 0, 128, False),
    ("score_lines", "attention", 2, 65536, False),
    ("score_slots", "attention", 1, 16, False),
    ("table_lines", "attention", 2, 65536, False),
    ("token_lines", "text", 0, 65536, False),
    ("word_lines", "text", 2, 65536, False),
    ("embedding_lines", "text", 2, 65536, False),
    ("classes", "text", 0, 1024, False),
    ("port_bits", "memory", 8, 256, True),
    ("burst_beats", "memory", 1, 256, False),
    ("reads_in_flight", "memory", 1, 64, False),
    ("writes_in_flight", "memory", 1, 64, False),
    ("fetch_depth", "queues", 1, 16, False),
    ("queue_depth", "queues", 1, 16, False),
    ("transfers_in_flight", "queues", 1, 16, False),
    ("clock_mhz", "implementation", 1, 2000, False),
]
POWERS = [limit for limit in LIMITS if limit[4]]
# With these, every field can go to either of its limits without breaking a relation with another one.
ROOM = {"rows": 64, "word_bits": 1024, "sum_bits": 31, "vector_lanes": 1}


def message_of(**changes: object) -> str:
    with pytest.raises(AcceleratorError) as caught:
        Accelerator(**changes)
    return str(caught.value)


def expectation(name: str, section: str, low: int, high: int, power: bool) -> str:
    return f"{section}.{name} must be {'a power of two' if power else 'an integer'} from {low} to {high}, not "


def test_the_table_names_every_field() -> None:
    assert [limit[0] for limit in LIMITS] == list(FIELDS)
    every = {field.name for field in dataclasses.fields(Accelerator)}
    assert every == {limit[0] for limit in LIMITS} | {"name", "counters"}


def test_defaults() -> None:
    accelerator = Accelerator()
    assert (accelerator.name, accelerator.rows, accelerator.columns, accelerator.word_bits) == ("unnamed", 4, 4, 16)
    assert accelerator.counters is True
    assert (accelerator.vector_lanes, accelerator.row_lanes, accelerator.token_lines, accelerator.classes) == (0,) * 4
    assert accelerator.lanes == 256


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit[0])
class TestEachField:
    def test_too_small(self, limit: tuple[str, str, int, int, bool]) -> None:
        assert message_of(**{limit[0]: limit[2] - 1}) == f"{expectation(*limit)}{limit[2] - 1}"

    def test_too_big(self, limit: tuple[str, str, int, int, bool]) -> None:
        wrong = limit[3] * 2 if limit[4] else limit[3] + 1
        assert message_of(**{limit[0]: wrong}) == f"{expectation(*limit)}{wrong}"

    @pytest.mark.parametrize("wrong", [True, False, 4.0, "4", None, [4], float("nan"), float("inf"), 4 + 0j])
    def test_wrong_type(self, limit: tuple[str, str, int, int, bool], wrong: object) -> None:
        assert message_of(**{limit[0]: wrong}) == f"{expectation(*limit)}{wrong!r}"

    def test_a_number_too_long_to_print(self, limit: tuple[str, str, int, int, bool]) -> None:
        assert message_of(**{limit[0]: 10**5000}) == f"{expectation(*limit)}a number of 16610 bits"

    def test_the_limits_themselves(self, limit: tuple[str, str, int, int, bool]) -> None:
        name, _, low, high, _ = limit
        assert getattr(Accelerator(**{**ROOM, name: high}), name) == high
        room = {"word_bits": 2, "rows": 1, "drain_rows": 1, "pipeline": 0}
        assert getattr(Accelerator(**{**room, name: low}), name) == low


@pytest.mark.parametrize("limit", POWERS, ids=lambda limit: limit[0])
def test_not_a_power_of_two(limit: tuple[str, str, int, int, bool]) -> None:
    for wrong in (limit[3] - 1, limit[3] // 2 + 1):
        assert message_of(**{limit[0]: wrong}) == f"{expectation(*limit)}{wrong}"


@pytest.mark.parametrize("wrong", [1, 0, "true", None, 1.0])
def test_counters_are_a_bool(wrong: object) -> None:
    assert message_of(counters=wrong) == f"implementation.counters must be true or false, not {wrong!r}"


@pytest.mark.parametrize("wrong", ["", "a b", "1a", "-a", "_a", "a\n", "a" * 65, "é", "a/b", None, 5, "a\0"])
def test_a_wrong_name(wrong: object) -> None:
    start = "name must be 1 to 64 letters, digits, '_' or '-', starting with a letter, not "
    message = message_of(name=wrong)
    assert message.startswith(start)
    assert "\n" not in message
    assert len(message) < 200


@pytest.mark.parametrize("name", ["a", "A9_-", "a" * 64])
def test_a_good_name(name: str) -> None:
    assert Accelerator(name=name).name == name


class TestRelations:
    def test_drain_rows_of_more_rows_than_there_are(self) -> None:
        assert message_of(rows=4, drain_rows=5) == "array.drain_rows must be at most array.rows (4), not 5"
        assert Accelerator(rows=4, drain_rows=4).drain_rows == 4

    @pytest.mark.parametrize(("word_bits", "levels"), [(1, 1), (2, 2), (16, 5), (64, 7), (1024, 11)])
    def test_more_registers_than_adder_levels(self, word_bits: int, levels: int) -> None:
        if levels < 11:
            expected = (
                f"array.pipeline must be at most {levels} for words of {word_bits} bits (one register after the "
                f"product and one after each adder level), not {levels + 1}"
            )
            assert message_of(word_bits=word_bits, pipeline=levels + 1) == expected
        assert Accelerator(word_bits=word_bits, pipeline=levels).pipeline == levels

    @pytest.mark.parametrize(("word_bits", "need"), [(8, 5), (16, 6), (64, 8), (1024, 12)])
    def test_sums_too_narrow_for_one_word(self, word_bits: int, need: int) -> None:
        expected = f"array.sum_bits must be at least {need} to hold one word of {word_bits} bits, not {need - 1}"
        assert message_of(word_bits=word_bits, sum_bits=need - 1) == expected
        assert Accelerator(word_bits=word_bits, sum_bits=need).max_inputs >= word_bits


class TestKeys:
    def test_a_key_buffer_of_one_line(self) -> None:
        assert message_of(key_lines=1) == "buffers.key_lines must be 0 (no key buffer) or at least 2, not 1"
        assert Accelerator(key_lines=2).key_lines == 2

    @pytest.mark.parametrize("changes", [{"rows": 3}, {"rows": 5, "drain_rows": 3}, {"rows": 8, "drain_rows": 3}])
    def test_rows_that_are_no_power_of_two(self, changes: dict[str, int]) -> None:
        name, wrong = next(item for item in changes.items() if item[1] & (item[1] - 1))
        expected = f"array.{name} must be a power of two where there is a key buffer, not {wrong} "
        assert message_of(**changes, key_lines=2) == expected + "(buffers.key_lines: 0 leaves it out)"
        assert Accelerator(**changes).key_lines == 0

    def test_a_group_of_more_rows_than_banks(self) -> None:
        expected = "array.drain_rows must be at most array.columns (2) where there is a key buffer, not 4"
        sizes = {"rows": 4, "columns": 2, "drain_rows": 4}
        assert message_of(**sizes, key_lines=2) == expected
        assert Accelerator(**sizes).drain_rows == 4
        assert Accelerator(**(sizes | {"drain_rows": 2}), key_lines=2).drain_rows == 2


class TestVector:
    @pytest.mark.parametrize("wrong", [3, 6, 127])
    def test_lanes_that_are_no_power_of_two(self, wrong: int) -> None:
        expected = f"vector.vector_lanes must be 0 (no vector unit) or a power of two, not {wrong}"
        assert message_of(vector_lanes=wrong) == expected

    @pytest.mark.parametrize("lanes", [0, 1, 2, 64, 128])
    def test_no_lanes_or_a_power_of_two_of_them(self, lanes: int) -> None:
        assert Accelerator(vector_lanes=lanes).vector_lanes == lanes


class TestRow:
    @pytest.mark.parametrize("wrong", [3, 6, 127])
    def test_lanes_that_are_no_power_of_two(self, wrong: int) -> None:
        expected = f"attention.row_lanes must be 0 (no row unit) or a power of two, not {wrong}"
        assert message_of(row_lanes=wrong) == expected
        assert message_of(row_lanes=wrong, vector_lanes=4) == expected

    @pytest.mark.parametrize("lanes", [0, 1, 2, 64, 128])
    def test_no_lanes_or_a_power_of_two_of_them(self, lanes: int) -> None:
        for vector_lanes in (0, 4):
            assert Accelerator(row_lanes=lanes, vector_lanes=vector_lanes).row_lanes == lanes


class TestText:
    def test_a_token_buffer_of_one_line(self) -> None:
        expected = "text.token_lines must be 0 (no embedding) or at least 2, not 1"
        assert message_of(token_lines=1) == message_of(token_lines=1, vector_lanes=4) == expected
        assert Accelerator(token_lines=2, vector_lanes=4).token_lines == 2

    @pytest.mark.parametrize(("name", "value"), [("token_lines", 2), ("classes", 1), ("classes", 1024)])
    def test_neither_embedding_nor_vote_without_vector_lanes(self, name: str, value: int) -> None:
        assert message_of(**{name: value}) == f"text.{name} must be 0 where vector.vector_lanes is 0, not {value}"
        assert message_of(**{name: value}, row_lanes=4).startswith(f"text.{name} must be 0 ")
        assert getattr(Accelerator(**{name: value}, vector_lanes=1), name) == value


class TestDerivedSizes:
    def test_lines_hold_a_slice(self) -> None:
        accelerator = Accelerator(columns=2, word_bits=4, port_bits=8, vector_lanes=16, sum_bits=9)
        assert (accelerator.line_bits, accelerator.line_groups, accelerator.line_slices) == (16, 8, 1)
        assert (accelerator.output_line_bits, accelerator.output_line_groups) == (8, 4)
        assert (accelerator.sum_line_sums, accelerator.sum_line_groups) == (16, 8)
        assert (accelerator.parameter_line_bits, accelerator.parameter_line_beats) == (1024, 128)

    def test_a_line_of_sums_holds_a_column_group_and_a_slice(self) -> None:
        accelerator = Accelerator(columns=8, word_bits=4, port_bits=256, vector_lanes=2)
        assert (accelerator.line_bits, accelerator.line_slices) == (256, 128)
        assert (accelerator.sum_line_sums, accelerator.sum_line_groups) == (8, 1)
        assert (accelerator.parameter_line_bits, accelerator.parameter_line_beats) == (256, 1)

    def test_lines_hold_a_slice_of_scores(self) -> None:
        accelerator = Accelerator(columns=2, word_bits=4, port_bits=8, row_lanes=16, sum_bits=9)
        assert (accelerator.line_bits, accelerator.line_groups, accelerator.line_row_slices) == (16, 8, 1)
        assert (accelerator.output_line_bits, accelerator.output_line_groups) == (8, 4)
        assert (accelerator.score_line_sums, accelerator.score_line_groups) == (16, 8)
        assert (accelerator.sum_line_sums, accelerator.sum_line_groups) == (2, 1)
        wider = accelerator.replace(vector_lanes=32)
        assert (wider.line_bits, wider.line_slices, wider.line_row_slices) == (32, 1, 2)
        assert (wider.score_line_sums, wider.sum_line_sums) == (16, 32)

    def test_a_line_of_scores_holds_a_column_group(self) -> None:
        accelerator = Accelerator(columns=8, word_bits=4, port_bits=256, row_lanes=2)
        assert (accelerator.line_bits, accelerator.line_row_slices) == (256, 128)
        assert (accelerator.score_line_sums, accelerator.score_line_groups) == (8, 1)

    @pytest.mark.parametrize(
        ("port_bits", "table", "token"), [(8, 32, 16), (16, 32, 16), (32, 32, 32), (256, 256, 256)]
    )
    def test_lines_of_the_table_and_of_tokens(self, port_bits: int, table: int, token: int) -> None:
        accelerator = Accelerator(port_bits=port_bits, row_lanes=4, vector_lanes=4, token_lines=2)
        assert (accelerator.table_line_bits, accelerator.token_line_bits) == (table, token)

    @pytest.mark.parametrize(
        ("port_bits", "lanes", "word", "slices", "embedding"),
        [(8, 1, 16, 16, 16), (8, 16, 16, 1, 256), (8, 64, 64, 1, 1024), (64, 2, 64, 32, 64), (256, 8, 256, 32, 256)],
    )
    def test_lines_of_words_and_of_positions(
        self, port_bits: int, lanes: int, word: int, slices: int, embedding: int
    ) -> None:
        accelerator = Accelerator(port_bits=port_bits, vector_lanes=lanes, token_lines=2)
        assert (accelerator.word_line_bits, accelerator.word_line_slices) == (word, slices)
        assert accelerator.embedding_line_bits == embedding

    def test_a_line_of_outputs_holds_a_logit(self) -> None:
        accelerator = Accelerator(columns=4, word_bits=16, port_bits=8, vector_lanes=4)
        assert accelerator.output_line_bits == 16
        voter = accelerator.replace(classes=1)
        assert (voter.output_line_bits, voter.output_line_beats, voter.output_line_groups) == (32, 4, 8)
        assert voter.line_bits == accelerator.line_bits == 16
        assert voter.replace(word_bits=64).output_line_bits == 64

    def test_lines_hold_a_column_group(self) -> None:
        accelerator = Accelerator(rows=64, columns=32, word_bits=4, port_bits=8)
        assert (accelerator.line_bits, accelerator.line_beats, accelerator.line_words) == (32, 4, 8)
        assert accelerator.line_groups == accelerator.output_line_groups == 1

    def test_lines_hold_a_row_tile_where_there_is_a_key_buffer(self) -> None:
        accelerator = Accelerator(rows=64, columns=32, word_bits=4, port_bits=8, key_lines=2)
        assert (accelerator.line_bits, accelerator.line_beats, accelerator.line_words) == (64, 8, 16)
        assert (accelerator.line_groups, accelerator.line_row_groups) == (2, 1)
        assert (accelerator.output_line_bits, accelerator.output_line_groups) == (32, 1)
        assert Accelerator(rows=4, columns=2, key_lines=2).line_row_groups == 8

    def test_narrow_port(self) -> None:
        accelerator = Accelerator(rows=3, columns=4, word_bits=64, port_bits=16)
        assert accelerator.lanes == 3 * 4 * 64
        assert (accelerator.beat_bytes, accelerator.line_bits) == (2, 64)
        assert (accelerator.line_beats, accelerator.line_words) == (4, 1)
        assert (accelerator.threshold_line_beats, accelerator.threshold_line_bits) == (4, 64)
        assert (accelerator.output_line_bits, accelerator.output_line_beats) == (64, 4)
        assert accelerator.output_line_groups == 16
        assert accelerator.instruction_beats == 16

    def test_wide_port(self) -> None:
        accelerator = Accelerator(rows=3, columns=64, word_bits=8, port_bits=256, sum_bits=16)
        assert (accelerator.line_beats, accelerator.line_words) == (1, 32)
        assert accelerator.threshold_entry_bits == 32
        assert (accelerator.threshold_line_beats, accelerator.threshold_line_bits) == (8, 2048)
        assert (accelerator.output_line_bits, accelerator.output_line_groups) == (256, 4)
        assert accelerator.instruction_beats == 1

    def test_a_threshold_line_is_padded_to_whole_beats(self) -> None:
        accelerator = Accelerator(columns=1, port_bits=256)
        assert (accelerator.threshold_line_beats, accelerator.threshold_line_bits) == (1, 256)

    @pytest.mark.parametrize("sum_bits", [6, 14, 15, 16, 31])
    def test_a_threshold_that_never_fires_fits(self, sum_bits: int) -> None:
        accelerator = Accelerator(sum_bits=sum_bits)
        never = accelerator.max_inputs + 1
        assert never == 2 ** (sum_bits - 1) - 1
        assert sum_bits + 1 <= accelerator.threshold_entry_bits
        assert accelerator.count_bits >= accelerator.max_inputs.bit_length()
        assert accelerator.threshold_entry_bits == (16 if sum_bits <= 15 else 32)


class TestIdentity:
    def test_to_dict_has_every_field_in_its_section(self) -> None:
        value = Accelerator(name="x").to_dict()
        assert list(value) == ["format", "name", *SECTIONS]
        assert value["format"] == FORMAT == "tallybert-accelerator-1"
        for name, section, *_ in LIMITS:
            assert value[section][name] == getattr(Accelerator(), name)
        assert value["implementation"]["counters"] is True

    def test_digest_depends_on_every_field(self) -> None:
        base = Accelerator(rows=8, pipeline=2, sum_bits=15, key_lines=2, vector_lanes=4)
        base = base.replace(row_lanes=4, token_lines=2, classes=2)
        changed = [base.replace(**{name: getattr(base, name) * 2}) for name, *_ in LIMITS]
        changed += [base.replace(name="other"), base.replace(counters=False)]
        digests = {accelerator.digest for accelerator in [base, *changed]}
        assert len(digests) == len(changed) + 1
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)

    def test_equal_accelerators_are_equal_and_hash_the_same(self) -> None:
        assert Accelerator(rows=2) == Accelerator(rows=2)
        assert len({Accelerator(rows=2), Accelerator(rows=2), Accelerator(rows=3)}) == 2

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            Accelerator().rows = 3  # type: ignore[misc]

    def test_replace_checks_again(self) -> None:
        with pytest.raises(AcceleratorError, match=r"^array.rows must be an integer from 1 to 64, not 0$"):
            Accelerator().replace(rows=0)
