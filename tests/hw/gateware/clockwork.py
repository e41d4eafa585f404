"""Run a component in Amaranth's simulator: a process that sees one cycle at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from amaranth.lib.wiring import Component
from amaranth.sim import Simulator


def simulate(component: Component, process: Callable[[Any], Awaitable[None]]) -> None:
    """Run `process(ctx)` beside the component, clocked; it steps with `await ctx.tick()`."""
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()
