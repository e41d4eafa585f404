"""How the loop of the timing model is compiled: its parts without a cache, the whole with one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

# Without _nrt=False every use of an array counts its references, which takes longer than all the rest of a cycle.
# Nothing that is compiled here makes or keeps an array.
_WHOLE: dict[str, Any] = {"_nrt": False}

# A part is called by compiled code only. Without the wrappers for other callers it compiles in half the time.
_PART: dict[str, Any] = _WHOLE | {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(function: F) -> F:
    """Compile a part: it becomes one piece of code with its callers, which are compiled too."""
    return cast(F, numba.njit(**_PART)(function))


def compiled_whole(function: F) -> F:
    """Compile a function with all its parts, or take it from numba's cache.

    The key of that cache has the function's file and the values of its closure's variables, but nothing of its parts.
    So the function must be a closure over the `digest` of all its sources.
    """
    try:
        return cast(F, numba.njit(cache=True, **_WHOLE)(function))
    except RuntimeError:  # no folder for the cache can be written: compile anew in every process
        return cast(F, numba.njit(**_WHOLE)(function))


def digest(sources: tuple[ModuleType, ...]) -> str:
    """Return the SHA-256 over the text of the modules."""
    return hashlib.sha256(b"".join(Path(str(module.__file__)).read_bytes() for module in sources)).hexdigest()
