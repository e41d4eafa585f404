import numpy as np
import pytest

from model.data.augment import drop_tokens, drop_words, jumble, replace, spans, splice, typos
from model.data.errors import DataError

TEXTS = [
    "The acting is fine, but the plot is thin.",
    "A warm film about a cold man",
    "one",
    "",
    "I laughed because it was true; she cried.",
]
LONG = [" ".join(f"word{number}" for number in range(4000))]
NEIGHBOURS = {"film": ["movie", "picture"], "fine": ["good"], "the": []}


@pytest.mark.parametrize(
    "function",
    [
        lambda texts, seed: drop_words(texts, 0.3, seed),
        lambda texts, seed: typos(texts, 0.5, seed),
        lambda texts, seed: replace(texts, NEIGHBOURS, 0.7, seed),
        lambda texts, seed: jumble(texts, ["zebra", "quince", "oboe"], 0.5, seed),
        lambda texts, seed: [row.tolist() for row in drop_tokens([np.arange(len(text)) for text in texts], 0.4, seed)],
    ],
)
def test_the_same_seed_gives_the_same(function):
    many = TEXTS + LONG + ["a film is a film is a film " * 20]
    first = function(many, 1)
    assert first == function(many, 1)
    assert first != function(many, 2)
    # What comes after a text does not change it, and at another place it is changed in another way.
    assert function(many[:4], 1) == first[:4]
    assert function([many[6]], 1) != first[6:]


def test_augmentations_stay_what_they_are():
    assert drop_words(TEXTS, 0.3, 1) == [
        "is fine, the plot is",
        "A film about man",
        "one",
        "",
        "I laughed because was true; she cried.",
    ]
    assert typos(TEXTS, 0.5, 1) == [
        "yhe acting is fine, but the pot is thin.",
        "A wrm fillm about a cold mna",
        "oone",
        "",
        "I laughde because ti wsa tue; she cried.",
    ]
    assert splice(TEXTS, 3, 1) == [
        "A warm film she cried.",
        "A warm film because it was true; she cried.",
        "The acting is fine, she cried.",
    ]
    assert replace(TEXTS, NEIGHBOURS, 0.9, 1) == [
        "The acting is good, but the plot is thin.",
        "A warm movie about a cold man",
        "one",
        "",
        "I laughed because it was true; she cried.",
    ]


def test_words_are_dropped_at_the_rate_and_never_all():
    (kept,) = drop_words(LONG, 0.25, 3)
    assert abs(len(kept.split()) - 3000) < 100
    words = set(kept.split())
    assert [word for word in LONG[0].split() if word in words] == kept.split()
    assert drop_words(TEXTS, 0.0, 3) == TEXTS
    assert [len(text.split()) for text in drop_words(TEXTS, 1.0, 3)] == [1, 1, 1, 0, 1]
    assert len({text.split()[0] for text in drop_words([TEXTS[0]] * 50, 1.0, 3)}) > 4


def test_tokens_are_dropped_and_special_ones_stay():
    row = np.array([2, *range(10, 2010), 3, *range(10, 2010), 3], np.int32)
    (kept,) = drop_tokens([row], 0.5, 4, keep=(2, 3))
    assert kept.dtype == np.int32
    assert [number for number in kept if number < 10] == [2, 3, 3]
    assert abs(len(kept) - 2003) < 120
    assert drop_tokens([row], 0.0, 4)[0].tolist() == row.tolist()
    short = drop_tokens([np.array([2, 7, 8, 3]), np.array([2, 3]), np.array([], np.int32)], 1.0, 4, keep=(2, 3))
    assert [len(it) for it in short] == [3, 2, 0]


def test_typos_change_a_letter_or_two():
    words = [f"keyboard{'s' * (number % 2)}" for number in range(400)]
    changed = typos(words, 1.0, 5)
    kinds = {len(after) - len(before) for before, after in zip(words, changed, strict=True)}
    assert kinds == {-1, 0, 1}
    assert sum(before != after for before, after in zip(words, changed, strict=True)) > 380
    same = [(before, after) for before, after in zip(words, changed, strict=True) if len(before) == len(after)]
    assert any(sorted(before) == sorted(after) != before and before != after for before, after in same)
    assert any(sum(a != b for a, b in zip(before, after, strict=True)) == 1 for before, after in same)
    assert typos(TEXTS, 0.0, 5) == TEXTS
    assert typos(["a I ? ,"], 1.0, 5) == ["a I ? ,"]
    (some,) = typos(LONG, 0.1, 5)
    assert 300 < sum(a != b for a, b in zip(LONG[0].split(), some.split(), strict=True)) < 480


