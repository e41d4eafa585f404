"""Recipes: defaults, plain data, and one line for each thing that can be wrong."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from model.checks import NetworkError
from model.shape import Precision
from model.training.recipe import Recipe
from tests.model.training.recipes import small_recipe, taught_recipe

Refused = Callable[..., str]


@pytest.fixture
def small() -> dict[str, Any]:
    """Return the least that a recipe can say."""
    return small_recipe()


@pytest.fixture
def taught() -> dict[str, Any]:
    """Return a recipe with a teacher and three steps."""
    return taught_recipe()


class TestDefaults:
    def test_of_the_whole(self, small: dict[str, Any]) -> None:
        recipe = Recipe.from_dict(small)
        assert (recipe.seed, recipe.calibration, recipe.teacher) == (0, 256, None)
        assert (recipe.data.limit, recipe.data.vocabulary, recipe.data.pool_key) == (48, 8000, None)
        ensemble = recipe.ensemble
        assert (ensemble.members, ensemble.method, ensemble.mode, ensemble.start) == (1, "boosting", "resample", "warm")
        assert (ensemble.distillation, ensemble.vote, ensemble.plan.losses) == ("none", "soft", {"label": 1.0})

    def test_a_step_starts_from_the_one_before_and_is_taught_by_it(self, taught: dict[str, Any]) -> None:
        chain = Recipe.from_dict(taught).chain
        assert [(step.start, step.teacher) for step in chain] == [
            ("fresh", "teacher"),
            ("float", "float"),
            ("two", "two"),
        ]
        assert all(step.plan.losses == {"label": 1.0, "logits": 1.0} for step in chain)

    def test_a_first_step_without_a_teacher_learns_from_labels(self, small: dict[str, Any]) -> None:
        step = Recipe.from_dict(small).chain[0]
        assert (step.start, step.teacher, step.plan.losses) == ("fresh", "none", {"label": 1.0})

    def test_of_the_teacher(self, taught: dict[str, Any]) -> None:
        teacher = Recipe.from_dict(taught).teacher
        assert teacher is not None
        assert (teacher.source, teacher.pooling, teacher.limit) == ("packaged", "mean", 64)
        assert (teacher.plan.epochs, teacher.plan.rate) == (2, 1e-4)

    def test_none_is_no_teacher(self, small: dict[str, Any]) -> None:
        assert Recipe.from_dict(small | {"teacher": "none"}).teacher is None

    def test_who_teaches_members(self, taught: dict[str, Any], small: dict[str, Any]) -> None:
        taught["ensemble"] = {"distillation": "logits"}
        ensemble = Recipe.from_dict(taught).ensemble
        assert (ensemble.teacher, ensemble.plan.losses, ensemble.features) == (
            "teacher",
            {"label": 1.0, "logits": 1.0},
            None,
        )
        small["ensemble"] = {"distillation": "logits"}
        assert Recipe.from_dict(small).ensemble.teacher == "bits"

    def test_two_stages(self, taught: dict[str, Any]) -> None:
        own = {"distillation": "two-stage", "teacher": "float", "rate": 0.001, "epochs": 3, "features": {"epochs": 1}}
        features = Recipe.from_dict(taught | {"ensemble": own}).ensemble.features
        assert features is not None
        assert features.losses == {"hidden": 1.0, "attention": 1.0}
        assert (features.epochs, features.rate, features.keep) == (1, 0.0025, "last")


class TestPlainData:
    def test_it_makes_an_equal_recipe(self, taught: dict[str, Any]) -> None:
        taught["data"] |= {"columns": {"text": "body", "labels": ["a", "b"], "score_range": [0, 5]}, "splice": 3}
        taught["ensemble"] = {"members": 3, "distillation": "two-stage", "teacher": "two", "shared_embedding": True}
        taught["shape"] = {"hidden": 32, "ffn": {"expression": "linear2(relu(linear1(x)))", "width": 64}}
        recipe = Recipe.from_dict(taught)
        again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
        assert again == recipe
        assert again.to_dict() == recipe.to_dict()

    def test_a_precision_is_three_numbers_or_a_mapping(self, small: dict[str, Any]) -> None:
        small["chain"][0]["precision"] = {"weights": 1, "embedding": 1, "query_key": 4}
        assert Recipe.from_dict(small).chain[0].precision == Precision(query_key=4)
        small["chain"][0]["precision"] = "1-1-8"
        assert Recipe.from_dict(small).chain[0].precision == Precision.uniform(1, 1, 8)

    def test_the_shape_of_a_student(self, small: dict[str, Any]) -> None:
        recipe = Recipe.from_dict(small | {"shape": {"layers": 3, "hidden": 64, "heads": 4}})
        shape = recipe.shape_of(Precision.uniform(32, 32, 32), 500, 7)
        assert (shape.layers, shape.hidden, shape.heads, shape.positions) == (3, 64, 4, 48)
        assert (shape.vocabulary, shape.classes, shape.precision.weights) == (500, 7, 32)
        assert (shape.pooling, shape.pooler) == ("first", True)

    def test_a_pooler_that_is_not_there_may_have_any_bits(self, small: dict[str, Any], refused: Refused) -> None:
        small["chain"][-1]["precision"] = {"weights": 1, "embedding": 1, "pooler": 32}
        recipe = Recipe.from_dict(small | {"shape": {"pooling": "mean", "pooler": False}})
        assert Recipe.from_dict(recipe.to_dict()) == recipe
        assert not recipe.shape_of(recipe.chain[-1].precision, 500, 2).pooler
        message = refused(NetworkError, Recipe.from_dict, small)
        assert ".pooler: must be 1, 2, 4 or 8 in the last step, not 32" in message


def changed(data: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return plain data with another value at a path; `...` takes the key away."""
    made = copy.deepcopy(data)
    place: Any = made
    for key in path[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


SECTIONS = "name, seed, data, teacher, shape, chain, ensemble, calibration, stop"
NO_NAME = "must be a name of 1 to 40 small letters, digits, '_' or '-', not"
LAST = "; end the chain with a step such as 1-1-1"
FEATURES = "a step of the chain: hidden, attention, direction compare the same tokens"
OWN = "teacher, which has a tokenizer of its own"
WRONG: list[tuple[tuple[Any, ...], Any, str]] = [
    (("nmae",), 1, f"nmae: must be one of {SECTIONS}, not 'nmae'; did you mean 'name'?"),
    (("name",), ..., "name: must be given, not left out"),
    (("name",), "", "name: must be a text of 1 to 200 printable characters, not ''"),
    (("name",), "a\nb", "name: must be a text of 1 to 200 printable characters, not 'a\\nb'"),
    (("name",), "../x", "name: must be part of a folder's name, without '/' and not starting with '.', not '../x'"),
    (("seed",), -1, "seed: must be an integer from 0 to 2147483647, not -1"),
    (("seed",), 2**31, "seed: must be an integer from 0 to 2147483647, not 2147483648"),
    (("data", "pieces"), "own", "data.pieces: must be one of learned, teacher, not 'own'"),
    (("data", "pieces"), "teacher", "data.pieces: must be learned without a teacher, not 'teacher'"),
    (("data", "jumble"), -1, "data.jumble: must be an integer from 0 to 100, not -1"),
    (("data", "spans"), "x", "data.spans: must be an integer from 0 to 10000000, not 'x'"),
    (("calibration",), 0, "calibration: must be an integer from 1 to 100000, not 0"),
    (("data",), None, "data: must be a mapping of set, columns, limit, "),
    (("data",), {}, "data.set: must be given: the name of a data set, or a file, not left out"),
    (("data", "set"), 7, "data.set: must be a text of 1 to 200 printable characters, not 7"),
    (("data", "limt"), 7, "data.limt: must be one of set, columns, limit, "),
    (("data", "limit"), 3, "data.limit: must be an integer from 4 to 512, not 3"),
    (("data", "limit"), 513, "data.limit: must be an integer from 4 to 512, not 513"),
    (("data", "vocabulary"), 63, "data.vocabulary: must be an integer from 64 to 65536, not 63"),
    (("data", "examples"), -1, "data.examples: must be an integer from 0 to 10000000, not -1"),
    (("data", "splice"), 5, "data.splice: must be 0 without a teacher to label the sentences, not 5"),
    (("data", "columns"), {"txt": "a"}, "data.columns.txt: must be one of text, pair, label, "),
    (("data", "columns"), {"text": ""}, "data.columns.text: must be a text of 1 to 200 printable characters, not ''"),
    (("data", "columns"), {"labels": "ab"}, "data.columns.labels: must be a list of texts, not 'ab'"),
    (
        ("data", "columns"),
        {"score_range": [5, 0]},
        "data.columns.score_range: must be the lowest and highest score, not [5, 0]",
    ),
    (("teacher",), "minilm", "teacher: must be a mapping of source, pooling, limit, "),
    (
        ("teacher", "pooling"),
        "frist",
        "teacher.pooling: must be one of first, mean, not 'frist'; did you mean 'first'?",
    ),
    (("teacher", "source"), "", "teacher.source: must be a text of 1 to 200 printable characters, not ''"),
    (("teacher", "limit"), 513, "teacher.limit: must be an integer from 4 to 512, not 513"),
    (("teacher", "losses"), {"logits": 1}, "teacher.losses: must be label alone, not 'logits'"),
    (("teacher", "pool"), True, "teacher.pool: must be false: the teacher itself labels the pool, not True"),
    (("shape", "layrs"), 1, "shape.layrs: must be one of layers, hidden, "),
    (("shape", "layers"), 0, "shape.layers: must be an integer from 1 to 48, not 0"),
    (("shape", "hidden"), 100_000, "shape.hidden: must be an integer from 1 to 4096, not 100000"),
    (("shape",), {"layers": 48, "hidden": 4096}, "shape: must be of at most 536870912 parameters, not 9696"),
    (("shape", "heads"), 3, "shape.heads: must divide hidden, 128, not 3"),
    (("shape", "dropout"), 1, "shape.dropout: must be from 0 to below 1, not 1"),
    (("shape", "attention"), "relu", "shape.attention: must be one of softmax, boolean, threshold, not 'relu'"),
    (("shape", "pooling"), "max", "shape.pooling: must be one of first, mean, not 'max'"),
    (("shape", "pooler"), 3, "shape.pooler: must be true or false, not 3"),
    (("shape", "two_sets"), False, "shape.two_sets: must be true where the attention is a softmax"),
    (("chain",), ..., "chain: must be given, not left out"),
    (("chain",), [], "chain: must be a list of 1 to 32 steps, not []"),
    (("chain",), {"name": "x"}, "chain: must be a list of 1 to 32 steps, not {'name': 'x'}"),
    (("chain", 0), "bits", "chain[0]: must be a mapping of name, precision, start, "),
    (("chain", 0, "name"), ..., f"chain[0].name: {NO_NAME} None"),
    (("chain", 0, "name"), "../x", f"chain[0].name: {NO_NAME} '../x'"),
    (("chain", 0, "name"), "a" * 41, f"chain[0].name: {NO_NAME} '{'a' * 41}'"),
    (("chain", 0, "name"), "teacher", "chain[0].name: must be a new name, not 'teacher'; teacher, fresh, "),
    (("chain", 0, "name"), "member-1", "chain[0].name: must be a name that does not begin with labels or member, not"),
    (
        ("chain", 0, "precision"),
        ...,
        "chain[0].precision: must be weights-embedding-activations as in 1-1-2, or a mapping, not None",
    ),
    (
        ("chain", 0, "precision"),
        "1-1",
        "chain[0].precision: must be weights-embedding-activations as in 1-1-2, or a mapping, not '1-1'",
    ),
    (("chain", 0, "precision"), "3-1-1", "chain[0].precision.weights: must be one of 1, 2, 32, not 3"),
    (("chain", 0, "precision"), {"wieghts": 1}, "chain[0].precision.wieghts: must be one of weights, embedding, "),
    (
        ("chain", 0, "precision"),
        "32-32-32",
        f"chain[0].precision: must be 1-1-A in the last step, for the network's sake, not '32-32-32'{LAST}",
    ),
    (
        ("chain", 0, "precision"),
        "1-1-32",
        f"chain[0].precision.projection: must be 1, 2, 4 or 8 in the last step, not 32{LAST}",
    ),
    (("chain", 0, "start"), "flot", "chain[0].start: must be one of fresh, not 'flot'"),
    (("chain", 0, "start"), "teacher", "chain[0].start: must be one of fresh, not 'teacher'"),
    (("chain", 0, "teacher"), "teacher", "chain[0].teacher: must be one of none, not 'teacher'"),
    (("chain", 0, "losses"), {"logits": 1}, "chain[0].losses: must be of label alone without a teacher, not logits"),
    (("chain", 0, "split"), 1, "chain[0].split: must be true or false, not 1"),
    (("chain", 0, "bfloat16"), True, "chain[0].bfloat16: must be false unless weights have 32 bits, not True"),
    (("chain", 0, "pool"), True, "chain[0].pool: must be false without a teacher to label the sentences, not True"),
    (("chain", 0, "rate"), 7, "chain[0].rate: must be a number from 1e-08 to 1, not 7"),
    (("chain", 0, "rat"), 7, "chain[0].rat: must be one of name, precision, start, "),
    (("ensemble",), 2, "ensemble: must be a mapping of members, method, "),
    (("ensemble", "members"), 0, "ensemble.members: must be an integer from 1 to 64, not 0"),
    (("ensemble", "members"), 65, "ensemble.members: must be an integer from 1 to 64, not 65"),
    (
        ("ensemble", "method"),
        "bosting",
        "ensemble.method: must be one of boosting, bagging, seeds, not 'bosting'; did you mean 'boosting'?",
    ),
    (("ensemble", "mode"), "x", "ensemble.mode: must be one of resample, reweight, not 'x'"),
    (("ensemble", "start"), "x", "ensemble.start: must be one of warm, fresh, bits, not 'x'"),
    (("ensemble", "vote"), "mean", "ensemble.vote: must be one of soft, hard, not 'mean'"),
    (("ensemble", "teacher"), "x", "ensemble.teacher: must be one of bits, not 'x'"),
    (("ensemble", "shared_embedding"), 0, "ensemble.shared_embedding: must be true or false, not 0"),
    (
        ("ensemble", "losses"),
        {"logits": 1},
        "ensemble.losses: must be of label alone with distillation none, not logits",
    ),
    (("ensemble", "bfloat16"), True, "ensemble.bfloat16: must be false: members are binary, not True"),
    (
        ("ensemble", "features"),
        {"epochs": 1},
        "ensemble.features: must be left out unless distillation is two-stage, not {'epochs': 1}",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_one_line(small: dict[str, Any], path: tuple[Any, ...], value: Any, message: str, refused: Refused) -> None:
    found = refused(NetworkError, Recipe.from_dict, changed(small, path, value))
    assert found.startswith(message)


TWO_STAGE = {"distillation": "two-stage", "teacher": "float"}
FIRST = "ensemble.features"
BINARY = "bfloat16: must be false: members are binary, not True"
WRONG_TAUGHT: list[tuple[tuple[Any, ...], Any, str]] = [
    (
        ("chain", 1, "name"),
        "float",
        "chain[1].name: must be a new name, not 'float'; teacher, fresh, none, together, warm, float",
    ),
    (("chain", 1, "start"), "one", "chain[1].start: must be one of fresh, teacher, float, not 'one'"),
    (
        ("chain", 1, "start"),
        "folat",
        "chain[1].start: must be one of fresh, teacher, float, not 'folat'; did you mean 'float'?",
    ),
    (("chain", 1, "teacher"), "two", "chain[1].teacher: must be one of none, teacher, float, not 'two'"),
    (
        ("chain", 0, "losses"),
        {"hidden": 1},
        f"chain[0].teacher: must be {FEATURES.replace('of the chain', 'before this one')}, not {OWN}",
    ),
    (("ensemble",), {"distillation": "two-stage"}, f"ensemble.teacher: must be {FEATURES}, not {OWN}"),
    (
        ("ensemble",),
        {"distillation": "logits", "losses": {"label": 1}},
        "ensemble.losses: must be of what a teacher says, such as logits, with distillation logits, not label",
    ),
    (("ensemble",), {**TWO_STAGE, "features": {"epochs": 0}}, f"{FIRST}.epochs: must be a number from 0.01 to "),
    (
        ("chain", 1),
        {"name": "two", "precision": "1-1-1", "teacher": "float", "losses": {"sentence": 1}},
        "chain[1].teacher: must be teacher, whose vectors sentence reads, not float",
    ),
    (
        ("ensemble",),
        {"distillation": "logits", "teacher": "float", "losses": {"sentence": 1}},
        "ensemble.teacher: must be teacher, whose vectors sentence reads, not float",
    ),
    (
        ("ensemble",),
        {**TWO_STAGE, "features": {"losses": {"sentence": 1}}},
        f"{FIRST}.losses: must be without sentence: its teacher is a step of the chain, not sentence",
    ),
    (("ensemble",), {"together": {"share": 2}}, "ensemble.together.share: must be a number from 0 to 1, not 2"),
    (
        ("ensemble",),
        {"together": {"losses": {"logits": 1}}},
        "ensemble.together.losses: must be of label alone with distillation none, not logits",
    ),
    (
        ("ensemble",),
        {"distillation": "logits", "together": {"losses": {"hidden": 1}}},
        "ensemble.together.losses.hidden: must be one of label, logits, not 'hidden'",
    ),
    (("ensemble",), {"together": {"bfloat16": True}}, f"ensemble.together.{BINARY}"),
    (("ensemble",), {**TWO_STAGE, "features": {"bfloat16": True}}, f"{FIRST}.{BINARY}"),
    (("ensemble",), {**TWO_STAGE, "features": {"pool": True}}, f"{FIRST}.pool: must be false as in ensemble, not True"),
    (
        ("ensemble",),
        {**TWO_STAGE, "pool": True, "features": {"pool": False}},
        f"{FIRST}.pool: must be true as in ensemble, not False",
    ),
    (("ensemble",), {"together": {"epochs": 0}}, "ensemble.together.epochs: must be a number from 0.01 to "),
    (("ensemble",), {"together": []}, "ensemble.together: must be a mapping of "),
    (("ensemble",), {**TWO_STAGE, "features": 3}, f"{FIRST}: must be a mapping of "),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG_TAUGHT, ids=lambda value: str(value)[:40])
def test_one_line_with_a_teacher(
    taught: dict[str, Any], path: tuple[Any, ...], value: Any, message: str, refused: Refused
) -> None:
    assert refused(NetworkError, Recipe.from_dict, changed(taught, path, value)).startswith(message)


@pytest.mark.parametrize("data", [None, [], "ci", 3])
def test_no_mapping(data: object, refused: Refused) -> None:
    assert refused(NetworkError, Recipe.from_dict, data).startswith("recipe: must be a mapping of name, seed, ")
