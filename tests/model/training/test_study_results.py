"""The figures of a study: which value is taken from which run, and what is taken off what."""

from collections.abc import Sequence
from typing import Any

import pytest

from model.training.study import Study
from model.training.study_results import run_figures, study_results

BASE = {
    "data": {"set": "rt"},
    "chain": [{"name": "float", "precision": "32-32-32"}, {"name": "bits", "precision": "1-1-1"}],
}


def study(**more: Any) -> Study:
    """Return a study of two variants over two seeds."""
    own = {"name": "s", "seeds": 2, "variants": {"new": {"shape.dropout": 0.2}, "old": None}}
    return Study.from_dict({**own, "compare": [["new", "old"]], **more}, BASE)


def report(test: float, dev: float, prefixes: Sequence[float], **others: float | None) -> dict[str, Any]:
    """Return what a run reports; its members are all as good as its first one."""
    own = {"accuracy": test, "dev_accuracy": dev, "prefix_accuracy": list(prefixes), "expected_members": 1.5}
    return {**own, "member_accuracy": [prefixes[0]] * len(prefixes), "float_accuracy": 0.5, **others}


def test_what_a_study_takes_from_a_run() -> None:
    costs = {"teacher": 8.0, "labels": 1.0, "labels-words": 0.5, "float": 2.0, "member-1": 4.0}
    found = run_figures(7, report(0.75, 0.5, [0.25, 0.75], tfidf_accuracy=0.625, teacher_accuracy=None), costs)
    assert found == {
        "seed": 7,
        "test": 0.75,
        "dev": 0.5,
        "seconds": 6.0,
        "teacher_seconds": 9.5,
        "stages": costs,
        "mean_member": 0.25,
        "prefixes": [0.25, 0.75],
        "expected_members": 1.5,
        "others": {"float": 0.5, "tfidf": 0.625},
    }
    chain = {"accuracy": 0.75, "dev_accuracy": 0.5, "float_accuracy": 0.5}
    assert "others" not in run_figures(7, chain, costs)


class TestResults:
    @pytest.fixture
    def results(self) -> dict[str, Any]:
        new = report(0.75, 0.25, [0.5, 0.75], tfidf_accuracy=0.625), report(1.0, 0.5, [1.0], tfidf_accuracy=0.75)
        old = report(0.5, 0.5, [0.5], tfidf_accuracy=0.625), report(0.5, 0.25, [0.5])
        runs = {
            name: [run_figures(seed, run, {"float": 1.0}) for seed, run in enumerate(given, 1)]
            for name, given in (("new", new), ("old", old))
        }
        return study_results(study(), runs, {"dataset": "rt"})

    def test_a_pair_is_the_first_above_the_second(self, results: dict[str, Any]) -> None:
        (pair,) = results["compare"]
        assert (pair["first"], pair["second"]) == ("new", "old")
        assert (pair["values"], pair["mean"], pair["agree"]) == ([0.25, 0.5], 0.375, 2)
        assert (pair["dev"]["values"], pair["dev"]["mean"]) == ([-0.25, 0.25], 0)

    def test_the_network_above_other_models(self, results: dict[str, Any]) -> None:
        beside = results["variants"]["new"]["beside"]
        assert {name: found["values"] for name, found in beside.items()} == {
            "float": [0.5, 0.5],
            "tfidf": [0.625, 0.75],
        }
        assert beside["float"]["difference"]["values"] == [0.25, 0.5]
        assert beside["tfidf"]["difference"]["values"] == [0.125, 0.25]
        assert set(results["variants"]["old"]["beside"]) == {"float"}, "a model that one run has no figure of"

    def test_a_smaller_ensemble_counts_as_a_whole(self, results: dict[str, Any]) -> None:
        found = results["variants"]["new"]
        assert [prefix["values"] for prefix in found["prefixes"]] == [[0.5, 1.0], [0.75, 1.0]]
        assert (found["figure"], found["test"]["values"], found["dev"]["values"]) == (
            "integers of the network",
            [0.75, 1.0],
            [0.25, 0.5],
        )


def test_a_chain_that_stops_has_the_figures_of_its_step() -> None:
    run = {"accuracy": 0.75, "dev_accuracy": 0.5, "float_accuracy": 0.5}
    runs = {name: [run_figures(seed, run, {}) for seed in (1, 2)] for name in ("new", "old")}
    found = study_results(study(stop="float"), runs, {})["variants"]["new"]
    assert found["figure"] == "floats of step float"
    assert not {"beside", "prefixes", "mean_member"} & set(found)