def test_words_are_replaced_by_their_neighbours():
    texts = ["Film, film and FILM: the fine film."] * 40
    found = replace(texts, NEIGHBOURS, 1.0, 6)
    assert {text.split(",")[0] for text in found} == {"Movie", "Picture"}
    assert all(text.endswith(("the good movie.", "the good picture.")) for text in found)
    assert replace(texts, NEIGHBOURS, 0.0, 6) == texts
    assert replace(texts, {}, 1.0, 6) == texts
    changed = sum(text != "a film" for text in replace(["a film"] * 1000, NEIGHBOURS, 0.3, 6))
    assert abs(changed - 300) < 60


def test_any_word_takes_the_place_of_others():
    texts = ["Film, film and FILM: the fine film."] * 200
    found = jumble(texts, ["zebra", "quince"], 0.3, 6)
    words = [word.strip(",:.") for text in found for word in text.split()]
    assert set(words) == {"Film", "film", "and", "FILM", "the", "fine", "zebra", "quince"}
    strange = sum(word in ("zebra", "quince") for word in words)
    assert abs(strange / len(words) - 0.3) < 0.05
    assert all(text.endswith(".") and text.count(",") == 1 for text in found)
    assert jumble(texts, ["zebra"], 0.0, 6) == texts


def test_spans_are_words_in_a_row():
    found = spans(TEXTS, 500, 7)
    rows = [text.split() for text in TEXTS]
    wholes = [f" {' '.join(row)} " for row in rows]
    assert all(any(f" {span} " in whole for whole in wholes) for span in found)
    lengths = {len(span.split()) for span in found}
    assert lengths == set(range(1, 10))  # the longest text has nine words
    assert max(len(span.split()) for span in spans(LONG, 300, 7)) == 10
    assert spans(TEXTS, 5, 7) == found[:5]
    assert spans(TEXTS, 0, 7) == []
    assert found != spans(TEXTS, 500, 8)


def test_spliced_texts_have_a_beginning_and_an_end():
    heads = {"The acting is fine,", "A warm film", "I laughed", "I laughed because it was true;"}
    tails = {"but the plot is thin.", "about a cold man", "because it was true; she cried.", "she cried."}
    found = splice(TEXTS, 400, 7)
    assert set(found) <= {f"{head} {tail}" for head in heads for tail in tails}
    assert {text for text in found if text in TEXTS} == set()
    assert len(set(found)) > 8 and len(found) == 400
    assert splice(TEXTS, 5, 7) == found[:5]
    assert splice(TEXTS, 0, 7) == []


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: drop_words(TEXTS, 1.5, 0), "rate: must be from 0 to 1, not 1.5"),
        (lambda: typos(TEXTS, -0.1, 0), "rate: must be from 0 to 1, not -0.1"),
        (lambda: replace(TEXTS, {}, float("nan"), 0), "rate: must be from 0 to 1, not nan"),
        (lambda: drop_tokens([], 2, 0), "rate: must be from 0 to 1, not 2"),
        (lambda: splice(["one", "two words"], 1, 0), "texts: must be at least two of two words or more, not 1"),
        (lambda: spans(["", " "], 1, 0), "texts: must be with words, not ['', ' ']"),
        (lambda: spans(TEXTS, -1, 0), "count: must be 0 or more, not -1"),
        (lambda: jumble(TEXTS, [], 0.5, 0), "words: must be one or more, not []"),
        (lambda: jumble(TEXTS, ["x"], 2, 0), "rate: must be from 0 to 1, not 2"),
        (lambda: splice(TEXTS, -1, 0), "count: must be 0 or more, not -1"),
        (lambda: typos(TEXTS, 0.5, -1), "seed: must be from 0 to 4294967295, not -1"),
    ],
)
def test_wrong_arguments_are_refused(refused, function, message):
    assert refused(DataError, function) == message
