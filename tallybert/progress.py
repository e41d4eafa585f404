"""How a long run is shown: bars on a terminal, elsewhere one line for each stage that is over."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from tallybert.options import say


class _Speed(ProgressColumn):
    """Sentences per second."""

    def render(self, task: Task) -> Text:
        """Return the speed of late, or of the whole stage once it is over."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} sentences/s", style="dim")


class Bars:
    """A `Progress` of training on stderr; every stage has a line, and those that are over stay."""

    def __init__(self) -> None:
        self._stage = ""
        self._total = self._first = self._done = 0
        self._began = time.monotonic()
        self._task: object = None
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            _Speed(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[values]}", style="cyan"),
        )
        self._bars = Progress(*columns, console=Console(stderr=True), disable=not self._shown)

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """Show a new stage."""
        self._stage, self._total, self._first, self._done = stage, total, done, done
        self._began = time.monotonic()
        self._task = self._bars.add_task(stage, total=total, completed=done, values="")

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        """Show how far the stage is."""
        self._done = done
        if self._shown:
            text = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
            self._bars.update(self._task, completed=done, values=text)  # type: ignore[arg-type]

    def end(self, note: str = "") -> None:
        """Leave the finished stage, or say one line where no bar can be seen."""
        if self._shown:
            self._bars.update(self._task, completed=self._total, values=note)  # type: ignore[arg-type]
            return
        seconds = time.monotonic() - self._began
        speed = (self._done - self._first) / max(seconds, 1e-9)
        facts = f"{self._done - self._first:,} sentences, {speed:,.0f} sentences/s, {seconds:.0f} s"
        say(": ".join(filter(None, (self._stage, ", ".join(filter(None, (note, facts)))))))

    def say(self, line: str) -> None:
        """Show a line that is no stage."""
        if self._shown:
            self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            say(line)
