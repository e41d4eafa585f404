"""A stage: it learns, it resumes to the same bits from every step, and it says when it cannot go on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.member import Member
from model.shape import Precision, Shape
from model.training.checkpoint import Checkpoint, CheckpointError, read_checkpoint, write_checkpoint
from model.training.checks import TrainingError
from model.training.corpus import Corpus
from model.training.losses import batch_loss
from model.training.plan import StagePlan
from model.training.scoring import score_logits
from model.training.stage import Stage, predict, stage_seed

Refused = Callable[..., str]
Make = Callable[..., Stage]
ONE_BIT, FULL = Precision.uniform(1, 1, 1), Precision.uniform(32, 32, 32)


@pytest.fixture
def corpus() -> Corpus:
    """Twenty sentences: of class 1 if they hold the token 7."""
    rng = np.random.default_rng(5)
    ids = [np.array([2, *rng.integers(8, 30, rng.integers(2, 9)), 3], np.int32) for _ in range(20)]
    labels = np.arange(20) % 2
    for row, label in zip(ids, labels, strict=True):
        if label:
            row[1] = 7
    return Corpus(ids, [np.zeros_like(row) for row in ids], labels)


def make_stage(corpus: Corpus, plan: StagePlan, precision: Precision = ONE_BIT, seed: int = 1, **more: Any) -> Stage:
    from model.data.dataset import Task

    torch.manual_seed(seed)
    member = Member(Shape(30, 2, layers=1, hidden=16, heads=2, positions=16, precision=precision))
    task = Task("t", ("no", "yes"), ("accuracy",))
    return Stage(
        name="bits",
        module=member,
        plan=plan,
        corpus=corpus,
        loss=batch_loss(plan, regression=False),
        score=lambda: score_logits(task, predict(member, corpus), corpus.labels),
        seed=11,
        **more,
    )


def go(stage: Stage, steps: int) -> None:
    while stage.step < steps:
        stage.run_step()
        if stage.check_is_due():
            stage.check()


def outcome(stage: Stage) -> dict[str, Tensor]:
    """Return everything that a stage ends with."""
    stage.finish()
    return stage.checkpoint().tensors


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


PLANS = {
    "bits": (StagePlan(epochs=2, batch=6, rate=0.01), ONE_BIT),
    "two bits, words dropped": (StagePlan(epochs=2, batch=6, rate=0.01, word_drop=0.3), Precision.uniform(1, 1, 2)),
    "full precision, last kept": (StagePlan(epochs=2, batch=6, rate=0.01, keep="last"), FULL),
    "16 bits": (StagePlan(epochs=2, batch=6, rate=0.01, bfloat16=True), FULL),
    "half an epoch more": (StagePlan(epochs=1.5, batch=6, rate=0.01, checks_per_epoch=3), ONE_BIT),
}


class TestResume:
    @pytest.mark.parametrize("kind", PLANS)
    def test_every_step_leads_to_the_same_bits(self, kind: str, corpus: Corpus, tmp_path: Path) -> None:
        plan, precision = PLANS[kind]
        whole = make_stage(corpus, plan, precision)
        whole.begin()
        steps = whole.steps
        for step in range(steps):
            write_checkpoint(tmp_path / f"{step}", whole.checkpoint())
            go(whole, step + 1)
        expected, averages = outcome(whole), whole.averages
        for step in range(steps):
            resumed = make_stage(corpus, plan, precision, seed=99)
            resumed.begin()
            torch.rand(step)
            resumed.restore(read_checkpoint(tmp_path / f"{step}"), "here")
            assert resumed.step == step
            go(resumed, steps)
            assert equal(outcome(resumed), expected)
            assert (resumed.averages, resumed.best_score) == (averages, whole.best_score)

    def test_sentences_that_are_drawn(self, corpus: Corpus, tmp_path: Path) -> None:
        def draw(epoch: int) -> np.ndarray:
            return np.random.default_rng(epoch).integers(0, 20, 20)

        plan = PLANS["bits"][0]
        whole = make_stage(corpus, plan, draw=draw)
        whole.begin()
        go(whole, 5)
        write_checkpoint(tmp_path / "c", whole.checkpoint())
        go(whole, whole.steps)
        resumed = make_stage(corpus, plan, seed=99, draw=draw)
        resumed.begin()
        resumed.restore(read_checkpoint(tmp_path / "c"), "here")
        go(resumed, resumed.steps)
        assert equal(outcome(resumed), outcome(whole))

    def test_a_checkpoint_of_another_stage(self, corpus: Corpus, refused: Refused) -> None:
        one = make_stage(corpus, PLANS["bits"][0])
        one.begin()
        saved = one.checkpoint()
        saved.data["stage"] = "float"
        message = refused(CheckpointError, one.restore, saved, "here")
        assert message == "here: must be of stage bits, not 'float'"

    def test_a_checkpoint_of_another_shape(self, corpus: Corpus, refused: Refused) -> None:
        one, other = make_stage(corpus, PLANS["bits"][0]), make_stage(corpus, PLANS["bits"][0], FULL)
        one.begin()
        other.begin()
        message = refused(CheckpointError, one.restore, other.checkpoint(), "here")
        assert message.endswith(": must be there, not missing; was it made for another shape?")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"extra.a": torch.zeros(1)},
                "'extra.a': must be a tensor of module, best, optimizer, random, not another",
            ),
            ({"random.cpu": None}, "random.cpu: must be the state of torch's generator, not another tensor"),
            ({"random.cpu": torch.zeros(3)}, "random.cpu: must be the state of torch's generator, not another tensor"),
            ({"module.classifier.bias": None}, "classifier.bias: must be there, not missing; was it made for another "),
            ({"best.classifier.bias": None}, "classifier.bias: must be there, not missing; was it made for another "),
            ({"module.more": torch.zeros(1)}, "more: must be a tensor of the module, not one too many"),
            (
                {"optimizer.x.y": torch.zeros(1)},
                "optimizer.x.y: must be a moment of a parameter, not [1]; was it made ",
            ),
            (
                {"optimizer.0.exp_avg": torch.zeros(1)},
                "optimizer.0.exp_avg: must be a moment of a parameter, not [1]; ",
            ),
            ({"optimizer.999.step": torch.zeros(())}, "optimizer.999.step: must be a moment of a parameter, not []; "),
            ({"optimizer.0.exp_avg": None}, "optimizer.0.exp_avg: must be there with its others, not missing"),
            ({"optimizer.0.step": None}, "optimizer.0.step: must be there with its others, not missing"),
        ],
        ids=lambda value: "" if isinstance(value, dict) else value[:30],
    )
    def test_tensors_that_no_stage_wrote(
        self, change: dict[str, Tensor | None], message: str, corpus: Corpus, refused: Refused
    ) -> None:
        stage, saved = self.after_two_steps(corpus)
        tensors = saved.tensors | change
        saved.tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        assert refused(CheckpointError, stage.restore, saved, "here").startswith(f"here: {message}")
        assert equal(stage.checkpoint().tensors, self.after_two_steps(corpus)[1].tensors)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("step", None),
            ("step", "2"),
            ("step", -1),
            ("step", 10**6),
            ("best_score", []),
            ("averages", None),
            ("averages", {"total": "x"}),
        ],
    )
    def test_data_that_no_stage_wrote(self, key: str, value: Any, corpus: Corpus, refused: Refused) -> None:
        stage, saved = self.after_two_steps(corpus)
        saved.data[key] = value
        message = refused(CheckpointError, stage.restore, saved, "here")
        assert message == f"here: {key}: must be what a stage writes, not {value!r}"

    def after_two_steps(self, corpus: Corpus) -> tuple[Stage, Checkpoint]:
        stage = make_stage(corpus, PLANS["bits"][0])
        stage.begin()
        go(stage, 2)
        stage.check()
        return stage, stage.checkpoint()


class TestSteps:
    def test_counts(self, corpus: Corpus) -> None:
        stage = make_stage(corpus, StagePlan(epochs=1.5, batch=6))
        assert (stage.steps_per_epoch, stage.steps) == (4, 6)
        assert make_stage(corpus, StagePlan(epochs=0.01, batch=6)).steps == 1

    def test_checks_and_logs(self, corpus: Corpus) -> None:
        stage = make_stage(corpus, StagePlan(epochs=2, batch=2, checks_per_epoch=3))
        checked, logged = [], []
        for step in range(1, stage.steps + 1):
            stage.step = step
            checked += [stage.step] * stage.check_is_due()
            logged += [stage.step] * stage.log_is_due()
        assert checked == [3, 6, 9, 12, 15, 18, 20]
        assert logged == list(range(1, 21))

    def test_an_epoch_shows_every_sentence_once(self, corpus: Corpus) -> None:
        stage = make_stage(corpus, StagePlan(epochs=1, batch=6))
        seen: list[int] = []
        own = stage.loss
        stage.loss = lambda module, batch: (seen.extend(batch.index.tolist()), own(module, batch))[1]
        stage.begin()
        go(stage, stage.steps)
        assert sorted(seen) == list(range(20))

    def test_drawn_sentences_are_those_that_are_shown(self, corpus: Corpus) -> None:
        stage = make_stage(corpus, StagePlan(epochs=1, batch=6), draw=lambda epoch: np.array([3] * 15 + [4] * 5))
        seen: list[int] = []
        own = stage.loss
        stage.loss = lambda module, batch: (seen.extend(batch.index.tolist()), own(module, batch))[1]
        stage.begin()
        go(stage, stage.steps)
        assert sorted(seen) == [3] * 15 + [4] * 5

    def test_it_learns(self, corpus: Corpus) -> None:
        stage = make_stage(corpus, StagePlan(epochs=30, batch=10, rate=0.01), FULL)
        stage.begin()
        go(stage, stage.steps)
        assert stage.best_score == 1.0
        assert stage.averages["total"] < 0.3


class TestKeeping:
    @pytest.mark.parametrize(("keep", "step"), [("best", 2), ("last", 4)])
    def test_the_weights_that_the_plan_keeps(self, keep: Any, step: int, corpus: Corpus) -> None:
        stage = make_stage(corpus, StagePlan(epochs=1, batch=6, keep=keep, rate=0.01))
        scores = {1: 0.5, 2: 0.8, 3: 0.8, 4: 0.7}
        states = {}
        stage.begin()
        stage.score = lambda: scores[stage.step]
        while stage.step < stage.steps:
            stage.run_step()
            stage.check()
            states[stage.step] = {name: tensor.clone() for name, tensor in stage.module.state_dict().items()}
        stage.finish()
        assert stage.best_score == 0.8
        assert equal(dict(stage.module.state_dict()), states[step])
        assert not stage.module.training

    def test_a_score_that_is_no_number_is_not_the_best(self, corpus: Corpus) -> None:
        stage = make_stage(corpus, StagePlan(epochs=1, batch=6))
        stage.begin()
        stage.score = lambda: float("nan")
        go(stage, stage.steps)
        stage.finish()
        assert (stage.best, stage.checkpoint().data["best_score"]) == ({}, None)


class TestFailure:
    def test_a_loss_that_is_no_number(self, corpus: Corpus, refused: Refused) -> None:
        stage = make_stage(corpus, StagePlan(epochs=2, batch=6))
        stage.begin()
        go(stage, 2)
        with torch.no_grad():
            stage.module.classifier.bias.fill_(float("nan"))
        message = refused(TrainingError, stage.run_step)
        assert message == "bits: the loss must be finite at step 2, not nan; lower rate, or clip more"

    def test_weights_that_are_no_numbers(self, corpus: Corpus, refused: Refused) -> None:
        stage = make_stage(corpus, StagePlan(epochs=1, batch=6))
        stage.begin()
        with torch.no_grad():
            stage.module.classifier.weight[0, 0] = float("inf")
        message = refused(TrainingError, stage.finish)
        assert message == "bits: classifier.weight must be finite after training, not NaN; lower rate"


class TestPredict:
    def test_rows_are_in_the_order_of_the_corpus(self, corpus: Corpus) -> None:
        class Echo(nn.Module):
            def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None) -> Any:
                class Output:
                    logits = torch.stack((mask.sum(1).float(), ids.sum(1).float()), 1)

                return Output

        heard: list[int] = []
        rows = predict(Echo(), corpus, hear=heard.append)
        assert rows.tolist() == [[len(ids), ids.sum()] for ids in corpus.ids]
        assert (rows.dtype, heard) == (np.float32, [20])

    def test_dropout_is_off(self, corpus: Corpus) -> None:
        stage = make_stage(corpus, PLANS["full precision, last kept"][0], FULL)
        stage.begin()
        stage.run_step()
        assert (predict(stage.module, corpus) == predict(stage.module, corpus)).all()


def test_seeds_of_stages_differ() -> None:
    seeds = {stage_seed(seed, name) for seed in (0, 1, 2**31 - 1) for name in ("float", "w1a1", "teacher")}
    assert len(seeds) == 9
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert stage_seed(1, "float") == stage_seed(1, "float")
