"""What recipes and plans check, beyond what `model.checks` has: keys that may be left out, numbers, flags, names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from model.checks import nearest, require, require_integer

MAX_TEXT = 200
MAX_SEED = 2**31 - 1
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class TrainingError(ValueError):
    """A run that cannot begin or go on; one line says what is wrong, and what to do."""


def known_keys(field: str, data: Any, names: Collection[str]) -> dict[str, Any]:
    """Return a mapping that has some of these keys and no other; an unknown key is answered with the nearest one."""
    choices = ", ".join(names)
    require(isinstance(data, Mapping), field or "recipe", f"a mapping of {choices}", data)
    for key in data:
        where = f"{field}.{key}" if field else f"{key}"
        require(key in names, where, f"one of {choices}", key, nearest(key, names) if isinstance(key, str) else "")
    return dict(data)


def require_number(field: str, value: Any, low: float, high: float) -> float:
    """Return a number in a range, which no NaN is."""
    legal = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    require(legal, field, f"a number from {low:g} to {high:g}", value)
    return float(value)


def require_flag(field: str, value: Any) -> bool:
    """Return true or false."""
    require(isinstance(value, bool), field, "true or false", value)
    return bool(value)


def require_text(field: str, value: Any) -> str:
    """Return a text that can stand in a report."""
    legal = isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()
    require(legal, field, f"a text of 1 to {MAX_TEXT} printable characters", value)
    return str(value)


def require_new_name(field: str, value: Any, taken: Iterable[str]) -> str:
    """Return a name that can be part of a file's name and is not taken."""
    legal = isinstance(value, str) and _NAME.fullmatch(value) is not None
    require(legal, field, "a name of 1 to 40 small letters, digits, '_' or '-'", value)
    require(value not in set(taken), field, "a new name", value, f"; {', '.join(taken)} are taken")
    return str(value)


def require_seed(field: str, value: Any) -> None:
    """Refuse what is no seed, unless there is none."""
    if value is not None:
        require_integer(field, value, 0, MAX_SEED)
