"""Recipes whose steps split ternary weights: where a split may start, and what may start from it."""

from collections.abc import Callable
from typing import Any

import pytest

from model.checks import NetworkError
from model.training.recipe import Recipe
from tests.model.training.recipes import small_recipe, taught_recipe

Refused = Callable[..., str]


def split_chain(**shape: Any) -> dict[str, Any]:
    """Return a recipe whose second step of three is split."""
    names = ("ternary", "2-1-1", False), ("halves", "1-1-1", True), ("bits", "1-1-1", False)
    chain = [{"name": name, "precision": bits, "split": split} for name, bits, split in names]
    chain[2]["start"] = "fresh"
    return small_recipe() | {"chain": chain, "shape": shape}


def test_a_split_step_starts_from_weights_that_fit(refused: Refused) -> None:
    recipe = split_chain()
    del recipe["chain"][2]["start"]
    message = refused(NetworkError, Recipe.from_dict, recipe)
    expected = "must be fresh, or a step that is not split, not halves, whose layers read their input twice"
    assert message == f"chain[2].start: {expected}"
    recipe = split_chain()
    for precision in ("32-32-32", "1-1-1"):
        recipe["chain"][0]["precision"] = precision
        message = refused(NetworkError, Recipe.from_dict, recipe)
        assert message == (
            "chain[1].start: must be fresh, or a step that is split or has ternary weights (2-E-A), not 'ternary'"
        )
    recipe["chain"][1]["start"] = "fresh"
    recipe["chain"][2] |= {"split": True, "start": "halves"}
    assert [step.start for step in Recipe.from_dict(recipe).chain] == ["fresh", "fresh", "halves"]


def test_members_start_from_a_step_whose_weights_fit(refused: Refused) -> None:
    recipe = split_chain() | {"ensemble": {"members": 2, "start": "halves"}}
    message = refused(NetworkError, Recipe.from_dict, recipe)
    assert message.startswith("ensemble.start: must be fresh, or a step that is not split, not halves")
    recipe["chain"][2]["split"] = True
    for start in ("halves", "ternary"):
        recipe["ensemble"]["start"] = start
        assert Recipe.from_dict(recipe).ensemble.start == start
    recipe["chain"][1] |= {"start": "fresh"}
    recipe["chain"][0]["precision"] = "32-32-32"
    message = refused(NetworkError, Recipe.from_dict, recipe)
    assert message.startswith("ensemble.start: must be fresh, or a step that is split or has ternary weights")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "2-1-1"}, "must be false unless weights have 1 bit, not True"),
        ({"start": "teacher"}, "must be false for a step that starts from the teacher, not True"),
    ],
)
def test_what_is_not_split(changes: dict[str, Any], message: str, refused: Refused) -> None:
    taught = taught_recipe()
    taught["chain"][1] |= {"split": True, "start": "fresh", "precision": "1-1-2", **changes}
    taught["chain"][2] |= {"start": "fresh"}
    assert refused(NetworkError, Recipe.from_dict, taught) == f"chain[1].split: {message}"
    taught["chain"][1]["split"] = False
    Recipe.from_dict(taught)


def test_a_step_that_is_too_wide_to_be_split(refused: Refused) -> None:
    Recipe.from_dict(split_chain(ffn={"width": 32767}))
    message = refused(NetworkError, Recipe.from_dict, split_chain(ffn={"width": 32768}))
    expected = "false for a layer of more than 32767 inputs, which it would read twice"
    assert message == f"chain[1].split: must be {expected}, not true for 32768"


def test_a_step_that_is_too_large_once_it_is_split(refused: Refused) -> None:
    message = refused(NetworkError, Recipe.from_dict, split_chain(layers=8, hidden=2048))
    assert message.startswith("chain[1].split: must be of at most 536870912 parameters, not ")
    message = refused(NetworkError, Recipe.from_dict, split_chain(layers=16, hidden=4096))
    assert message.startswith("shape: must be of at most 536870912 parameters, not ")
