"""A recipe: everything that decides what a training run makes, as plain data; docs/training.md explains each key.

A recipe names a data set, perhaps a teacher, the shape of the members, the chain of precisions that leads to them, and
the ensemble with its vote.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from model.checks import NetworkError, refuse, require, require_choice, require_integer
from model.shape import ACTIVATION_BITS, Precision, Shape
from model.training.chain import NONE, TEACHER, Step, check_split_start, names_of, read_chain, step_entry
from model.training.checks import MAX_SEED, known_keys, require_flag, require_number, require_seed, require_text
from model.training.data_recipe import LEARNED, DataRecipe, data_entry, read_data_recipe
from model.training.plan import FEATURES, SENTENCE, StagePlan

SHAPE_KEYS = (
    *("layers", "hidden", "heads", "ffn", "attention", "weight_scale"),
    *("elastic", "two_sets", "pooling", "pooler", "dropout"),
)
METHODS = ("boosting", "bagging", "seeds")
MODES = ("resample", "reweight")
STARTS = ("warm", "fresh")
REGIMES = ("none", "logits", "two-stage")
VOTES = ("soft", "hard")
POOLINGS = ("first", "mean")
VOTE_LOSSES = ("label", "logits")
SECTIONS = ("name", "seed", "data", "teacher", "shape", "chain", "ensemble", "calibration", "stop")
FEATURES_RATE = 2.5
MAX_PARAMETERS = 1 << 29


@dataclass(frozen=True)
class TeacherRecipe:
    """The full-precision teacher: the packaged encoder, or a folder in Hugging Face's layout, and its fine-tuning."""

    source: str
    pooling: str
    limit: int
    seed: int | None
    plan: StagePlan


@dataclass(frozen=True)
class TogetherPlan:
    """How the members of an ensemble are trained together at the end.

    `share` of the loss is the mean of the members' own losses, the rest is the loss of their vote.
    """

    share: float
    plan: StagePlan


@dataclass(frozen=True)
class EnsembleRecipe:
    """How the members are made and how they vote; `features` is the first of two stages of distillation."""

    members: int
    method: str
    mode: str
    start: str
    distillation: str
    teacher: str
    shared_embedding: bool
    vote: str
    plan: StagePlan
    features: StagePlan | None
    together: TogetherPlan | None


@dataclass(frozen=True)
class Recipe:
    """One training run; with `stop`, its chain alone and no further than the step of that name."""

    name: str
    seed: int
    data: DataRecipe
    teacher: TeacherRecipe | None
    shape: Mapping[str, Any]
    chain: tuple[Step, ...]
    ensemble: EnsembleRecipe
    calibration: int
    stop: str | None = None

    @classmethod
    def from_dict(cls, data: Any) -> Recipe:
        """Return the recipe of plain data; every unknown key and wrong value is one line that names it."""
        values = known_keys("", data, SECTIONS)
        for key in ("name", "data", "chain"):
            if key not in values:
                refuse(key, "given", "left out")
        name = require_text("name", values["name"])
        legal = "/" not in name and not name.startswith(".")
        require(legal, "name", "part of a folder's name, without '/' and not starting with '.'", name)
        seed = require_integer("seed", values.get("seed", 0), 0, MAX_SEED)
        source = read_data_recipe(values["data"])
        teacher = _teacher(values.get("teacher"))
        chain = read_chain(values["chain"], teacher is not None)
        ensemble = _ensemble(values.get("ensemble", {}), chain, teacher is not None)
        calibration = require_integer("calibration", values.get("calibration", 256), 1, 100_000)
        shape = known_keys("shape", values.get("shape", {}), SHAPE_KEYS)
        stop = _stop(values.get("stop"), chain)
        recipe = cls(name, seed, source, teacher, shape, chain, ensemble, calibration, stop)
        recipe._check()
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """Return plain data from which `from_dict` makes an equal recipe."""
        return {
            "name": self.name,
            "seed": self.seed,
            "data": data_entry(self.data),
            "teacher": None if self.teacher is None else _flat(self.teacher),
            "shape": dict(self.shape),
            "chain": [step_entry(step) for step in self.chain],
            "ensemble": _flat(self.ensemble),
            "calibration": self.calibration,
            "stop": self.stop,
        }

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that are trained: all of the chain, or those up to `stop`."""
        names = [step.name for step in self.chain]
        return self.chain if self.stop is None else self.chain[: names.index(self.stop) + 1]

    def replace(self, **changes: Any) -> Recipe:
        """Return this recipe with other values."""
        return dataclasses.replace(self, **changes)

    @property
    def needs_vectors(self) -> bool:
        """Whether a student learns the sentence vectors of the teacher."""
        return any(plan.needs_vectors for plan in [*(step.plan for step in self.chain), self.ensemble.plan])

    def shape_of(self, precision: Precision, vocabulary: int, classes: int, *, split: bool = False) -> Shape:
        """Return the shape of a student."""
        sizes = {"vocabulary": vocabulary, "classes": classes, "positions": self.data.limit}
        return Shape.from_dict(sizes | dict(self.shape) | {"precision": precision, "split": split})

    def _shape(self, where: str, step: Step) -> Shape:
        """Return the shape of a step's student; what is wrong is put down to the key that makes it so."""
        try:
            shape = self.shape_of(step.precision, self.data.vocabulary, 2, split=step.split)
        except NetworkError as error:
            field, _, rest = str(error).partition(": ")
            key = f"{where}.split" if field == "split" else f"shape.{field.removeprefix('shape.')}"
            raise NetworkError(f"{key}: {rest}") from None
        key = f"{where}.split" if step.split and parameters(shape.replace(split=False)) <= MAX_PARAMETERS else "shape"
        require(parameters(shape) <= MAX_PARAMETERS, key, f"of at most {MAX_PARAMETERS} parameters", parameters(shape))
        return shape

    def _check(self) -> None:
        shapes = [self._shape(f"chain[{index}]", step) for index, step in enumerate(self.chain)]
        shape = shapes[-1]
        if self.stop is None:
            _check_export(f"chain[{len(self.chain) - 1}].precision", shape)
        if self.teacher is None:
            require(self.data.pieces == LEARNED, "data.pieces", f"{LEARNED} without a teacher", self.data.pieces)
            key = self.data.pool_key
            if key is not None:
                refuse(f"data.{key}", "0 without a teacher to label the sentences", f"{getattr(self.data, key)}")
            plans = [(f"chain[{i}]", step.plan) for i, step in enumerate(self.chain)]
            for where, plan in [*plans, ("ensemble", self.ensemble.plan)]:
                require(not plan.pool, f"{where}.pool", "false without a teacher to label the sentences", plan.pool)


