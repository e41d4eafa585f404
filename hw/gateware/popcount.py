"""Balanced adder trees over bits, with pipeline registers spread over their levels."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, ValueLike


def named(m: Module, value: ValueLike, name: str) -> Signal:
    """Return a signal of that value: Amaranth emits an expression again for each of its slices, a signal once."""
    signal = Signal(len(Value.cast(value)), name=name)
    m.d.comb += signal.eq(value)
    return signal


def fold32(m: Module, value: ValueLike) -> Value:
    """Return the XOR of the consecutive 32-bit pieces of a value, as a balanced tree."""
    bits = named(m, value, "folded")
    pieces: list[Value] = [bits[start : start + 32] for start in range(0, len(bits), 32)]
    while len(pieces) > 1:
        pairs = [left ^ right for left, right in zip(pieces[::2], pieces[1::2], strict=False)]
        pieces = pairs + pieces[len(pairs) * 2 :]
    return pieces[0]


def balanced_sum(terms: list[Value]) -> Value:
    """Return the sum of the terms, by a balanced tree of adders."""
    while len(terms) > 1:
        pairs: list[Value] = [left + right for left, right in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
    return terms[0]


def register_levels(width: int, registers: int) -> set[int]:
    """Return after which levels registers stand: level 0 is the product, level i the i-th adder level."""
    levels = (width - 1).bit_length()
    if not 0 <= registers <= levels + 1:
        raise ValueError(f"registers must be from 0 to {levels + 1} for {width} bits, not {registers}")
    return {(index + 1) * (levels + 2) // (registers + 1) - 1 for index in range(registers)}


def popcount(m: Module, bits: Value, *, registers: int, enable: Value) -> Value:
    """Return the number of ones of `bits`, `registers` cycles with `enable` later.

    Throughput is one count per cycle with `enable`; without it every register holds.
    """
    stages = register_levels(len(bits), registers)
    counted = named(m, bits, "counted")
    terms: list[Value] = [counted[index] for index in range(len(bits))]
    level = 0
    while True:
        if level in stages:
            terms = _register(m, terms, enable, level)
        if len(terms) == 1:
            return terms[0]
        pairs: list[Value] = [left + right for left, right in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
        level += 1


def _register(m: Module, terms: list[Value], enable: Value, level: int) -> list[Value]:
    held = Signal(sum(len(term) for term in terms), name=f"level{level}", reset_less=True)
    with m.If(enable):
        m.d.sync += held.eq(Cat(*terms))
    result, offset = [], 0
    for term in terms:
        result.append(held[offset : offset + len(term)])
        offset += len(term)
    return result
