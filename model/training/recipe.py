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
from model.data.pool import POOL
from model.data.userfile import Columns
from model.shape import ACTIVATION_BITS, Precision, Shape
from model.training.chain import NONE, TEACHER, Step, names_of, read_chain, step_entry
from model.training.checks import known_keys, require_flag, require_text
from model.training.plan import FEATURES, StagePlan

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
POOL_SOURCES = tuple(source.name for source in POOL)
SECTIONS = ("name", "seed", "data", "teacher", "shape", "chain", "ensemble", "calibration", "stop")
MAX_SEED = 2**31 - 1
FEATURES_RATE = 2.5
MAX_PARAMETERS = 1 << 29


@dataclass(frozen=True)
class DataRecipe:
    """The data set, how sentences become ids, and the pool: sentences for the teacher to label."""

    set: str
    columns: Columns | None = None
    limit: int = 48
    vocabulary: int = 8000
    examples: int = 0
    replace: int = 0
    splice: int = 0
    unlabelled: int = 0
    sources: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        require_text("data.set", self.set)
        legal = isinstance(self.sources, (list, tuple)) and all(source in POOL_SOURCES for source in self.sources)
        require(legal, "data.sources", f"a list of {', '.join(POOL_SOURCES)}", self.sources)
        object.__setattr__(self, "sources", tuple(self.sources))
        require_integer("data.limit", self.limit, 4, 512)
        require_integer("data.vocabulary", self.vocabulary, 64, 65536)
        require_integer("data.replace", self.replace, 0, 100)
        for name in ("splice", "unlabelled", "examples"):
            require_integer(f"data.{name}", getattr(self, name), 0, 10_000_000)
        require_seed("data.seed", self.seed)

    @property
    def pool_key(self) -> str | None:
        """The first key that asks for a pool, if one does."""
        return next((key for key in ("replace", "splice", "unlabelled") if getattr(self, key)), None)


@dataclass(frozen=True)
class TeacherRecipe:
    """The full-precision teacher: the packaged encoder, or a folder in Hugging Face's layout, and its fine-tuning."""

    source: str
    pooling: str
    limit: int
    seed: int | None
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
        source = _data(values["data"])
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
        columns = self.data.columns
        return {
            "name": self.name,
            "seed": self.seed,
            "data": _fields(self.data) | {"columns": None if columns is None else _columns_entry(columns)},
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
            key = self.data.pool_key
            if key is not None:
                refuse(f"data.{key}", "0 without a teacher to label the sentences", f"{getattr(self.data, key)}")
            plans = [(f"chain[{i}]", step.plan) for i, step in enumerate(self.chain)]
            for where, plan in [*plans, ("ensemble", self.ensemble.plan)]:
                require(not plan.pool, f"{where}.pool", "false without a teacher to label the sentences", plan.pool)


def require_seed(field: str, value: Any) -> None:
    """Refuse what is no seed, unless there is none."""
    if value is not None:
        require_integer(field, value, 0, MAX_SEED)


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


def _data(data: Any) -> DataRecipe:
    values = known_keys("data", data, [item.name for item in fields(DataRecipe)])
    if "set" not in values:
        refuse("data.set", "given: the name of a data set, or a file", "left out")
    if values.get("columns") is not None:
        columns = known_keys("data.columns", values["columns"], [item.name for item in fields(Columns)])
        values["columns"] = _columns(columns)
    return DataRecipe(**values)


def _columns(values: dict[str, Any]) -> Columns:
    for key in ("text", "pair", "label", "group"):
        if key in values:
            require_text(f"data.columns.{key}", values[key])
    labels, scores = values.get("labels") or [], values.get("score_range")
    legal = isinstance(labels, (list, tuple)) and all(isinstance(label, str) for label in labels)
    require(legal, "data.columns.labels", "a list of texts", labels)
    if scores is not None:
        legal = isinstance(scores, (list, tuple)) and len(scores) == 2 and all(type(x) in (int, float) for x in scores)
        require(legal and scores[0] < scores[1], "data.columns.score_range", "the lowest and highest score", scores)
        values["score_range"] = (float(scores[0]), float(scores[1]))
    return Columns(**values | {"labels": tuple(labels)})


def _columns_entry(columns: Columns) -> dict[str, Any]:
    entry = _fields(columns)
    return entry | {"labels": list(columns.labels), "score_range": columns.score_range and list(columns.score_range)}


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
    }
    values = defaults | values
    require_integer("ensemble.members", values["members"], 1, 64)
    choices = {"method": METHODS, "mode": MODES, "distillation": REGIMES, "vote": VOTES}
    choices |= {"start": (*STARTS, *names), "teacher": ((TEACHER,) if taught else ()) + tuple(names)}
    for key, legal in choices.items():
        require_choice(f"ensemble.{key}", values[key], legal)
    require_flag("ensemble.shared_embedding", values["shared_embedding"])
    return EnsembleRecipe(**values | _ensemble_plans(values, plan))


def _ensemble_plans(values: Mapping[str, Any], plan: dict[str, Any]) -> dict[str, StagePlan | None]:
    """Return the plan of a member, and that of the stage before it where distillation has two."""
    regime = values["distillation"]
    plan.setdefault("losses", {"label": 1} if regime == NONE else {"label": 1, "logits": 1})
    made = StagePlan.from_dict("ensemble", plan)
    require(not made.bfloat16, "ensemble.bfloat16", "false: members are binary", made.bfloat16)
    if made.needs_teacher != (regime != NONE):
        expected = "of label alone" if regime == NONE else "of what a teacher says, such as logits,"
        refuse("ensemble.losses", f"{expected} with distillation {regime}", ", ".join(made.losses))
    features = values["features"]
    if regime != "two-stage":
        require(features is None, "ensemble.features", "left out unless distillation is two-stage", features)
    else:
        first = {"losses": {"hidden": 1, "attention": 1}, "keep": "last", "rate": min(1.0, FEATURES_RATE * made.rate)}
        own = known_keys("ensemble.features", features or {}, names_of(StagePlan))
        features = StagePlan.from_dict("ensemble.features", made.to_dict() | first | own)
    inner = made.needs_features or features is not None
    if inner and values["teacher"] == TEACHER:
        what = f"{', '.join(FEATURES)} compare the same tokens"
        refuse("ensemble.teacher", f"a step of the chain: {what}", "teacher, which has a tokenizer of its own")
    return {"plan": made, "features": features}


def _with_plan(where: str, data: Any, kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of a section that are its own, and those of the plan that it holds."""
    own = [item.name for item in fields(kind) if item.name != "plan"]
    values = known_keys(where, data, (*own, *names_of(StagePlan)))
    return {k: v for k, v in values.items() if k in own}, {k: v for k, v in values.items() if k not in own}


def _flat(part: TeacherRecipe | EnsembleRecipe) -> dict[str, Any]:
    own = _fields(part)
    plan, features = own.pop("plan"), own.pop("features", None)
    if isinstance(part, EnsembleRecipe):
        own["features"] = None if features is None else features.to_dict()
    return own | plan.to_dict()


def _fields(part: Any) -> dict[str, Any]:
    return {item.name: getattr(part, item.name) for item in fields(part)}
