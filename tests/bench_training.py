"""What a training step of a binary member costs: `python -m tests.bench_training [--json]`, and part of `make bench`.

A step drops the old gradients, goes forward, takes the loss and goes backward; AdamW's update is counted apart. The
models take turns step by step, so that a busy machine slows all of them, and what is counted is processor time of one
thread. Two rulers: the same member at 32 bits, and a BERT of that shape of torch's own layers.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from model.member import Member
from model.shape import Precision, Shape

VOCABULARY = 30522
BATCH = 32
WARM_UP = 3
STEPS = 20


@dataclass(frozen=True)
class Case:
    """A shape and the tokens of its sentences."""

    layers: int
    hidden: int
    tokens: int

    @property
    def label(self) -> str:
        """What the figures of this case are called."""
        return f"training_{self.layers}x{self.hidden}_at_{BATCH}x{self.tokens}_tokens"

    def shape(self, precision: Precision) -> Shape:
        """Return the shape of a member."""
        heads = self.hidden // 64
        return Shape(VOCABULARY, 2, self.layers, self.hidden, heads, max(64, self.tokens), precision=precision)


CASES = (Case(2, 128, 32), Case(2, 128, 64), Case(4, 256, 32))


class PlainBert(nn.Module):
    """A BERT classifier of torch's own layers, with nothing of ours in it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.words = nn.Embedding(shape.vocabulary, shape.hidden)
        self.positions = nn.Embedding(shape.positions, shape.hidden)
        self.types = nn.Embedding(shape.types, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden)
        self.dropout = nn.Dropout(shape.dropout)
        layer = nn.TransformerEncoderLayer(
            shape.hidden, shape.heads, shape.ffn[0].width, shape.dropout, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, shape.layers, enable_nested_tensor=False)
        self.pooler = nn.Linear(shape.hidden, shape.hidden)
        self.classifier = nn.Linear(shape.hidden, shape.classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the logits."""
        places = torch.arange(ids.shape[1])
        x = self.words(ids) + self.positions(places) + self.types(torch.zeros_like(ids))
        x = self.encoder(self.dropout(self.norm(x)), src_key_padding_mask=~mask)
        return self.classifier(self.dropout(torch.tanh(self.pooler(x[:, 0]))))


@dataclass
class Runner:
    """A model under the clock."""

    model: nn.Module
    logits: Callable[[Any], Tensor]
    seconds: list[float] = field(default_factory=list)
    updates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    @property
    def whole(self) -> list[float]:
        """Seconds of each step and its update."""
        return [step + update for step, update in zip(self.seconds, self.updates, strict=True)]

    def step(self, ids: Tensor, mask: Tensor, labels: Tensor) -> None:
        """Do a step and remember what it and the update took."""
        started = time.process_time()
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.logits(self.model(ids, mask)), labels).backward()
        ended = time.process_time()
        self.optimizer.step()
        self.seconds.append(ended - started)
        self.updates.append(time.process_time() - ended)


def main() -> int:
    """Time every case and print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench_training",
        description=__doc__.splitlines()[0],
        epilog="example: python -m tests.bench_training --json",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each model (default: %(default)s)")
    args = parser.parse_args()
    figures = training_figures(args.steps)
    if args.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):58} {value}")
    return 0


def training_figures(steps: int = STEPS) -> dict[str, str]:
    """Return the times and ratios of every case, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    figures = {}
    try:
        for case in CASES:
            print(f"training {case.label}", file=sys.stderr, flush=True)
            figures |= {f"{case.label}_{name}": value for name, value in _figures(case, steps).items()}
    finally:
        torch.set_num_threads(threads)
    return figures


def _figures(case: Case, steps: int) -> dict[str, str]:
    torch.manual_seed(0)
    runners = {
        "w1a1": Runner(Member(case.shape(Precision())), lambda output: output.logits),
        "w1a2": Runner(Member(case.shape(Precision.uniform(1, 1, 2))), lambda output: output.logits),
        "fp32": Runner(Member(case.shape(Precision.uniform(32, 32, 32))), lambda output: output.logits),
        "torch": Runner(PlainBert(case.shape(Precision())), lambda logits: logits),
    }
    ids = torch.randint(VOCABULARY, (BATCH, case.tokens))
    mask = torch.arange(case.tokens) < torch.randint(case.tokens // 2, case.tokens + 1, (BATCH, 1))
    labels = torch.randint(2, (BATCH,))
    for _ in range(WARM_UP + steps):
        for runner in runners.values():
            runner.step(ids, mask, labels)
    figures = {f"{name}_step_ms": _milliseconds(runner.seconds) for name, runner in runners.items()}
    figures |= {f"{name}_update_ms": _milliseconds(runner.updates) for name, runner in runners.items()}
    for mine, name in itertools.product(("w1a1", "w1a2"), ("fp32", "torch")):
        ours, theirs = runners[mine], runners[name]
        figures[f"{mine}_over_{name}"] = _ratio(ours.seconds, theirs.seconds)
        figures[f"{mine}_over_{name}_with_update"] = _ratio(ours.whole, theirs.whole)
    return figures


def _milliseconds(seconds: list[float]) -> str:
    counted = seconds[WARM_UP:]
    return f"{1e3 * min(counted):.1f} least, {1e3 * statistics.median(counted):.1f} median"


def _ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the ratio of the least, and the median of the ratios of steps that were taken one after the other."""
    ours, theirs = ours[WARM_UP:], theirs[WARM_UP:]
    middle = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return f"{min(ours) / min(theirs):.2f} of the least, {middle:.2f} in the median"


if __name__ == "__main__":
    sys.exit(main())