def parameters(shape: Shape) -> int:
    """Return about how many parameters a student has: those of its matrices."""
    blocks = sum(2 * ffn.width * ffn.stack for ffn in shape.ffn)
    layers = shape.layers * 4 * shape.hidden + blocks
    return shape.hidden * (shape.vocabulary + shape.positions + (2 * layers if shape.split else layers))


def _check_export(where: str, shape: Shape) -> None:
    """Refuse members that no network can be made of, before they are trained for hours."""
    precision = shape.precision
    binary = (precision.weights, precision.embedding) == (1, 1)
    fix = "; end the chain with a step such as 1-1-1"
    require(binary, where, "1-1-A in the last step, for the network's sake", precision.label, fix)
    for item in fields(precision):
        bits = getattr(precision, item.name)
        legal = bits in ACTIVATION_BITS[:-1] or not shape.quantizes(item.name)
        require(legal, f"{where}.{item.name}", "1, 2, 4 or 8 in the last step", bits, fix)
    signed = shape.attention == "softmax" and not shape.two_sets
    if signed:
        refuse("shape.two_sets", "true where the attention is a softmax, for the network's sake", "false")


def _teacher(data: Any) -> TeacherRecipe | None:
    if data is None or data == NONE:
        return None
    values, plan = _with_plan("teacher", data, TeacherRecipe)
    defaults: dict[str, Any] = {"source": "packaged", "pooling": "mean", "limit": 64, "seed": None}
    values = defaults | values
    require_seed("teacher.seed", values["seed"])
    require_text("teacher.source", values["source"])
    require_choice("teacher.pooling", values["pooling"], POOLINGS)
    require_integer("teacher.limit", values["limit"], 4, 512)
    made = StagePlan.from_dict("teacher", {"epochs": 2, "rate": 1e-4} | plan)
    require(set(made.losses) == {"label"}, "teacher.losses", "label alone", ", ".join(made.losses))
    require(not made.pool, "teacher.pool", "false: the teacher itself labels the pool", made.pool)
    return TeacherRecipe(**values, plan=made)


def _stop(name: Any, chain: tuple[Step, ...]) -> str | None:
    return None if name in (None, NONE) else str(require_choice("stop", name, [step.name for step in chain]))


