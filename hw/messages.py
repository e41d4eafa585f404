"""How a wrong value and a mistyped name are shown in an error message: always short, always one line."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

MAX_SHOWN = 60


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        """Show a number; Python refuses to print very long ones, so their width is said instead."""
        del level
        return f"a number of {x.bit_length()} bits" if x.bit_length() > 4 * MAX_SHOWN else repr(x)


def shown(value: Any) -> str:
    """Return any value as a short line."""
    short = _Short()
    short.maxstring = short.maxother = MAX_SHOWN
    text = short.repr(value)
    return text if len(text) <= 2 * MAX_SHOWN else f"{text[: 2 * MAX_SHOWN]}..."


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name nearest to a mistyped one, or nothing."""
    typed = name[:MAX_SHOWN].lstrip("-")
    names = {candidate.lstrip("-"): candidate for candidate in known}
    nearest = [n for n in names if len(n) > 2 and typed.startswith(n)]
    nearest = nearest or difflib.get_close_matches(typed, names, n=1, cutoff=0.55)
    return f"; did you mean {names[nearest[0]]!r}?" if nearest else ""
