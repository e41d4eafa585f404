"""What a run wrote as JSON, read without trust: a file may be JSON and still hold what no run ever wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.checks import show
from model.training.checks import TrainingError

MAX_STEP = 1 << 53
MAX_THREADS = 1 << 16
MAX_SECONDS = 1e12
_DEVICE = re.compile(r"cpu|cuda(:[0-9]{1,3})?")
_STAGE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_REMAKE, _REMOVE, _BEGIN = "delete it and resume the run", "remove the line", "begin a new run"

Legal = Callable[[Any], bool]
Rule = tuple[str, Legal]


def _is_number(value: Any) -> bool:
    return type(value) is float or _is_integer(value, -MAX_STEP, MAX_STEP)


def _is_integer(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


_TEXT: Rule = ("a text of printable characters", _is_text)
_NUMBER: Rule = ("a number", _is_number)
_PERHAPS: Rule = ("a number or null", lambda value: value is None or _is_number(value))
_NUMBERS: Rule = ("a list of numbers", lambda value: isinstance(value, list) and all(map(_is_number, value)))
_BOUNDS: Rule = ("two numbers", lambda value: _NUMBERS[1](value) and len(value) == 2)
_COUNT: Rule = ("an integer of at least 1", lambda value: _is_integer(value, 1, MAX_STEP))
_STEP: Rule = ("an integer of at least 0", lambda value: _is_integer(value, 0, MAX_STEP))
_MACHINE: dict[str, Rule] = {
    "device": ("cpu or cuda", lambda value: isinstance(value, str) and _DEVICE.fullmatch(value) is not None),
    "threads": ("an integer of at least 1", lambda value: _is_integer(value, 1, MAX_THREADS)),
    "torch": _TEXT,
}
_FIGURES: dict[str, Rule] = {
    **dict.fromkeys(("recipe", "dataset", "metric", "digest"), _TEXT),
    **dict.fromkeys(("examples", "members"), _COUNT),
    **dict.fromkeys(("accuracy", "dev_accuracy", "expected_members"), _NUMBER),
    **dict.fromkeys(("majority_accuracy", "float_accuracy", "teacher_accuracy"), _PERHAPS),
    **dict.fromkeys(("tfidf_accuracy", "tfidf_difference"), _PERHAPS),
    **dict.fromkeys(("member_accuracy", "prefix_accuracy"), _NUMBERS),
    "interval": _BOUNDS,
    "tfidf_difference_interval": ("two numbers or null", lambda value: value is None or _BOUNDS[1](value)),
    "size_bits": (
        "an object of integers",
        lambda value: isinstance(value, dict) and all(map(_STEP[1], value.values())),
    ),
}
_AT_STEP: dict[str, Rule] = {
    **{key: _FIGURES[key] for key in ("recipe", "dataset", "metric", "examples", "accuracy", "dev_accuracy")},
    **{key: _FIGURES[key] for key in ("float_accuracy", "teacher_accuracy")},
    **dict.fromkeys(("stop", "precision"), _TEXT),
}
_LINE: dict[str, Rule] = {
    "stage": ("the name of a stage", lambda value: isinstance(value, str) and _STAGE.fullmatch(value) is not None),
    "step": _STEP,
    "total": _NUMBER,
}


def check_machine(where: Path, found: Mapping[str, Any]) -> None:
    """Refuse a run.json whose machine is of types that no run writes."""
    _check(where, {key: rule for key, rule in _MACHINE.items() if key in found}, found, _BEGIN)


def check_report(where: Path, found: Mapping[str, Any]) -> None:
    """Refuse a report.json that lacks a figure, or has one of a type that no run writes."""
    _check(where, _AT_STEP if "stop" in found else _FIGURES, found, _REMAKE)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the metrics up to the first that is torn; a whole one that no run wrote is refused."""
    found: list[dict[str, Any]] = []
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        where = f"{path}: line {number}"
        if not isinstance(record, dict):
            raise TrainingError(f"{where}: must be an object with stage, step and total, not {show(record)}; {_REMOVE}")
        _check(where, _rules_of(record), record, _REMOVE)
        found.append(record)
    return found


def is_line(value: Any) -> bool:
    """Return whether a run could have written this as a line of the metrics."""
    if not isinstance(value, dict):
        return False
    return all(key in value and is_legal(value[key]) for key, (_, is_legal) in _rules_of(value).items())


def is_seconds(value: Any) -> bool:
    """Return whether a stage could have taken so long."""
    return type(value) in (int, float) and 0 <= value < MAX_SECONDS


def _rules_of(line: Mapping[str, Any]) -> dict[str, Rule]:
    return dict.fromkeys(line, _NUMBER) | _LINE


def _check(where: object, rules: Mapping[str, Rule], found: Mapping[str, Any], fix: str) -> None:
    for key, (expected, is_legal) in rules.items():
        if key not in found:
            raise TrainingError(f"{where}: {key}: must be {expected}, not missing; {fix}")
        if not is_legal(found[key]):
            raise TrainingError(f"{where}: {show(key)[1:-1]}: must be {expected}, not {show(found[key])}; {fix}")
