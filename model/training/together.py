"""Members trained together, as the last stage: towards what their vote says, and each towards its own answer.

Members that were trained one by one each aim at the whole answer. Together each also learns to make up for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.distillation import Objective
from model.member import Member, MemberOutput
from model.training.corpus import Batch
from model.training.losses import TOTAL, Loss
from model.training.recipe import TogetherPlan


@dataclass
class TogetherOutput:
    """The logits of a soft vote [B, C], and what each member gives."""

    logits: Tensor
    members: tuple[MemberOutput, ...]


class Together(nn.Module):
    """Members that answer with the weighted mean of their logits; one embedding for all of them if it is shared."""

    def __init__(self, members: Sequence[Member], weights: Sequence[float], *, shared_embedding: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        total = sum(weights)
        self.weights = tuple(weight / total for weight in weights)
        self.shared_embedding = shared_embedding
        for member in members:
            if shared_embedding:
                member.embedding = members[0].embedding
            member.embedding.requires_grad_(True)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> TogetherOutput:
        """Return what the members say of ids [B, S] under the mask [B, S]."""
        found = tuple(member(ids, mask, types) for member in self.members)
        weighed = [weight * output.logits for weight, output in zip(self.weights, found, strict=True)]
        return TogetherOutput(torch.stack(weighed).sum(0), found)


def together_loss(chosen: TogetherPlan, regression: bool) -> Loss:
    """Return the loss of a batch: of the vote, and of the members."""
    parts: dict[str, Any] = dict(chosen.plan.losses)
    objective = Objective(**parts, temperature=chosen.plan.temperature)

    def of_one(output: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        return objective.loss(output, None, batch.teacher_logits, batch.labels, batch.mask, regression=regression)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        output: TogetherOutput = module(batch.ids, batch.mask, batch.types)
        vote, numbers = of_one(output, batch)
        own = torch.stack([of_one(member, batch)[0] for member in output.members]).mean()
        total = (1 - chosen.share) * vote + chosen.share * own
        return total, numbers | {TOTAL: float(total.detach()), "members": float(own.detach())}

    return loss
