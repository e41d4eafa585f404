"""The loss of a batch: which teacher is asked, and what weights do."""

from typing import Any

import numpy as np
import pytest
import torch

from model.distillation import Objective
from model.member import Member
from model.shape import Precision, Shape
from model.training.corpus import Batch, Corpus, make_batch
from model.training.losses import batch_loss
from model.training.plan import StagePlan


def member(seed: int, classes: int = 2) -> Member:
    torch.manual_seed(seed)
    precision = Precision.uniform(32, 32, 32)
    return Member(Shape(30, classes, layers=1, hidden=16, heads=2, positions=8, precision=precision, dropout=0.0))


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(1)
    ids = [rng.integers(4, 30, 5).astype(np.int32) for _ in range(6)]
    corpus = Corpus(ids, [np.zeros(5, np.int32)] * 6, np.array([0, 1, 1, 0, -1, 1]))
    logits = rng.normal(size=(6, 2)).astype(np.float32)
    return make_batch(corpus.taught(logits), np.array([4, 0, 2]), "cpu")


def test_it_is_the_objective(batch: Batch) -> None:
    student, teacher = member(1), member(2)
    losses = {"label": 0.5, "logits": 2.0, "hidden": 0.1, "attention": 0.2, "direction": 0.3}
    total, parts = batch_loss(StagePlan(losses=losses, temperature=3.0), False, teacher)(student, batch)
    own, said = student(batch.ids, batch.mask), teacher(batch.ids, batch.mask)
    expected, _ = Objective(**losses, temperature=3.0).loss(own, said, said.logits, batch.labels, batch.mask)
    assert torch.equal(total, expected)
    assert set(parts) == {"total", *losses}
    assert parts["total"] == pytest.approx(sum(losses[name] * parts[name] for name in losses))


def test_stored_logits_stand_for_the_teacher(batch: Batch) -> None:
    student = member(1)
    total, _ = batch_loss(StagePlan(losses={"logits": 1.0}), False)(student, batch)
    own = student(batch.ids, batch.mask)
    expected, _ = Objective(logits=1.0).loss(own, None, batch.teacher_logits, batch.labels, batch.mask)
    assert torch.equal(total, expected)


def test_the_teacher_gets_no_gradient(batch: Batch) -> None:
    student, teacher = member(1), member(2)
    batch_loss(StagePlan(losses={"hidden": 1.0}), False, teacher)(student, batch)[0].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert student.embedding.words.weight.grad is not None


def test_weights_are_those_of_the_sentences(batch: Batch) -> None:
    student = member(1)
    weights = np.array([2.0, 0.0, 3.0, 0.0, 0.0, 0.0])
    total, _ = batch_loss(StagePlan(), False, weights=weights)(student, batch)
    logits = student(batch.ids, batch.mask).logits
    each = torch.nn.functional.cross_entropy(logits, batch.labels.clamp(min=0), reduction="none")
    assert torch.allclose(total, (2 * each[1] + 3 * each[2]) / 3)


def test_regression() -> None:
    ids = [np.arange(4, 8, dtype=np.int32)] * 2
    corpus = Corpus(ids, [np.zeros(4, np.int32)] * 2, np.array([3.0, np.nan], np.float32))
    batch: Any = make_batch(corpus, np.array([0, 1]), "cpu")
    student = member(1, classes=1)
    total, _ = batch_loss(StagePlan(), True)(student, batch)
    assert torch.allclose(total, (student(batch.ids, batch.mask).logits[0, 0] - 3).square() / 2)
