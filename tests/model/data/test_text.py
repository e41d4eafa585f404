import pytest

from model.data.errors import DataError
from model.data.text import MAX_TEXT, check_text, normalise, normalise_tweet, readable, sentences, without_links


@pytest.mark.parametrize("text", ["a", "?", " x ", "é", "\U0001f600", "a" * MAX_TEXT, "tab\tand\nline"])
def test_a_legal_text_comes_back_as_it_is(text):
    assert check_text(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text: must be a text with at least one letter or sign, not ''"),
        (" \n\t", "text: must be a text with at least one letter or sign, not ' \\n\\t'"),
        ("a" * (MAX_TEXT + 1), "text: must be at most 100000 characters, not 100001; cut it first"),
        ("ab\0", "text: must be text that UTF-8 can hold, without NUL, not U+0000 at character 3"),
        ("\ud800", "text: must be text that UTF-8 can hold, without NUL, not U+D800 at character 1"),
        ("a\udfffb", "text: must be text that UTF-8 can hold, without NUL, not U+DFFF at character 2"),
        (None, "text: must be a text, not None"),
        (b"a", "text: must be a text, not b'a'"),
    ],
)
def test_an_illegal_text_is_refused(refused, text, message):
    assert refused(DataError, check_text, text) == message


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Don't  stop!", "don t stop"),
        ("DON'T, stop", "don t stop"),
        ("\uff26\uff49\uff4c\uff4d \u2014 \u00c9t\u00e9", "film \u00e9t\u00e9"),
        ("STRASSE", "strasse"),
        ("Stra\u00dfe", "strasse"),
        ("?!", "?!"),
        (" \u2026 ", "..."),
        ("a_1 b", "a_1 b"),
        (" words  alone 2 ", "words alone 2"),
        ("12  34", "12 34"),
        ("", ""),
    ],
)
def test_what_counts_as_the_same_text(text, same):
    assert normalise(text) == same


@pytest.mark.parametrize(
    ("tweet", "same"),
    [
        ("RT @One_Two: Look here! http://t.co/abc", "look here"),
        ("Look here @other https://t.co/x?y=1#z", "look here"),
        ("art of the start", "art of the start"),
        ("@one", "one"),
        ("http://t.co/abc", "http t co abc"),
    ],
)
def test_what_counts_as_the_same_tweet(tweet, same):
    assert normalise_tweet(tweet) == same


def test_links_and_odd_white_space_go():
    assert without_links("see  http://a.b/c?d=e now\n https://x") == "see now"
    assert readable("It\x92s\xa0a\x00 \x93test\x94\x81\n ok") == "It\u2019s a \u201ctest\u201d\ufffd ok"
    assert readable("as it is") == "as it is"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Mr. Smith met J. R. Jones. They spoke.", ["Mr. Smith met J. R. Jones.", "They spoke."]),
        ('He said "No." She left.', ['He said "No."', "She left."]),
        ("It cost 3.5 million. in all", ["It cost 3.5 million. in all"]),
        ("A line\nand another\n\nand one", ["A line", "and another", "and one"]),
        ("Wait... What?", ["Wait...", "What?"]),
        ("  spaced   out  ", ["spaced out"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text, parts):
    assert sentences(text) == parts
