"""What a long run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Hears what a run does; the command draws bars from it, and tests listen. Everything is counted in sentences."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """Hear that a stage over so many sentences begins, or goes on after `done` of them."""

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        """Hear that so many sentences of the stage are done; the values are worth showing."""

    def end(self, note: str = "") -> None:
        """Hear that the stage is over."""

    def say(self, line: str) -> None:
        """Hear what is no part of a stage."""


class Silence:
    """A progress that nobody watches."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """Do nothing."""

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def end(self, note: str = "") -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Do nothing."""
