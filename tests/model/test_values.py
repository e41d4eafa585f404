"""Values: how they are shown, what they can hold, and what a network may read."""

import pytest

from model.checks import NetworkError
from model.values import Value, check_input, codes, input_entry, read_input, tokens

KEYS = "input: must be an object with the keys kind, rows, channels, set, bits, not "


@pytest.mark.parametrize(
    ("value", "text", "form", "low", "high"),
    [
        (tokens(5), "tokens [n]", "tokens", 0, 0),
        (tokens(1), "tokens [1]", "tokens", 0, 0),
        (codes(3, "signed"), "signed 1-bit codes [n, 3]", "codes", 0, 1),
        (codes(3, "unsigned", 2), "unsigned 2-bit codes [n, 3]", "codes", 0, 3),
        (codes(3, "signed", 8), "signed 8-bit codes [n, 3]", "codes", -128, 127),
        (Value("sums", channels=3, rows=1, bound=9), "sums [1, 3]", "sums", -9, 9),
        (Value("sums", heads=2, rows=5, bound=9), "scores [2, n, n]", "scores", -9, 9),
        (
            Value("codes", heads=2, rows=1, set="unsigned", bits=4),
            "unsigned 4-bit attention codes [2, 1, 1]",
            "attention codes",
            0,
            15,
        ),
        (Value("fixed", channels=3, rows=5, fraction=8), "fixed [n, 3] with 8 fraction bits", "fixed", -32768, 32767),
        (Value("logits", channels=3), "logits [3]", "logits", -(1 << 31), (1 << 31) - 1),
    ],
)
def test_a_value(value, text, form, low, high):
    assert (str(value), value.form, value.low, value.high) == (text, form, low, high)


@pytest.mark.parametrize(
    ("set", "bits", "reach"), [("signed", 1, 1), ("unsigned", 1, 1), ("signed", 4, 8), ("unsigned", 4, 15)]
)
def test_the_reach_of_a_code(set, bits, reach):
    assert codes(3, set, bits).reach == reach


@pytest.mark.parametrize("value", [tokens(1), tokens(1024), codes(1, "signed"), codes(65535, "unsigned", 8, 7)])
def test_an_input_and_its_entry(value):
    assert check_input(value) is value
    assert read_input(input_entry(value)) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("tokens", "input: must be tokens or codes, not 'tokens'"),
        (Value("fixed", channels=3), "input: must be tokens or codes, not Value(kind='fixed', "),
        (tokens(0), "input.rows: must be an integer from 1 to 1024, not 0"),
        (tokens(1025), "input.rows: must be an integer from 1 to 1024, not 1025"),
        (codes(0, "signed"), "input.channels: must be an integer from 1 to 65535, not 0"),
        (codes(65536, "signed"), "input.channels: must be an integer from 1 to 65535, not 65536"),
        (codes(3, "sined"), "input.set: must be one of signed, unsigned, not 'sined'; did you mean 'signed'?"),
        (codes(3, "signed", 3), "input.bits: must be one of 1, 2, 4, 8, not 3"),
        (Value("codes", channels=3, heads=1, set="signed", bits=1), "input: must be signed 1-bit codes [1, 3], not "),
        (Value("tokens", channels=3), "input: must be tokens [1], not Value(kind='tokens', channels=3"),
    ],
)
def test_a_wrong_input(value, message):
    with pytest.raises(NetworkError) as error:
        check_input(value)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (None, "input: must be an object, not None"),
        ({}, "input.kind: must be one of tokens, codes, not None"),
        ({"kind": "token"}, "input.kind: must be one of tokens, codes, not 'token'; did you mean 'tokens'?"),
        ({"kind": "fixed"}, "input.kind: must be one of tokens, codes, not 'fixed'"),
        ({"kind": "tokens"}, "input: must be an object with the keys kind, rows, not without rows"),
        ({"kind": "tokens", "rows": "5"}, "input.rows: must be an integer from 1 to 1024, not '5'"),
        ({"kind": "codes", "rows": 5}, KEYS + "without channels, set, bits"),
        ({"kind": "codes", "rows": 5, "heads": 1}, KEYS + "'heads'"),
    ],
)
def test_a_wrong_entry(entry, message):
    with pytest.raises(NetworkError) as error:
        read_input(entry)
    assert str(error.value) == message
