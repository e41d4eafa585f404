"""Registers in a row: a value some cycles later."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, ValueLike


def delayed(
    m: Module, value: ValueLike, name: str, *, cycles: int = 1, enable: Value | None = None, reset_less: bool = True
) -> Signal:
    """Return what a value was `cycles` (at least 1) cycles ago, or cycles with `enable`: without it the registers hold.

    The signal has the shape of the value. With `reset_less` a reset leaves it alone, else it makes it 0.
    """
    for _ in range(cycles):
        held = Signal(Value.cast(value).shape(), name=name, reset_less=reset_less)
        if enable is None:
            m.d.sync += held.eq(value)
        else:
            with m.If(enable):
                m.d.sync += held.eq(value)
        value = held
    return value
