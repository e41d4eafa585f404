"""The ensemble: where members start, what each trains on, who votes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from model.boosting import Boosting, Round, Settings, member_seed
from model.member import Member
from model.training.corpus import Corpus
from model.training.ensemble import boosting_labels, elected, train_ensemble
from model.training.runner import Runner
from model.training.stage import Stage, stage_seed
from model.training.students import Students

Make = Callable[..., Students]


class Recorder:
    """Stands in for training: keeps each stage with the weights that it began with, and shifts them a little."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stages: dict[str, Stage] = {}
        self.begun: dict[str, dict[str, torch.Tensor]] = {}
        self.draws: dict[str, list[int]] = {}
        monkeypatch.setattr(Runner, "train", lambda _runner, stage: self.train(stage))

    def train(self, stage: Stage) -> None:
        member: Any = stage.module
        self.stages[stage.name] = stage
        self.begun[stage.name] = {name: value.clone() for name, value in member.state_dict().items()}
        if stage.draw is not None:
            self.draws[stage.name] = stage.draw(0).tolist()
        ids = torch.randint(0, 60, (4, 6), generator=torch.Generator().manual_seed(1))
        member.train()
        member(ids, torch.ones_like(ids, dtype=torch.bool))
        with torch.no_grad():
            member.classifier.bias += torch.tensor([0.0, 5.0 if len(self.stages) % 2 else -5.0])
        member.eval()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(monkeypatch)


def trained(students: Make, plain: dict[str, Any], **ensemble: Any) -> tuple[Students, Any]:
    """Return the students of a recipe and its ensemble."""
    plain["ensemble"] |= ensemble
    made = students(plain)
    for step in made.recipe.chain:
        made.run_step(step)
    return made, train_ensemble(made)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one if not name.endswith("alpha"))


