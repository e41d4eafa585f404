"""The chain of a recipe: the precisions that a student goes through, from full precision to bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from model.checks import NetworkError, refuse, require, require_choice
from model.shape import Precision
from model.training.checks import known_keys, require_flag, require_new_name
from model.training.plan import FEATURES, SENTENCE, StagePlan

TEACHER, FRESH, NONE, LABELS, MEMBER, TOGETHER = "teacher", "fresh", "none", "labels", "member", "together"
RESERVED = (TEACHER, FRESH, NONE, TOGETHER, "warm")
MAX_STEPS = 32
TERNARY = 2


@dataclass(frozen=True)
class Step:
    """One step: a precision, where its weights start, who teaches it, and its plan.

    `split` makes each linear layer read its input twice (`model.splitting`).
    """

    name: str
    precision: Precision
    start: str
    teacher: str
    split: bool
    plan: StagePlan


def read_chain(entries: Any, taught: bool) -> tuple[Step, ...]:
    """Return the steps of plain data; `taught` says whether the recipe has a teacher."""
    legal = isinstance(entries, (list, tuple)) and 0 < len(entries) <= MAX_STEPS
    require(legal, "chain", f"a list of 1 to {MAX_STEPS} steps", entries)
    steps: list[Step] = []
    for index, entry in enumerate(entries):
        steps.append(_step(f"chain[{index}]", entry, steps, taught))
    return tuple(steps)


def check_split_start(where: str, split: bool, origin: Step) -> None:
    """Refuse a start whose weights have no place in a student: only a ternary or a split step fits a split one."""
    if split and not origin.split:
        fits = origin.precision.weights == TERNARY
        require(fits, where, f"{FRESH}, or a step that is split or has ternary weights (2-E-A)", origin.name)
    if origin.split and not split:
        refuse(where, f"{FRESH}, or a step that is not split", f"{origin.name}, whose layers read their input twice")


def step_entry(step: Step) -> dict[str, Any]:
    """Return a step as it stands in a recipe."""
    own = {name: getattr(step, name) for name in ("name", "start", "teacher", "split")}
    return own | {"precision": asdict(step.precision)} | step.plan.to_dict()


def names_of(kind: type) -> list[str]:
    """Return the names of the fields of a dataclass."""
    return [item.name for item in fields(kind)]


def _step(where: str, entry: Any, before: list[Step], taught: bool) -> Step:
    own = [name for name in names_of(Step) if name != "plan"]
    values = known_keys(where, entry, (*own, *names_of(StagePlan)))
    names = [step.name for step in before]
    name = require_new_name(f"{where}.name", values.get("name"), (*RESERVED, *names))
    if name.startswith((LABELS, MEMBER)):
        refuse(f"{where}.name", f"a name that does not begin with {LABELS} or {MEMBER}", repr(name))
    precision = _precision(f"{where}.precision", values.get("precision"))
    starts = (FRESH, *([TEACHER] if taught else []), *names)
    start = require_choice(f"{where}.start", values.get("start", (names or [FRESH])[-1]), starts)
    split = require_flag(f"{where}.split", values.get("split", False))
    require(not split or precision.weights == 1, f"{where}.split", "false unless weights have 1 bit", split)
    whole = "false for a step that starts from the teacher"
    require(not split or start != TEACHER, f"{where}.split", whole, split)
    for origin in (step for step in before if step.name == start):
        check_split_start(f"{where}.start", split, origin)
    teachers = (NONE, *([TEACHER] if taught else []), *names)
    teacher = require_choice(f"{where}.teacher", values.get("teacher", teachers[-1]), teachers)
    plan = _plan(where, {key: value for key, value in values.items() if key not in own}, teacher)
    floats = precision.weights == 32
    require(floats or not plan.bfloat16, f"{where}.bfloat16", "false unless weights have 32 bits", plan.bfloat16)
    return Step(name, precision, start, teacher if plan.needs_teacher else NONE, split, plan)


def _plan(where: str, values: dict[str, Any], teacher: str) -> StagePlan:
    values.setdefault("losses", {"label": 1} if teacher == NONE else {"label": 1, "logits": 1})
    plan = StagePlan.from_dict(where, values)
    if plan.needs_teacher and teacher == NONE:
        refuse(f"{where}.losses", "of label alone without a teacher", ", ".join(plan.losses))
    if plan.needs_vectors and teacher != TEACHER:
        refuse(f"{where}.teacher", f"{TEACHER}, whose vectors {SENTENCE} reads", teacher)
    if plan.needs_features and teacher == TEACHER:
        what = f"{', '.join(FEATURES)} compare the same tokens"
        refuse(f"{where}.teacher", f"a step before this one: {what}", "teacher, which has a tokenizer of its own")
    return plan


def _precision(where: str, value: Any) -> Precision:
    try:
        if isinstance(value, Mapping):
            return Precision(**known_keys(where, value, names_of(Precision)))
        parts = value.split("-") if isinstance(value, str) else []
        legal = len(parts) == 3 and all(part.isdecimal() and len(part) < 4 for part in parts)
        require(legal, where, "weights-embedding-activations as in 1-1-2, or a mapping", value)
        return Precision.uniform(*(int(part) for part in parts))
    except NetworkError as error:
        text = str(error)
        raise NetworkError(text if text.startswith(where) else f"{where}{text.removeprefix('precision')}") from None