def _ensemble(data: Any, chain: tuple[Step, ...], taught: bool) -> EnsembleRecipe:
    names = [step.name for step in chain]
    values, plan = _with_plan("ensemble", data, EnsembleRecipe)
    defaults: dict[str, Any] = {
        "members": 1,
        "method": "boosting",
        "mode": "resample",
        "start": "warm",
        "distillation": NONE,
        "teacher": TEACHER if taught else names[0],
        "shared_embedding": False,
        "vote": "soft",
        "features": None,
        "together": None,
    }
    values = defaults | values
    require_integer("ensemble.members", values["members"], 1, 64)
    choices = {"method": METHODS, "mode": MODES, "distillation": REGIMES, "vote": VOTES}
    choices |= {"start": (*STARTS, *names), "teacher": ((TEACHER,) if taught else ()) + tuple(names)}
    for key, legal in choices.items():
        require_choice(f"ensemble.{key}", values[key], legal)
    for origin in (step for step in chain if step.name == values["start"]):
        check_split_start("ensemble.start", chain[-1].split, origin)
    require_flag("ensemble.shared_embedding", values["shared_embedding"])
    return EnsembleRecipe(**values | _ensemble_plans(values, plan))


def _ensemble_plans(values: Mapping[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """Return the plan of a member, of the stage before it where distillation has two, and of all members together."""
    regime = values["distillation"]
    plan.setdefault("losses", {"label": 1} if regime == NONE else {"label": 1, "logits": 1})
    made = _member_plan("ensemble", plan)
    if made.needs_teacher != (regime != NONE):
        expected = "of label alone" if regime == NONE else "of what a teacher says, such as logits,"
        refuse("ensemble.losses", f"{expected} with distillation {regime}", ", ".join(made.losses))
    features = values["features"]
    if regime != "two-stage":
        require(features is None, "ensemble.features", "left out unless distillation is two-stage", features)
    else:
        first = {"losses": {"hidden": 1, "attention": 1}, "keep": "last", "rate": min(1.0, FEATURES_RATE * made.rate)}
        own = known_keys("ensemble.features", features or {}, names_of(StagePlan))
        features = _member_plan("ensemble.features", made.to_dict() | first | own)
        # Both stages draw and weigh the same examples.
        expected = f"{str(made.pool).lower()} as in ensemble"
        require(features.pool == made.pool, "ensemble.features.pool", expected, features.pool)
    if made.needs_vectors and values["teacher"] != TEACHER:
        refuse("ensemble.teacher", f"{TEACHER}, whose vectors {SENTENCE} reads", values["teacher"])
    if features is not None and features.needs_vectors:
        refuse("ensemble.features.losses", f"without {SENTENCE}: its teacher is a step of the chain", SENTENCE)
    inner = made.needs_features or features is not None
    if inner and values["teacher"] == TEACHER:
        what = f"{', '.join(FEATURES)} compare the same tokens"
        refuse("ensemble.teacher", f"a step of the chain: {what}", "teacher, which has a tokenizer of its own")
    return {"plan": made, "features": features, "together": _together(values["together"], made)}


def _member_plan(where: str, data: Any) -> StagePlan:
    """Return a plan that trains members, which no 16-bit products are for."""
    made = StagePlan.from_dict(where, data)
    require(not made.bfloat16, f"{where}.bfloat16", "false: members are binary", made.bfloat16)
    return made


def _together(data: Any, plan: StagePlan) -> TogetherPlan | None:
    """Return how members are trained together; what is left out is as in the plan of one member."""
    if data is None:
        return None
    where = "ensemble.together"
    values, own = _with_plan(where, data, TogetherPlan)
    kept = {name: weight for name, weight in plan.losses.items() if name in VOTE_LOSSES} or {"label": 1.0}
    made = _member_plan(where, plan.to_dict() | {"losses": kept} | own)
    for name in made.losses:
        require(name in VOTE_LOSSES, f"{where}.losses.{name}", f"one of {', '.join(VOTE_LOSSES)}", name)
    if made.needs_teacher and not plan.needs_teacher:
        refuse(f"{where}.losses", "of label alone with distillation none", ", ".join(made.losses))
    share = require_number(f"{where}.share", values.get("share", 0.5), 0, 1)
    return TogetherPlan(float(share), made)


def _with_plan(where: str, data: Any, kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of a section that are its own, and those of the plan that it holds."""
    own = [item.name for item in fields(kind) if item.name != "plan"]
    values = known_keys(where, data, (*own, *names_of(StagePlan)))
    return {k: v for k, v in values.items() if k in own}, {k: v for k, v in values.items() if k not in own}


def _flat(part: TeacherRecipe | EnsembleRecipe | TogetherPlan) -> dict[str, Any]:
    own = _fields(part)
    plan = own.pop("plan")
    if isinstance(part, EnsembleRecipe):
        own["features"] = None if part.features is None else part.features.to_dict()
        own["together"] = None if part.together is None else _flat(part.together)
    return own | plan.to_dict()


def _fields(part: Any) -> dict[str, Any]:
    return {item.name: getattr(part, item.name) for item in fields(part)}
