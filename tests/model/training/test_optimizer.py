"""The optimizer: what decays, how the rate goes, what is clipped."""

import pytest
import torch
from torch import nn

from model.encoder import Classifier, EncoderConfig
from model.member import Member
from model.shape import Precision, Shape
from model.training.optimizer import Optimizer, parameter_groups, share_of_rate
from model.training.plan import StagePlan


def names(module: nn.Module, plan: StagePlan) -> list[set[str]]:
    known = {id(parameter): name for name, parameter in module.named_parameters()}
    return [{known[id(parameter)] for parameter in group["params"]} for group in parameter_groups(module, plan)]


class TestGroups:
    @pytest.mark.parametrize("attention", ["softmax", "threshold", "boolean"])
    def test_every_parameter_is_in_one(self, attention: str) -> None:
        member = Member(Shape(30, 2, layers=1, hidden=16, heads=2, positions=8, attention=attention))  # type: ignore[arg-type]
        matrices, vectors, alphas = names(member, StagePlan())
        assert matrices | vectors | alphas == {name for name, _ in member.named_parameters()}
        assert len(matrices) + len(vectors) + len(alphas) == len(list(member.parameters()))
        assert all(name.endswith("alpha") for name in alphas)
        assert not any(name.endswith(("bias", "beta", "alpha")) for name in matrices)
        assert "layers.0.attention.query.weight" in matrices

    def test_settings(self) -> None:
        groups = parameter_groups(nn.Linear(2, 2), StagePlan(decay=0.3, alpha_rate=0.5))
        assert [group["weight_decay"] for group in groups] == [0.3, 0.0, 0.0]
        assert groups[2]["lr"] == 0.5

    def test_frozen_parameters_are_left_out(self) -> None:
        module = nn.Linear(2, 2)
        module.bias.requires_grad_(False)
        assert names(module, StagePlan()) == [{"weight"}, set(), set()]

    def test_a_module_without_quantizers_is_trained(self) -> None:
        config = EncoderConfig(vocabulary=30, hidden=16, layers=1, heads=2, intermediate=16)
        classifier = Classifier(config, 2, "mean", 1)
        Optimizer(classifier, StagePlan(), 4).step(classifier.head.weight.square().sum(), 0)


class TestRate:
    def test_up_over_the_warm_up_then_down(self) -> None:
        shares = [share_of_rate(step, 10, 0.4) for step in range(10)]
        assert shares[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
        assert shares[5:] == [5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]

    @pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 1.0), (7, 0.0), (7, 1.0), (1000, 0.1)])
    def test_it_is_above_0_and_at_most_1(self, steps: int, warmup: float) -> None:
        assert all(0 < share_of_rate(step, steps, warmup) <= 1 for step in range(steps))

    def test_alphas_learn_at_their_own(self) -> None:
        member = Member(Shape(30, 2, layers=1, hidden=16, heads=2, positions=8, precision=Precision()))
        optimizer = Optimizer(member, StagePlan(rate=0.01, alpha_rate=0.0, decay=0.0, warmup=0.0), 4)
        before = {name: parameter.detach().clone() for name, parameter in member.named_parameters()}
        ids = torch.randint(0, 30, (4, 6))
        member.train()
        optimizer.step(member(ids, torch.ones_like(ids, dtype=torch.bool)).logits.square().sum(), 0)
        alphas = [name for name in before if name.endswith("alpha")]
        assert not torch.equal(member.classifier.weight, before["classifier.weight"])
        state = dict(member.named_parameters())
        trained = {name for name in before if not torch.equal(state[name], before[name])}
        assert "classifier.weight" in trained
        moments = optimizer.state()
        assert len(moments) >= 3 * len(alphas)


class TestClip:
    @pytest.mark.parametrize(("clip", "change"), [(1e-6, 1e-6), (1e6, 1.0)])
    def test_gradients_are_cut_to_the_norm(self, clip: float, change: float) -> None:
        module = nn.Linear(3, 3)
        optimizer = Optimizer(module, StagePlan(clip=clip), 4)
        optimizer.step(1000 * module.weight.square().sum(), 0)
        norm = torch.cat([parameter.grad.flatten() for parameter in module.parameters() if parameter.grad is not None])
        assert float(norm.norm()) <= clip * 1.001
        assert float(norm.norm()) >= min(change, 1e-7)
