"""hw.messages: whatever the value, a short line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.messages import MAX_SHOWN, shown, suggestion

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("value", [0, -1, True, None, 1.5, "a", [1], {"a": 1}, (1, 2)])
def test_short_values_stand_as_they_are(value: object) -> None:
    assert shown(value) == repr(value)


def test_long_values_are_cut() -> None:
    assert shown(10**5000) == "a number of 16610 bits"
    assert shown([10**5000]) == "[a number of 16610 bits]"
    assert len(shown("x" * 10**6)) <= 2 * MAX_SHOWN
    assert len(shown([["x" * 1000] * 1000] * 1000)) <= 2 * MAX_SHOWN + 3


@given(JSON)
def test_any_value_is_a_short_printable_line(value: object) -> None:
    text = shown(value)
    assert text.isprintable()
    assert len(text) <= 2 * MAX_SHOWN + 3


def test_suggestions() -> None:
    assert suggestion("row", ["rows", "columns"]) == "; did you mean 'rows'?"
    assert suggestion("colums", ("rows", "columns")) == "; did you mean 'columns'?"
    assert suggestion("simulate", ["sim", "demo"]) == "; did you mean 'sim'?"
    assert suggestion("--keep", ["--seed", "--set"]) == ""
    assert suggestion("--see", ["--seed", "--set"]) == "; did you mean '--seed'?"
    assert suggestion("zzz", ["rows", "columns"]) == ""
    assert suggestion("", ["rows"]) == ""
    assert suggestion("x" * 10**6, ["rows"]) == ""
