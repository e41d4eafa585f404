import pytest

from model.data.phrases import cut_sentences, whole
from model.data.split import Row, Shares, part_of

SENTENCES = [" ".join(f"word{number}x{place}" for place in range(8)) for number in range(300)]
ALL, NONE = Shares(dev=1000), Shares(dev=0)


def rows(texts):
    return [Row(text, text.upper(), 1, "train") for text in texts]


def test_whole_sentences_are_those_inside_no_other():
    phrases = [
        tuple(text.split()) for text in ("a b c d e f g", "b c d e f g", "a b c d e f", "x b c d e f g", "c d", "y")
    ]
    assert whole(phrases) == [phrases[0], phrases[3]]
    assert whole([phrases[1]] * 3) == [phrases[1]]
    assert whole([("a",) * 7, ("a",) * 6]) == [("a",) * 7]
    assert whole([]) == []


def test_phrases_inside_dev_leave_train():
    texts = ["a b c d e f g", "b c d", "b c", "a b c d e f", "c d x", "a c d", "g"]
    assert [(row.key, row.part) for row in cut_sentences(rows(texts), "salt", ALL)] == [
        ("a b c d e f g", "dev"),
        ("b c", "train"),
        ("c d x", "train"),
        ("a c d", "train"),
        ("g", "train"),
    ]
    assert cut_sentences(rows(texts), "salt", NONE) == rows(texts)


@pytest.mark.parametrize("order", [1, -1])
def test_the_cut_is_by_the_words_of_the_sentence(order):
    parts = [" ".join(text.split()[1:5]) for text in SENTENCES]
    kept = cut_sentences(rows((SENTENCES + parts)[::order]), "salt", Shares(dev=200))
    dev = {row.key for row in kept if row.part == "dev"}
    assert dev == {text for text in SENTENCES if part_of(text, "salt", Shares(dev=200)) == "dev"}
    train = {row.key for row in kept if row.part == "train"}
    assert train == set(SENTENCES) - dev | {
        part for text, part in zip(SENTENCES, parts, strict=True) if text not in dev
    }
