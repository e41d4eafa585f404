"""What every check of a network shares: the error, its message grammar, names, sizes, and strict JSON."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection
from typing import Any, NoReturn

SETS = ("signed", "unsigned")
MAX_SIZE = 65535
MAX_DEPTH = 16
NAME = re.compile(r"[A-Za-z0-9_.]{1,200}", re.ASCII)
_SHOWN = 80
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class NetworkError(ValueError):
    """A network, or a network file, that is not what it should be; one line: `field: must be ..., not ...`."""


def show(value: Any) -> str:
    """Return a value as it appears in a message: on one line and short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def require(holds: bool, field: str, expected: str, found: Any, hint: str = "") -> None:
    """Refuse a field that does not hold; `hint` is the likely fix."""
    if not holds:
        refuse(field, expected, show(found), hint)


def refuse(field: str, expected: str, found: str, hint: str = "") -> NoReturn:
    """Refuse a field, what was found being given in words."""
    raise NetworkError(f"{field}: must be {expected}, not {found}{hint}")


def require_integer(field: str, value: Any, low: int, high: int) -> int:
    """Return an integer in a range; `True` is not an integer."""
    legal = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    require(legal, field, f"an integer from {low} to {high}", value)
    return int(value)


def require_name(field: str, value: Any, longest: int = 200) -> str:
    """Return a name of letters, digits, '_' and '.'."""
    legal = isinstance(value, str) and len(value) <= longest and NAME.fullmatch(value) is not None
    require(legal, field, f"1 to {longest} letters, digits, '_' or '.'", value)
    return str(value)


def require_choice(field: str, value: Any, choices: Collection[str] | Collection[int]) -> Any:
    """Return one of the choices, texts or integers; a near miss is answered with the nearest one."""
    legal = isinstance(value, (str, int)) and not isinstance(value, bool) and value in choices
    texts = [choice for choice in choices if isinstance(choice, str)]
    require(legal, field, f"one of {', '.join(map(str, choices))}", value, nearest(value, texts))
    return value


def require_keys(field: str, value: Any, keys: Collection[str]) -> dict[str, Any]:
    """Return an object that has exactly these keys."""
    expected = f"an object with the keys {', '.join(keys)}"
    require(isinstance(value, dict), field, expected, value)
    for key in value:
        require(key in keys, field, expected, key, nearest(key, keys))
    missing = [key for key in keys if key not in value]
    if missing:
        refuse(field, expected, f"without {', '.join(missing)}")
    return dict(value)


def count_of(count: int, word: str) -> str:
    """Return a count and its word: 1 head, 2 heads."""
    return f"{count} {word}{'s' * (count != 1)}"


def strict_object(field: str, text: str) -> dict[str, Any]:
    """Return a JSON object read strictly: no duplicate keys, no NaN, integers only, at most 16 levels deep."""
    try:
        _check_depth(text)
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_number("a number"), parse_float=_no_number("an integer")
        )
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"{field}: must be strict JSON, not text in which {_one_line(error)}") from None
    require(isinstance(value, dict), field, "a JSON object", value)
    return dict(value)


def nearest(value: Any, choices: Collection[str]) -> str:
    """Return a hint with the choice that looks most like the value, if one does."""
    found = difflib.get_close_matches(value[:_SHOWN], choices, 1) if isinstance(value, str) else []
    return f"; did you mean {found[0]!r}?" if found else ""


def canonical_json(value: dict[str, Any]) -> str:
    """Return the one text of a JSON object, whatever the order in which it was made."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _one_line(error: BaseException) -> str:
    text = f"{error.msg} at {error.pos}" if isinstance(error, json.JSONDecodeError) else " ".join(str(error).split())
    return text if len(text) <= 2 * _SHOWN else text[: 2 * _SHOWN - 3] + "..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {show(key)} stands twice")
        result[key] = value
    return result


def _no_number(expected: str) -> Callable[[str], Any]:
    def refuse_number(text: str) -> Any:
        raise ValueError(f"{show(text)} is not {expected}")

    return refuse_number


def _check_depth(text: str) -> None:
    depth = 0
    for match in _BRACKET.finditer(text):
        first = match[0][0]
        depth += (first in "[{") - (first in "]}")
        if depth > MAX_DEPTH:
            raise ValueError(f"nesting is more than {MAX_DEPTH} levels deep")
