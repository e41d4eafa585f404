"""What goes with a step through a pipeline whose stages move together."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

from hw.gateware.delayed import delayed


class Stages:
    """The fields of a step in each stage of the pipeline: a register for each stage up to the last one asked for.

    A reset clears `valid` only.
    """

    def __init__(self, m: Module, step: data.View, advance: Signal) -> None:
        self._m, self._step, self._advance = m, step, advance
        self._held: dict[str, list[Value]] = {}

    def at(self, stage: int, field: str) -> Value:
        """Return a field of the step in a stage; in stage 0 stands the step that is about to enter."""
        held = self._held.setdefault(field, [self._step[field]])
        while len(held) <= stage:
            name, reset_less = f"{field}{len(held)}", field != "valid"
            held.append(delayed(self._m, held[-1], name, enable=self._advance, reset_less=reset_less))
        return held[stage]
