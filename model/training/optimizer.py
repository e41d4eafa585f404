"""AdamW as a plan asks for it: three groups of parameters, a rate that rises and falls, clipped gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from model.checks import show
from model.training.checkpoint import CheckpointError
from model.training.plan import StagePlan

_MOMENTS = ("exp_avg", "exp_avg_sq")


class Optimizer:
    """Updates the parameters of a module over a fixed number of steps."""

    def __init__(self, module: nn.Module, plan: StagePlan, steps: int) -> None:
        groups = parameter_groups(module, plan)
        self._plan = plan
        self._steps = steps
        self._adam = torch.optim.AdamW(groups, lr=plan.rate, fused=True)
        self._rates = [group["lr"] for group in self._adam.param_groups]
        self._clipped = [parameter for group in groups[:2] for parameter in group["params"]]

    def step(self, loss: Tensor, step: int) -> None:
        """Make one update; `step` counts from 0."""
        for group, rate in zip(self._adam.param_groups, self._rates, strict=True):
            group["lr"] = rate * share_of_rate(step, self._steps, self._plan.warmup)
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._clipped, self._plan.clip)
        self._adam.step()

    def state(self) -> dict[str, Tensor]:
        """Return the moments of each parameter as named tensors."""
        states = self._adam.state_dict()["state"]
        return {f"{i}.{name}": torch.as_tensor(value) for i, state in states.items() for name, value in state.items()}

    def check(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Refuse what is no state of these parameters; one that has not been updated yet has none."""
        groups = self._adam.param_groups
        shapes = {str(i): p.shape for i, p in enumerate(p for group in groups for p in group["params"])}
        expected = {f"{i}.{moment}": shape for i, shape in shapes.items() for moment in _MOMENTS}
        expected |= {f"{i}.step": torch.Size() for i in shapes}
        for name, tensor in tensors.items():
            if name not in expected or tensor.shape != expected[name]:
                what = f"must be a moment of a parameter, not {show(list(tensor.shape))}"
                raise CheckpointError(f"{where}: optimizer.{name}: {what}; was it made for another shape?")
        for name in expected:
            index = name.partition(".")[0]
            if name not in tensors and any(f"{index}.{other}" in tensors for other in ("step", *_MOMENTS)):
                raise CheckpointError(f"{where}: optimizer.{name}: must be there with its others, not missing")

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from a state."""
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, _, key = name.partition(".")
            states.setdefault(int(index), {})[key] = tensor
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict({"state": states, "param_groups": groups})


def share_of_rate(step: int, steps: int, warmup: float) -> float:
    """Return the share of the peak rate at a step: up in a line over the warm-up, then down to 0 after the last."""
    warm = max(1.0, warmup * steps)
    return min(1.0, (step + 1) / warm, (steps - step) / max(1.0, steps - warm))


def parameter_groups(module: nn.Module, plan: StagePlan) -> list[dict[str, Any]]:
    """Return the optimizer's groups: matrices, which decay; vectors and shifts of quantizers; alphas of quantizers."""
    named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "vectors": [], "alphas": []}
    for name, parameter in named:
        kind = name.rpartition(".")[2]
        matrix = parameter.ndim > 1 and kind != "beta"
        groups["alphas" if kind == "alpha" else "matrices" if matrix else "vectors"].append(parameter)
    return [
        {"params": groups["matrices"], "weight_decay": plan.decay},
        {"params": groups["vectors"], "weight_decay": 0.0},
        {"params": groups["alphas"], "weight_decay": 0.0, "lr": plan.alpha_rate},
    ]
