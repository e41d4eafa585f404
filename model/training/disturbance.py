"""One member against the ensemble under disturbed input, level by level, over several seeds of the disturbance."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from model.data.augment import typos
from model.data.batches import random_numbers
from model.data.dataset import Split
from model.robustness import (
    DROP_RATES,
    NOISE_LEVELS,
    TYPO_RATES,
    Inputs,
    Judge,
    Predict,
    Record,
    drop_sweep,
    noise_sweep,
    predictor,
    typo_sweep,
)
from model.training.checks import TrainingError
from model.training.finished import FinishedRun
from model.training.statistics import paired, summary

KINDS = {
    "noise": ("Gaussian noise on the embedding, deviation", NOISE_LEVELS[1:]),
    "drop": ("tokens left out, share", DROP_RATES[1:]),
    "typos": ("words with a typing error, share", TYPO_RATES[1:]),
}
_SAMPLE = 25
Hear = Callable[[int, int], None]


def disturb(run: FinishedRun, split: Split, seeds: Sequence[int], device: str, hear: Hear) -> dict[str, Any]:
    """Return the figures of a finished run on a split, clean and disturbed; `hear` is told how far it is."""
    if run.dataset.task.regression:
        raise TrainingError(f"{run.dataset.name}: must be a task of classes, not of scores, to vote on disturbed input")
    inputs = run.encode(list(split.texts), None if split.pairs is None else list(split.pairs))
    judge = Judge(split.labels, run.weights, run.vote)
    for member in run.members:
        member.to(device)
    predict = predictor(run.members, device=device)
    total = 1 + sum(len(levels) for _, levels in KINDS.values())
    hear(0, total)
    (clean,) = noise_sweep(predict, inputs, judge, levels=(0.0,), seeds=(0,))
    done, sweeps = 1, {}
    for kind, (what, levels) in KINDS.items():
        points = []
        for level in levels:
            points.append(_point(_sweep(kind, level, run, split, inputs, judge, predict, seeds)))
            done += 1
            hear(done, total)
        sweeps[kind] = {"what": what, "points": points}
    single = float(np.mean(clean["members"]))
    known = {"members": clean["members"], "member": single, "ensemble": clean["ensemble"]}
    return {"clean": known, "sweeps": sweeps, "seeds": list(seeds)}


def sample(split: Split, count: int) -> Split:
    """Return so many examples of a split, drawn at random but always the same, in their order."""
    places = random_numbers(0, 0, _SAMPLE).permutation(len(split))[:count]
    return split.take(np.sort(places))


def _sweep(
    kind: str,
    level: float,
    run: FinishedRun,
    split: Split,
    inputs: Inputs,
    judge: Judge,
    predict: Predict,
    seeds: Sequence[int],
) -> list[Record]:
    if kind == "noise":
        return noise_sweep(predict, inputs, judge, levels=(level,), seeds=seeds)
    if kind == "drop":
        kept = (run.tokenizer.cls, run.tokenizer.sep)
        return drop_sweep(predict, inputs, judge, kept=kept, levels=(level,), seeds=seeds)
    pairs = None if split.pairs is None else list(split.pairs)
    return typo_sweep(
        predict,
        lambda texts: run.encode(texts, pairs),
        split.texts,
        judge,
        typos=_mistype,
        levels=(level,),
        seeds=seeds,
    )


def _mistype(text: str, rate: float, rng: np.random.Generator) -> str:
    return typos([text], rate, int(rng.integers(1 << 31)))[0]


def _point(records: Sequence[Record]) -> dict[str, Any]:
    """Return member, ensemble and their difference at one level, over the seeds."""
    member = [float(np.mean(record["members"])) for record in records]
    ensemble = [record["ensemble"] for record in records]
    known = {"member": summary(member), "ensemble": summary(ensemble), "difference": paired(ensemble, member)}
    return {"level": records[0]["level"], **known}


def draw_disturbance(report: dict[str, Any]) -> bytes:
    """Return a PNG: one panel for each disturbance, member and ensemble with the intervals over seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, len(report["sweeps"]), sharey=True)
    for axes, (kind, sweep) in zip(panels, report["sweeps"].items(), strict=True):
        levels = [0.0, *(point["level"] for point in sweep["points"])]
        for who, colour in (("member", "C0"), ("ensemble", "C1")):
            found = [point[who] for point in sweep["points"]]
            means = [report["clean"][who], *(value["mean"] for value in found)]
            reach = [0.0, *(value["interval"][1] - value["mean"] if value["interval"] else 0.0 for value in found)]
            axes.errorbar(levels, means, yerr=reach, color=colour, marker="o", markersize=4, capsize=3, label=who)
        axes.set_title(kind, fontsize=10)
        axes.set_xlabel(sweep["what"], fontsize=9)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel(f"accuracy on {report['dataset']}, {report['split']}", parse_math=False)
    panels[0].legend(fontsize=9)
    picture = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