def weights_given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that fills with the weights of the losses of each stage."""
    from model.training import students as module

    given: list[Any] = []
    own = module.batch_loss
    monkeypatch.setattr(
        module,
        "batch_loss",
        lambda plan, regression, teacher, weights: (given.append(weights), own(plan, regression))[1],
    )
    return given


class TestStart:
    def test_warm(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        made, ensemble = trained(students, plain, members=3)
        members = [recorder.stages[f"member-{number}"].module for number in (1, 2, 3)]
        assert same(recorder.begun["member-1"], made.made["w1a1"].state_dict())
        assert same(recorder.begun["member-2"], members[0].state_dict())
        assert same(recorder.begun["member-3"], members[1].state_dict())
        assert len(ensemble.rounds) == 3

    def test_from_a_step(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        made, _ = trained(students, plain, start="w1a1")
        for number in (1, 2):
            assert same(recorder.begun[f"member-{number}"], made.made["w1a1"].state_dict())

    def test_fresh(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        made, _ = trained(students, plain, start="fresh")
        weights = [recorder.begun[f"member-{number}"]["classifier.weight"] for number in (1, 2)]
        weights.append(made.made["w1a1"].classifier.weight)
        assert not torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])

    @pytest.mark.parametrize("start", ["warm", "fresh"])
    def test_a_shared_embedding_is_frozen(
        self, start: str, students: Make, plain: dict[str, Any], recorder: Recorder
    ) -> None:
        made, _ = trained(students, plain, start=start, shared_embedding=True)
        expected = made.made["w1a1"].embedding.state_dict()
        for number in (1, 2):
            member: Any = recorder.stages[f"member-{number}"].module
            assert all(torch.equal(value, expected[name]) for name, value in member.embedding.state_dict().items())
            assert not any(parameter.requires_grad for parameter in member.embedding.parameters())
            assert member.classifier.weight.requires_grad

    def test_each_stage_of_each_member_has_a_seed(
        self, students: Make, plain: dict[str, Any], recorder: Recorder
    ) -> None:
        trained(students, plain)
        seeds = [recorder.stages[f"member-{n}"].seed for n in (1, 2)]
        assert seeds == [stage_seed(member_seed(3, n - 1), f"member-{n}") for n in (1, 2)]


class TestSampling:
    def test_boosting_draws_what_was_wrong(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        made, ensemble = trained(students, plain)
        labels = made.dataset.train.labels
        boosting = Boosting(labels, Settings(2, seed=3))
        assert recorder.draws["member-1"] == boosting.draw(len(labels), member_seed(3, 0), 0).tolist()
        predictions = made.runner.folder.finished("labels-member-1").tensors["logits"].argmax(1).numpy()
        turn = boosting.update(predictions)
        assert ensemble.rounds[0] == turn
        assert recorder.draws["member-2"] == boosting.draw(len(labels), member_seed(3, 1), 0).tolist()

    def test_a_bag_is_the_same_in_every_epoch(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        trained(students, plain, method="bagging")
        draw = recorder.stages["member-2"].draw
        assert draw is not None
        assert sorted(draw(0)) == sorted(draw(1))
        assert draw(0).tolist() != draw(1).tolist()
        assert sorted(recorder.draws["member-1"]) != sorted(recorder.draws["member-2"])

    def test_bags_are_those_of_the_boosting(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        made, _ = trained(students, plain, method="bagging", members=3)
        labels = made.dataset.train.labels
        boosting = Boosting(labels, Settings(2, method="bagging", seed=3))
        for index in range(3):
            drawn = recorder.draws[f"member-{index + 1}"]
            assert drawn == boosting.draw(len(labels), member_seed(3, index), 0).tolist()
            assert np.bincount(drawn, minlength=len(labels)).tolist() == (boosting.distribution * len(labels)).tolist()
            boosting.update(labels)

    def test_bags_that_weigh(
        self, students: Make, plain: dict[str, Any], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each sentence is shown once, and weighs as often as it is in the bag."""
        given = weights_given(monkeypatch)
        made, _ = trained(students, plain, method="bagging", mode="reweight")
        assert recorder.draws == {}
        labels = made.dataset.train.labels
        boosting = Boosting(labels, Settings(2, method="bagging", mode="reweight", seed=3))
        for weights in given[3:]:
            assert weights.tolist() == (boosting.distribution * len(labels)).tolist()
            assert weights.sum() == pytest.approx(len(labels))
            boosting.update(labels)
        assert given[3].tolist() != given[4].tolist()

    def test_weights_of_losses(
        self, students: Make, plain: dict[str, Any], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = weights_given(monkeypatch)
        trained(students, plain, mode="reweight")
        assert [weights is None for weights in given] == [True, True, True, False, False]
        assert given[3].tolist() == [1.0] * len(given[3])
        assert given[4].mean() == pytest.approx(1.0)
        assert recorder.draws == {}

    def test_seeds_alone(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        _, ensemble = trained(students, plain, method="seeds")
        assert recorder.draws == {}
        assert ensemble.weights == (1.0, 1.0)


class TestDistillation:
    def test_two_stages(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        trained(students, plain, distillation="two-stage", teacher="float", rate=0.004, losses={"logits": 1})
        names = [name for name in recorder.stages if name.startswith("member")]
        assert names == ["member-1-features", "member-1", "member-2-features", "member-2"]
        first, second = recorder.stages["member-1-features"], recorder.stages["member-1"]
        assert (first.plan.losses, first.plan.rate, first.plan.keep) == (
            {"hidden": 1.0, "attention": 1.0},
            0.01,
            "last",
        )
        assert (second.plan.losses, second.plan.rate) == ({"logits": 1.0}, 0.004)
        assert first.module is second.module
        assert (first.corpus.teacher_logits is None, second.corpus.teacher_logits is None) == (True, False)
        assert recorder.draws["member-1-features"] == recorder.draws["member-1"]
        first.begin()
        first.run_step()
        assert set(first.averages) == {"total", "hidden", "attention"}

    def test_logits_of_a_step(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        made, _ = trained(students, plain, distillation="logits", teacher="float")
        assert recorder.stages["member-1"].plan.losses == {"label": 1.0, "logits": 1.0}
        assert made.runner.folder.finished("labels-float-train") is not None

    def test_none(self, students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
        trained(students, plain)
        assert recorder.stages["member-1"].plan.losses == {"label": 1.0}


class TestVoters:
    def test_who_is_no_better_than_chance_does_not_vote(self) -> None:
        members: Any = ["a", "b", "c"]
        rounds = (Round(0.2, 1.4, True), Round(0.5, 0.0, False), Round(0.3, 0.8, True))
        ensemble = elected(members, rounds)
        assert (ensemble.members, ensemble.weights) == (("a", "c"), (1.4, 0.8))
        assert ensemble.rounds == rounds

    def test_someone_always_votes(self) -> None:
        members: Any = ["a", "b"]
        ensemble = elected(members, (Round(0.6, 0.0, False), Round(0.5, 0.0, False)))
        assert (ensemble.members, ensemble.weights) == (("a",), (1.0,))


class TestLabels:
    def corpus(self, labels: np.ndarray, logits: list[list[float]] | None) -> Corpus:
        ids = [np.array([2, 3], np.int32)] * len(labels)
        given = None if logits is None else np.array(logits, np.float32)
        return Corpus(ids, ids, labels, given)

    def test_the_teacher_says_what_is_missing(self) -> None:
        corpus = self.corpus(np.array([0, -1, 1, -1]), [[0, 1], [0, 1], [1, 0], [1, 0]])
        assert boosting_labels(corpus, False).tolist() == [0, 1, 1, 0]

    def test_scores(self) -> None:
        corpus = self.corpus(np.array([1.5, np.nan], np.float32), [[9.0], [2.5]])
        assert boosting_labels(corpus, True).tolist() == [1.5, 2.5]

    def test_without_a_teacher(self) -> None:
        assert boosting_labels(self.corpus(np.array([0, 1]), None), False).tolist() == [0, 1]


def test_members_are_members(students: Make, plain: dict[str, Any], recorder: Recorder) -> None:
    _, ensemble = trained(students, plain, method="seeds", members=2)
    assert all(isinstance(member, Member) for member in ensemble.members)
