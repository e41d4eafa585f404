"""The functions of TABLEs in integers: docs/arithmetic.md, 10, and their pieces: docs/machine-network.md, 2."""

from __future__ import annotations

from random import Random

from tests.hw.gateware.rows import round_shift
from tests.hw.gateware.vectors import Scale, Tables

PIECES = 256
SHIFTS = range(9)

_ENDS = (-32768, -32767, -1, 0, 1, 32766, 32767)


def any_curve(random: Random) -> list[int]:
    """Return a function whose pieces are flat, of one step, odd, even, and from one end of 16 bits to the other."""
    curve = [random.choice(_ENDS)]
    while len(curve) <= PIECES:
        near = min(max(curve[-1] + random.randint(-3, 3), -32768), 32767)
        curve.append(random.choice([*_ENDS, near, random.randint(-32768, 32767)]))
    first = random.choice([0, PIECES - 3, random.randrange(PIECES - 3)])
    curve[first : first + 4] = [-32768, 32767, -32768, -32768]
    return curve


def beside_the_clamp(shift: int, random: Random) -> int:
    """Return a number of 16 bits at an end of a function, or one or two beside it."""
    end = random.choice([-128, 128]) << shift
    return min(max(end + random.randint(-2, 2), -32768), 32767)


def rises(curve: list[int]) -> set[int]:
    """Return by how much the pieces of a function rise."""
    return {after - before for before, after in zip(curve, curve[1:], strict=False)}


def tabled(curve: list[int], number: int, shift: int) -> int:
    """Return the number that a function has there."""
    clamped = min(max(number, -128 << shift), (128 << shift) - 1)
    piece, rest = (clamped >> shift) + 128, clamped - (clamped >> shift << shift)
    return curve[piece] + round_shift((curve[piece + 1] - curve[piece]) * rest, shift)


def piece_of(curve: list[int], number: int, shift: int) -> Scale:
    """Return the entry of a piece; the bits that nobody names are not 0."""
    rise = curve[number + 1] - curve[number]
    return Scale(rise // 2, curve[number] << shift, 0xABCC | rise % 2)


def lines_of(curve: list[int], shift: int, lanes: int) -> list[list[Scale]]:
    """Return the lines of all pieces; what is behind them in the last one is never looked at."""
    entries = [piece_of(curve, number, shift) for number in range(PIECES)]
    return [entries[first : first + lanes] for first in range(0, PIECES, lanes)]


def put_curves(tables: Tables, curves: dict[int, list[int]], lanes: int) -> None:
    """Put functions behind the scales, one by its shift."""
    for shift, curve in curves.items():
        tables.curves[shift, len(tables.scales)] = curve
        tables.scales += lines_of(curve, shift, lanes)
