"""Students: what they read, who teaches them, where each one starts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from model.member import Member
from model.training.runner import Runner
from model.training.stage import Stage, predict
from model.training.students import Students

Make = Callable[..., Students]


class Seen:
    """The stages that a runner would train; nothing is trained."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stages: dict[str, Stage] = {}

        def train(_runner: Runner, stage: Stage) -> None:
            self.stages[stage.name] = stage
            member: Any = stage.module
            ids = torch.randint(0, 60, (4, 6), generator=torch.Generator().manual_seed(1))
            member.train()
            member(ids, torch.ones_like(ids, dtype=torch.bool))
            member.eval()

        monkeypatch.setattr(Runner, "train", train)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


class TestCorpora:
    def test_without_a_teacher(self, students: Make) -> None:
        corpora = students().corpora
        assert corpora.train_pool is corpora.train
        assert corpora.train.teacher_logits is None
        assert corpora.teacher_test is None
        assert corpora.train.lengths.max() <= 12

    def test_with_a_teacher_and_a_pool(self, taught: dict[str, Any], students: Make) -> None:
        made = students(taught)
        train, pooled = made.corpora.train, made.corpora.train_pool
        assert len(pooled) == 2 * len(train) + 20
        assert pooled.labels[: len(train)].tolist() == made.dataset.train.labels.tolist()
        assert set(pooled.labels[len(train) :].tolist()) == {-1}
        assert pooled.teacher_logits is not None
        assert pooled.teacher_logits.shape == (len(pooled), 2)
        assert np.array_equal(pooled.teacher_logits[: len(train)], train.teacher_logits)
        assert made.corpora.teacher_test is not None

    def test_a_plan_says_whether_the_pool_is_read(self, taught: dict[str, Any], students: Make) -> None:
        made = students(taught)
        plan = made.recipe.chain[0].plan
        assert made.corpus(plan) is made.corpora.train_pool
        assert made.corpus(plan.replace(pool=False)) is made.corpora.train


class TestChain:
    def test_each_step_starts_from_the_one_before(self, students: Make, seen: Seen) -> None:
        made = students()
        members = [made.run_step(step) for step in made.recipe.chain]
        assert list(made.made) == list(seen.stages) == ["float", "w1a2", "w1a1"]
        weights = [member.layers[0].attention.query.weight for member in members]  # type: ignore[union-attr]
        assert torch.equal(weights[0], weights[1])
        assert torch.equal(weights[1], weights[2])
        assert [member.shape.precision.label for member in members] == ["32-32-32", "1-1-2", "1-1-1"]
        assert made.full_precision() is members[0]

    def test_fresh_is_fresh(self, plain: dict[str, Any], students: Make, seen: Seen) -> None:
        plain["chain"][1]["start"] = "fresh"
        made = students(plain)
        one, two = made.run_step(made.recipe.chain[0]), made.run_step(made.recipe.chain[1])
        assert not torch.equal(one.classifier.weight, two.classifier.weight)

    def test_no_step_of_full_precision(self, plain: dict[str, Any], students: Make, seen: Seen) -> None:
        plain["chain"] = plain["chain"][1:]
        made = students(plain)
        for step in made.recipe.chain:
            made.run_step(step)
        assert made.full_precision() is None

    def test_words_come_from_the_teacher(self, taught: dict[str, Any], students: Make) -> None:
        made = students(taught)
        step = made.recipe.chain[0]
        one, other = (made.fresh(step.precision, seed, step.plan) for seed in (1, 2))
        assert torch.equal(one.embedding.words.weight, other.embedding.words.weight)
        assert torch.equal(one.embedding.words.weight, torch.from_numpy(made.words))
        assert not torch.equal(one.classifier.weight, other.classifier.weight)
        assert one.projection is None

    def test_a_projection_goes_from_step_to_step(self, taught: dict[str, Any], students: Make, seen: Seen) -> None:
        for step in taught["chain"][:2]:
            step["losses"] = {"logits": 1, "sentence": 0.5}
        made = students(taught)
        chain = made.recipe.chain
        first = made.run_step(chain[0])
        torch.manual_seed(1)
        torch.nn.init.normal_(first.projection.weight)
        second, third = made.run_step(chain[1]), made.run_step(chain[2])
        assert first.projection.weight.shape == (24, 16)
        assert torch.equal(second.projection.weight, first.projection.weight)
        assert third.projection is None
        vectors = made.corpora.train_pool.teacher_vectors
        assert vectors.shape == (len(made.corpora.train_pool), 24)
        assert np.allclose(vectors.mean(0), 0, atol=1e-3)
        assert np.allclose(vectors.std(0), 1, atol=1e-3)

    def test_a_ternary_step_is_split(self, plain: dict[str, Any], students: Make, seen: Seen) -> None:
        plain["chain"] = [
            {"name": "ternary", "precision": "2-1-2"},
            {"name": "split", "precision": "1-1-2", "split": True, "teacher": "none"},
        ]
        made = students(plain)
        one, two = made.run_step(made.recipe.chain[0]), made.run_step(made.recipe.chain[1])
        ids = torch.randint(0, 60, (3, 6))
        mask = torch.ones_like(ids, dtype=torch.bool)
        assert torch.equal(one(ids, mask).logits, two(ids, mask).logits)

    def test_a_step_starts_from_the_teachers_own_layers(
        self, taught: dict[str, Any], students: Make, seen: Seen
    ) -> None:
        form = {"expression": "linear2(gelu(linear1(x)))", "width": 32}
        taught["shape"] = {"layers": 1, "hidden": 24, "heads": 2, "ffn": form, "pooling": "mean", "pooler": False}
        taught["data"]["pieces"] = "teacher"
        taught["teacher"] |= {"pooling": "mean"}
        taught["chain"][0] |= {"start": "teacher", "precision": "32-32-32"}
        made = students(taught)
        assert made.teacher is not None
        classifier, member = made.teacher.classifier, made.run_step(made.recipe.chain[0])
        text = [made.dataset.train.texts[0]]
        (mine,), (theirs,) = (tokenizer.encode(text).ids for tokenizer in (made.tokenizer, made.teacher.tokenizer))
        outputs = [
            module.eval()(torch.from_numpy(ids).long()[None], torch.ones(1, len(ids), dtype=torch.bool)).logits
            for module, ids in ((member, mine), (classifier, theirs))
        ]
        assert torch.allclose(*outputs, atol=1e-5)


