"""Figures of a network: each is what a slow count gives."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from model.bits import pack
from model.data.baseline import linear_baseline
from model.data.dataset import DataError, Dataset, Split, Task
from model.data.metrics import METRICS, mcc, pearson
from model.evaluation import (
    Evaluation,
    beside_words,
    evaluate_split,
    figures,
    interval,
    read_text,
)
from model.integer import IntegerNetwork
from model.network import Member, Network
from model.operations import Classify, Embed, First, Matmul, Requantise
from model.reading import is_cut, tokenizer_of
from model.values import codes
from tests.model.small import i16, i32

Refused = Callable[..., str]
CLASSES = Task("t", ("a", "b", "c"), ("accuracy", "macro_f1"))


@pytest.fixture
def dataset() -> Dataset:
    """Return sentences of which words alone tell most."""
    rng = np.random.default_rng(5)
    words = np.array(["good bright warm fine", "bad dull cold poor"])

    def split(count: int) -> Split:
        labels = rng.integers(0, 2, count)
        said = np.where(rng.random(count) < 0.8, labels, 1 - labels)
        return Split(tuple(f"{rng.choice(words[number].split())} film" for number in said), None, labels)

    return Dataset("made up", Task("t", ("a", "b"), ("accuracy",)), split(60), split(50), split(70), "a test")


@pytest.fixture
def voted() -> tuple[Evaluation, Split]:
    rng = np.random.default_rng(1)
    logits = rng.integers(-50, 50, (3, 200, 3))
    contributions = logits * np.array([3, 2, 1])[:, None, None]
    run = rng.integers(1, 4, 200)
    labels = rng.integers(0, 3, 200)
    split = Split(("x",) * 200, None, labels)
    return Evaluation(logits, contributions, contributions.sum(0), run), split


@pytest.fixture(scope="module")
def network() -> Network:
    import torch

    from model.data.wordpiece import train_tokenizer
    from model.lowering import Calibration, export_ensemble
    from model.member import Member
    from model.shape import Shape

    tokenizer = train_tokenizer(["the quick brown fox jumps over a lazy dog and a lovely film"] * 3, 100)
    torch.manual_seed(1)
    members = [Member(Shape(tokenizer.size, 2, layers=1, hidden=16, heads=2, positions=12)) for _ in range(2)]
    ids = torch.randint(0, tokenizer.size, (8, 9))
    for member in members:
        member.train()
        member(ids, torch.ones_like(ids, dtype=torch.bool))
    return export_ensemble(members, calibration=Calibration(ids.tolist()), tokenizer=tokenizer.to_bytes())


class TestFigures:
    def test_they_are_counted(self, voted: tuple[Evaluation, Split]) -> None:
        found, split = voted
        report = figures(CLASSES, split, found)
        for count in (1, 2, 3):
            totals = found.contributions[:count].sum(0)
            assert report["prefix_accuracy"][count - 1] == (totals.argmax(1) == split.labels).mean()
            own = found.logits[count - 1].argmax(1)
            assert report["member_accuracy"][count - 1] == (own == split.labels).mean()
        assert report["accuracy"] == report["metrics"]["accuracy"] == report["prefix_accuracy"][-1]
        assert report["expected_members"] == found.members_run.mean()
        assert report["majority_accuracy"] == np.bincount(split.labels).max() / 200
        assert (report["examples"], report["members"], report["metric"]) == (200, 3, "accuracy")
        assert set(report["metrics"]) == {"accuracy", "macro_f1"}

    def test_scores(self) -> None:
        rng = np.random.default_rng(2)
        logits = rng.integers(-500, 500, (2, 50, 1))
        found = Evaluation(logits, logits * 3, (logits * 3).sum(0), np.full(50, 2))
        labels = rng.random(50).astype(np.float32)
        report = figures(Task("t", (), ("pearson",), score_range=(0.0, 1.0)), Split(("x",) * 50, None, labels), found)
        assert report["accuracy"] == pearson(logits.sum((0, 2)) * 3.0, labels)
        assert report["majority_accuracy"] is None
        assert report["member_accuracy"][0] == pearson(logits[0, :, 0].astype(float), labels)


class TestInterval:
    def test_of_an_accuracy(self) -> None:
        labels = np.array([0, 1] * 100)
        predictions = np.where(np.arange(200) < 150, labels, 1 - labels)
        low, high = interval("accuracy", predictions, labels)
        assert 0.68 < low < 0.72
        assert 0.78 < high < 0.82
        assert interval("accuracy", labels, labels) == [1.0, 1.0]

    def test_of_another_metric(self) -> None:
        rng = np.random.default_rng(3)
        labels = rng.integers(0, 2, 300)
        predictions = np.where(rng.random(300) < 0.8, labels, 1 - labels)
        low, high = interval("mcc", predictions, labels)
        assert low < mcc(predictions, labels) < high
        assert interval("mcc", predictions, labels) == [low, high]
        assert 0.1 < high - low < 0.25

    @pytest.mark.parametrize("metric", ["accuracy", "mcc"])
    def test_of_a_difference_of_the_same_sentences(self, metric: str) -> None:
        rng = np.random.default_rng(4)
        labels = rng.integers(0, 2, 400)
        worse = np.where(rng.random(400) < 0.7, labels, 1 - labels)
        better = np.where((worse != labels) & (rng.random(400) < 0.2), labels, worse)
        low, high = interval(metric, better, labels, worse)
        difference = METRICS[metric](better, labels) - METRICS[metric](worse, labels)
        assert 0 < low < difference < high
        # Apart, their intervals would overlap: what both get wrong says nothing.
        assert interval(metric, worse, labels)[1] > interval(metric, better, labels)[0]
        assert interval(metric, better, labels, better) == [0, 0]
        assert np.allclose(interval(metric, worse, labels, better), [-high, -low])


class TestBesideWords:
    def test_words_are_fitted_and_both_are_drawn_together(self, dataset: Dataset) -> None:
        words = linear_baseline(dataset)
        right = dataset.dev.labels
        found = beside_words(dataset, "dev", right)
        assert found["tfidf_accuracy"] == words.dev["accuracy"]
        assert found["tfidf_difference"] == 1 - words.dev["accuracy"]
        assert found["tfidf_difference_interval"] == interval("accuracy", right, right, words.predictions["dev"])
        same = beside_words(dataset, "test", words.predictions["test"])
        assert (same["tfidf_difference"], same["tfidf_difference_interval"]) == (0, [0, 0])

    def test_nothing_to_learn_from(self, dataset: Dataset) -> None:
        one = dataclasses.replace(dataset, train=dataset.train.take(np.flatnonzero(dataset.train.labels == 0)))
        assert set(beside_words(one, "test", one.test.labels).values()) == {None}


class TestNetwork:
    def test_rows_are_in_the_order_of_the_split(self, network: Network) -> None:
        texts = tuple(" ".join(["lovely film dog quick"[: 3 + number % 17]] * (1 + number % 3)) for number in range(40))
        heard: list[int] = []
        found = evaluate_split(network, Split(texts, None, np.zeros(40, np.int64)), hear=heard.append)
        encoded = tokenizer_of(network).encode(texts, limit=12)
        for place in range(40):
            alone = IntegerNetwork(network).run([encoded.ids[place]])
            assert np.array_equal(found.logits[:, place], alone.logits[:, 0])
            assert np.array_equal(found.contributions[:, place], alone.contributions[:, 0])
            assert np.array_equal(found.totals[place], alone.totals[0])
            assert found.members_run[place] == alone.members_run[0]
        assert found.predictions().tolist() == found.totals.argmax(1).tolist()
        assert heard == [40]

    def test_one_text(self, network: Network) -> None:
        encoded = tokenizer_of(network).encode(["a lovely film"], limit=12)
        assert np.array_equal(
            read_text(network, "a lovely film").totals, IntegerNetwork(network).run(encoded.ids).totals
        )
        pair = tokenizer_of(network).encode(["a film"], ["lovely"], limit=12)
        expected = IntegerNetwork(network).run(pair.ids, pair.types)
        assert np.array_equal(read_text(network, "a film", "lovely").totals, expected.totals)

    @pytest.mark.parametrize(("text", "cut"), [("a film", False), ("a " * 10, False), ("a " * 11, True)])
    def test_what_is_cut(self, text: str, cut: bool, network: Network) -> None:
        assert is_cut(network, text) is cut

    @pytest.mark.parametrize("text", ["", " ", "x" * 100_001, "a\0b"])
    def test_a_text_that_is_none(self, text: str, network: Network, refused: Refused) -> None:
        assert refused(DataError, read_text, network, text).startswith("text: must be ")
        assert refused(DataError, read_text, network, "a film", text).startswith("second text: must be ")


def with_embeddings(network: Network, change: Callable[[Embed], Embed]) -> Network:
    """Return a network whose embeddings are others."""
    return replace(network, operations=tuple(change(at) if isinstance(at, Embed) else at for at in network.operations))


class TestWhatCannotReadTexts:
    def test_a_tokenizer_of_more_pieces_than_words(self, network: Network, refused: Refused) -> None:
        words = tokenizer_of(network).size
        fewer = with_embeddings(network, lambda at: replace(at, words=at.words[:-1], scales=at.scales[:-1]))
        expected = f"one of at most {words - 1} pieces, as many as the network has words, not {words}"
        message = f"tokenizer: must be {expected}; export the network again, with the tokenizer of its run"
        assert refused(DataError, read_text, fewer, "a film") == message
        assert refused(DataError, is_cut, fewer, "a film") == message
        assert refused(DataError, evaluate_split, fewer, Split(("a film",), None, np.zeros(1, np.int64))) == message

    def test_a_second_text_for_one_token_type(self, network: Network, refused: Refused) -> None:
        single = with_embeddings(network, lambda at: replace(at, types=at.types[:1]))
        assert np.array_equal(read_text(single, "a film").totals, read_text(network, "a film").totals)
        message = "second text: must be left out for a network of one token type, not given"
        assert refused(DataError, read_text, single, "a film", "lovely") == message
        pairs = Split(("a film",), ("lovely",), np.zeros(1, np.int64))
        assert refused(DataError, evaluate_split, single, pairs) == message

    def test_a_network_of_codes(self, network: Network, refused: Refused) -> None:
        reads = codes(4, "signed", 1, 3)
        matmul = Matmul("m", ("row",), 4, 2, pack([[1, 0, 1, 0], [1, 1, 1, 1]]))
        fixed = Requantise("f", ("m",), 0, 0, i16(1, 1), i32(0, 0))
        classify = Classify("c", ("f",), 0, np.ones((2, 2), np.int8), i32(0, 0))
        chain = (First("row", ("input",)), matmul, fixed, classify)
        made = Network(chain, reads, (Member("one", "c", 1),), "soft", tokenizer=network.tokenizer)
        message = "network: must be one that reads tokens, to read text, not one that reads codes"
        assert refused(DataError, read_text, made, "a film") == message
