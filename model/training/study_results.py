"""The figures of a study: each variant over its seeds, and each pair of variants seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.training.chain import LABELS, TEACHER
from model.training.statistics import paired, summary
from model.training.study import Study

Report = Mapping[str, Any]
OF_TEACHER = (TEACHER, LABELS, f"{LABELS}-words")
#: What a report holds of other models on the same test split, by the name that a study gives them.
OTHERS = {"float": "float_accuracy", "tfidf": "tfidf_accuracy", "teacher": "teacher_accuracy"}
NETWORK, STEP = "integers of the network", "floats of step"


def run_figures(seed: int, report: Report, costs: Mapping[str, float]) -> dict[str, Any]:
    """Return what a study takes from one finished run; `costs` are the processor seconds of its stages."""
    of_teacher = sum(seconds for stage, seconds in costs.items() if stage in OF_TEACHER)
    figures = {
        "seed": seed,
        "test": report["accuracy"],
        "dev": report["dev_accuracy"],
        "seconds": round(sum(costs.values()) - of_teacher, 3),
        "teacher_seconds": round(of_teacher, 3),
        "stages": dict(costs),
    }
    if "prefix_accuracy" in report:
        members = report["member_accuracy"]
        figures |= {
            "mean_member": sum(members) / len(members),
            "prefixes": report["prefix_accuracy"],
            "expected_members": report["expected_members"],
            "others": {name: report[key] for name, key in OTHERS.items() if report.get(key) is not None},
        }
    return figures


def study_results(
    study: Study, runs: Mapping[str, Sequence[dict[str, Any]]], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the figures of a study; `runs` are those of each variant in the order of the seeds."""
    variants = {name: _variant(study, name, runs[name]) for name in study.variants}
    compare = [
        {
            "first": first,
            "second": second,
            **paired(*([run["test"] for run in runs[name]] for name in (first, second))),
            "dev": paired(*([run["dev"] for run in runs[name]] for name in (first, second))),
        }
        for first, second in study.compare
    ]
    return {"study": study.name, "seeds": list(study.seeds), **known, "variants": variants, "compare": compare}


def _variant(study: Study, name: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    stop = study.recipe(name, study.seeds[0]).stop
    found: dict[str, Any] = {"figure": NETWORK if stop is None else f"{STEP} {stop}", "runs": list(runs)}
    for key in ("test", "dev", "seconds", "teacher_seconds"):
        found[key] = summary([run[key] for run in runs])
    if stop is None:
        for key in ("mean_member", "expected_members"):
            found[key] = summary([run[key] for run in runs])
        found["beside"] = {name: _beside(runs, name) for name in OTHERS if all(name in run["others"] for run in runs)}
        longest = max(len(run["prefixes"]) for run in runs)
        found["prefixes"] = [summary([_prefix(run["prefixes"], count) for run in runs]) for count in range(longest)]
    return found


def _beside(runs: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return how another model did on the same test split, and how far the network is above it, seed by seed."""
    others = [run["others"][name] for run in runs]
    return summary(others) | {"difference": paired([run["test"] for run in runs], others)}


def _prefix(values: Sequence[float], place: int) -> float:
    """Return the accuracy of the first members; an ensemble that has fewer is meant as a whole."""
    return values[min(place, len(values) - 1)]
