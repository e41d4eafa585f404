import hashlib
from dataclasses import replace

import numpy as np
import pytest

from model.data import Dataset, Split, Task, unlabelled
from model.data.carriers import Carrier
from model.data.errors import DataError
from model.data.pool import POOL, gather
from model.data.text import normalise, normalise_tweet

LONG = "one two three four five six seven"


def dataset(dev="nothing like it here", test="nor like this one", name="made up", pairs=None):
    def split(text):
        return Split((text,), pairs and (pairs,), np.array([0]))

    task = Task(name, ("no", "yes"), ("accuracy",), pairs=pairs is not None)
    return Dataset(name, task, split("the text of train is free"), split(dev), split(test), "a test")


@pytest.fixture
def pool(carry):
    """Return a function that gathers from sources of made-up texts, each with its part."""
    carry("made_up_carrier", "1.2", {})
    here, away = Carrier("made-up-carrier", "1.2", "MIT"), Carrier("missing-carrier", "1.0", "MIT")

    def found(texts, *datasets, tasks=(), installed=True):
        rows = [(text, "train") if isinstance(text, str) else text for text in texts]
        carrier = here if installed else away
        source = replace(POOL[0], carrier=carrier, tasks=tasks, read=lambda: iter(rows))
        return gather(datasets, [source])

    return found


def test_texts_come_once_and_in_order(pool):
    assert pool(["B b b b.", "A a a a", "b B, b b!", "@x b b b b http://y"]) == ("B b b b.", "A a a a")


def test_too_short_a_text_is_left_out(pool):
    assert pool(["one two three", "one two three four", "!", ""]) == ("one two three four",)


def test_a_missing_carrier_is_passed_over(pool):
    assert pool([LONG], installed=False) == ()


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        "One, two, three - four FIVE six seven!",
        f"before {LONG} after",
        "and two three four five six seven",
        f"First this. {LONG.capitalize()}. And that.",
    ],
)
@pytest.mark.parametrize("part", ["dev", "test"])
def test_what_gives_a_held_out_text_away_is_left_out(pool, text, part):
    assert pool([text, "this one is something else"], dataset(**{part: LONG})) == ("this one is something else",)


def test_other_spellings_of_a_held_out_text_are_left_out(pool):
    held_out = "it does n't work , it 's what they 'd do"
    assert pool(["It doesn\u2019t work, it's what they'd do."], dataset(test=held_out)) == ()
    assert pool(["It doesn\u2019t work, it's what they'd do."], dataset()) != ()


def test_a_held_out_text_of_short_sentences_is_left_out(pool):
    assert pool(["Yes. We are all there! Now."], dataset(test="Yes. We are. All there now.")) == ()
    assert pool(["Yes. We are all there! Now."], dataset(test="Yes. We are. All there.")) != ()


def test_the_second_text_of_a_pair_is_held_out_too(pool):
    assert pool([LONG], dataset(pairs=LONG)) == ()


def test_what_only_resembles_one_stays(pool):
    texts = ("one two three four five 6 seven", "one two three four")
    assert pool(texts, dataset(test=LONG)) == texts
    assert pool(["the text of train is free"], dataset()) == ("the text of train is free",)


def test_a_guarded_source_gives_only_its_train_part(pool):
    texts = [("of train one two", "train"), ("of dev one two", "dev"), ("of test one two", "test")]
    assert pool(texts, dataset(name="rt"), tasks=("rt", "subj")) == ("of train one two",)
    assert len(pool(texts, dataset(name="other"), tasks=("rt", "subj"))) == 3


def test_sources_say_their_terms_and_guard_their_tasks():
    assert [source.name for source in POOL] == ["films", "tweets", "dialogue", "crowd", "news"]
    assert all(source.terms and source.what for source in POOL)
    assert [source.tasks for source in POOL] == [
        ("rt", "subj"),
        ("tweets",),
        ("friends",),
        ("crowd3", "crowd2"),
        ("bbc",),
    ]


def test_an_unknown_source_is_refused(refused):
    message = refused(DataError, lambda: unlabelled([], sources=["film"]))
    expected = "sources: must be some of films, tweets, dialogue, crowd, news, not 'film'; did you mean 'films'?"
    assert message == expected


def test_unlabelled_is_the_pool_of_what_is_named(packaged):
    tweets = packaged("tweets")
    found = unlabelled(["tweets"], sources=["tweets"])
    assert len(found) == 4048
    assert {normalise_tweet(text) for text in found}.isdisjoint(
        map(normalise_tweet, tweets.test.texts + tweets.dev.texts)
    )


def test_nothing_of_a_film_in_dev_or_test_is_in_the_pool_of_rt(packaged, film_passages):
    rt = packaged("rt")
    found = gather([rt], [source for source in POOL if source.name == "films"])
    free = {normalise(text) for it in film_passages() if it.part == "train" for text in it.sentences()}
    assert {normalise(text) for text in found} <= free
    held_out = {normalise(text) for part in ("dev", "test") for text in rt.splits[part].texts}
    assert held_out.isdisjoint(normalise(text) for text in found)
    assert len(found) == 12210
    assert (
        hashlib.sha256("\n".join(found).encode()).hexdigest()
        == "f8caab1724db0b94939a22fba707ac22e221fafd48f7d04906ffd5cd968494fe"
    )