class TestTeaching:
    def test_an_earlier_student_is_asked_once(
        self, students: Make, seen: Seen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = students()
        one = made.run_step(made.recipe.chain[0])
        made.run_step(made.recipe.chain[1])
        said = seen.stages["w1a2"].corpus.teacher_logits
        assert said is not None
        assert np.array_equal(said, predict(one, made.corpora.train))
        assert made.runner.folder.finished("labels-float-train") is not None
        monkeypatch.setattr(Runner, "predict", None)
        made.run_step(made.recipe.chain[1])

    def test_the_teacher_of_the_run(self, taught: dict[str, Any], students: Make, seen: Seen) -> None:
        made = students(taught)
        made.run_step(made.recipe.chain[0])
        assert seen.stages["float"].corpus is made.corpora.train_pool

    def test_features_need_the_teacher_itself(self, plain: dict[str, Any], students: Make, seen: Seen) -> None:
        plain["chain"][1]["losses"] = {"hidden": 1, "attention": 1, "logits": 1}
        made = students(plain)
        made.run_step(made.recipe.chain[0])
        made.run_step(made.recipe.chain[1])
        stage = seen.stages["w1a2"]
        assert stage.corpus is made.corpora.train
        stage.begin()
        stage.run_step()
        assert set(stage.averages) == {"total", "hidden", "attention", "logits"}

    def test_nobody(self, plain: dict[str, Any], students: Make, seen: Seen) -> None:
        plain["chain"][1]["teacher"] = "none"
        made = students(plain)
        made.run_step(made.recipe.chain[0])
        made.run_step(made.recipe.chain[1])
        assert seen.stages["w1a2"].corpus is made.corpora.train
        assert seen.stages["w1a2"].plan.losses == {"label": 1.0}

    def test_seeds_of_steps_differ(self, students: Make, seen: Seen) -> None:
        made = students()
        for step in made.recipe.chain:
            made.run_step(step)
        assert len({stage.seed for stage in seen.stages.values()}) == 3


def test_scores_are_those_of_the_task(students: Make) -> None:
    made = students()
    member: Member = made.fresh(made.recipe.chain[0].precision, 1, made.recipe.chain[0].plan)
    right = predict(member, made.corpora.dev).argmax(1) == made.corpora.dev.labels
    assert made.score(member, made.corpora.dev) == right.mean()
