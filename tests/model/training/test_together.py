"""Members trained together: what they answer, and what their loss is."""

from typing import Any

import numpy as np
import pytest
import torch

from model.distillation import Objective
from model.member import Member
from model.network import read_network
from model.shape import Precision, Shape
from model.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from model.training.corpus import Batch, Corpus, make_batch
from model.training.plan import StagePlan
from model.training.recipe import Recipe, TogetherPlan
from model.training.together import Together, together_loss


def member(seed: int) -> Member:
    torch.manual_seed(seed)
    precision = Precision.uniform(32, 32, 32)
    return Member(Shape(30, 3, layers=1, hidden=16, heads=2, positions=8, precision=precision, dropout=0.0))


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(1)
    ids = [rng.integers(4, 30, 5).astype(np.int32) for _ in range(6)]
    corpus = Corpus(ids, [np.zeros(5, np.int32)] * 6, np.array([0, 1, 2, 0, -1, 1]))
    return make_batch(corpus.taught(rng.normal(size=(6, 3)).astype(np.float32)), np.array([4, 0, 2]), "cpu")


def test_the_answer_is_the_weighted_mean(batch: Batch) -> None:
    members = [member(seed) for seed in (1, 2, 3)]
    module = Together(members, (2.0, 1.0, 1.0), shared_embedding=False)
    one, two, three = (member(batch.ids, batch.mask).logits for member in members)
    found = module(batch.ids, batch.mask)
    assert torch.allclose(found.logits, 0.5 * one + 0.25 * two + 0.25 * three, atol=1e-6)
    assert torch.equal(found.members[1].logits, two)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_loss_is_that_of_the_vote_and_of_the_members(share: float, batch: Batch) -> None:
    members, losses = [member(seed) for seed in (1, 2)], {"label": 0.5, "logits": 2.0}
    module = Together(members, (1.0, 3.0), shared_embedding=False)
    chosen = TogetherPlan(share, StagePlan(losses=losses, temperature=2.0))
    total, numbers = together_loss(chosen, False)(module, batch)
    objective = Objective(**losses, temperature=2.0)

    def of(output: Any) -> float:
        return objective.loss(output, None, batch.teacher_logits, batch.labels, batch.mask)[0].item()

    own = [of(member(batch.ids, batch.mask)) for member in members]
    vote = of(module(batch.ids, batch.mask))
    assert total.item() == pytest.approx((1 - share) * vote + share * sum(own) / 2, rel=1e-5)
    assert numbers["total"] == pytest.approx(total.item())
    assert numbers["members"] == pytest.approx(sum(own) / 2, rel=1e-5)


def test_a_shared_embedding_is_one_and_learns() -> None:
    members = [member(seed) for seed in (1, 2)]
    members[0].embedding.requires_grad_(False)
    module = Together(members, (1.0, 1.0), shared_embedding=True)
    assert members[1].embedding is members[0].embedding
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(name.startswith("members.1.embedding") for name, _ in module.named_parameters())


def test_a_checkpoint_holds_shared_tensors(tmp_path: Any) -> None:
    module = Together([member(1), member(2)], (1.0, 1.0), shared_embedding=True)
    write_checkpoint(tmp_path / "file", Checkpoint(dict(module.state_dict())))
    found = read_checkpoint(tmp_path / "file").tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in module.state_dict().items())


def test_a_run_ends_with_all_members_together(plain: dict[str, Any], run: Any, short: None, tmp_path: Any) -> None:
    plain["ensemble"] |= {"method": "seeds", "shared_embedding": True, "together": {"epochs": 1, "share": 0.3}}
    report = run(plain)
    tensors = read_checkpoint(tmp_path / "run" / "stages" / "together.safetensors").tensors
    alone = read_checkpoint(tmp_path / "run" / "stages" / "member-2.safetensors").tensors
    words = "embedding.words.weight"
    assert torch.equal(tensors[f"members.0.{words}"], tensors[f"members.1.{words}"])
    assert not torch.equal(tensors[f"members.1.{words}"], alone[words])
    network = read_network(report["network"])
    assert len([operation for operation in network.operations if operation.op == "embed"]) == 1
    assert run(plain, resume=True)["digest"] == report["digest"]


def test_the_plan_is_that_of_one_member_unless_it_says_otherwise(taught: dict[str, Any]) -> None:
    taught["ensemble"] |= {"epochs": 3, "losses": {"logits": 2, "sentence": 1}, "together": {"rate": 0.25}}
    recipe = Recipe.from_dict(taught)
    together = recipe.ensemble.together
    assert together is not None
    assert together.share == 0.5
    assert (together.plan.epochs, together.plan.rate, together.plan.losses) == (3, 0.25, {"logits": 2})
    assert Recipe.from_dict(recipe.to_dict()) == recipe
