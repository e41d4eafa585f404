"""What members say together: votes on float logits, the integer votes of a network, and its exact early exit.

Axes: N members, B examples, C classes. Of equals the lowest class leads. The integer half follows docs/arithmetic.md,
section 11; its results are those of the hardware.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.checks import show

VOTES = ("soft", "hard", "mean")
MAX_SHIFT = 31
MAX_MULTIPLIER = 65535
MAX_BOUND = 1 << 30
# Up to so many members the best order is found by trying every set of members; beyond, one member after the other.
EXHAUSTIVE = 10
_QUANTILES = 101

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Vote = Literal["soft", "hard", "mean"]


class VoteScale(NamedTuple):
    """How a member's integer logits become its contribution: round_shift(logit * multiplier, shift), within bound."""

    multiplier: int
    shift: int
    bound: int


def soft_vote(logits: ArrayLike, weights: ArrayLike, *, probabilities: bool = False) -> Integers:
    """Return the classes [B] with the largest weighted sum of log-probabilities, or of probabilities.

    Log-probabilities give the class that the weighted sum of the logits themselves gives.
    """
    return prefix_votes(logits, weights, "soft", probabilities=probabilities)[-1]


def hard_vote(logits: ArrayLike, weights: ArrayLike) -> Integers:
    """Return the classes [B] for which members of the largest weight in all vote, each for its own class.

    With two members this is always the class of the member with the larger weight: an ensemble of two gains only by a
    soft vote.
    """
    return prefix_votes(logits, weights, "hard")[-1]


def mean_vote(logits: ArrayLike, weights: ArrayLike) -> Floats:
    """Return the weighted means [B] of logits [N, B, 1]: regression."""
    return prefix_means(logits, weights)[-1]


def prefix_votes(
    logits: ArrayLike, weights: ArrayLike, vote: Literal["soft", "hard"] = "soft", *, probabilities: bool = False
) -> Integers:
    """Return the classes [N, B] of the first 1, 2, ... N members, all from one set of logits [N, B, C]."""
    votes = _check_logits(logits, 2)
    own = _check_weights(weights, len(votes))
    if vote == "hard":
        votes = _one_hot(votes)
    elif vote == "soft":
        votes = log_softmax(votes)
        votes = np.exp(votes) if probabilities else votes
    else:
        raise TypeError(f"vote must be soft or hard, not {show(vote)}; prefix_means is for regression")
    return np.cumsum(own[:, None, None] * votes, axis=0).argmax(-1)


def prefix_means(logits: ArrayLike, weights: ArrayLike) -> Floats:
    """Return the weighted means [N, B] of the first 1, 2, ... N members' logits [N, B, 1]."""
    votes = _check_logits(logits, 1)
    if votes.shape[2] != 1:
        raise ValueError(f"logits must have one value for each example in regression, not {votes.shape[2]}")
    own = _check_weights(weights, len(votes))
    return np.cumsum(own[:, None] * votes[:, :, 0], axis=0) / np.cumsum(own)[:, None]


def log_softmax(logits: Floats) -> Floats:
    """Return the log-probabilities of logits, over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def calibrate(
    logits: ArrayLike,
    weights: ArrayLike,
    bits: int = 8,
    *,
    vote: Vote = "soft",
    fractions: Sequence[int] | None = None,
    fraction: int = 0,
    share: float = 0.0,
    width: int = 16,
) -> list[VoteScale]:
    """Return each member's scale for the vote, from integer logits [N, B, C] of calibration examples.

    Multipliers have at most `bits` bits. A logit of member i stands for logit / 2^fractions[i] (0 unless given).

    Soft: contributions share one scale, on which the largest of the calibration takes at most `width` bits. Bounds are
    one percentile of each member's largest contributions. Of the percentiles at which the class of at most `share` of
    the examples is not that of a vote without bounds, it is the one with the earliest exit.
    Hard: multipliers are the weights. Mean: the total stands for total / 2^fraction.
    """
    integers = _check_integers("logits", logits)
    own = _check_weights(weights, len(integers))
    _check_range("bits", bits, 1, 16)
    _check_range("width", width, 2, 31)
    if not 0 <= share < 1:
        raise ValueError(f"share must be from 0 to below 1, not {share!r}")
    places = np.array([0] * len(integers) if fractions is None else fractions)
    if places.shape != own.shape or places.dtype.kind != "i":
        raise ValueError(f"fractions must be {len(own)} integers, one for each member, not {show(fractions)}")
    if vote == "hard":
        return [VoteScale(round(weight / own.max() * (2**bits - 1)), 0, 1) for weight in own.tolist()]
    if vote == "mean":
        return [VoteScale(*_scale(r, bits), 1) for r in (own / own.sum() * 2.0 ** (fraction - places)).tolist()]
    if vote != "soft":
        raise TypeError(f"vote must be one of {', '.join(VOTES)}, not {show(vote)}")
    scales = _common_scales(integers, own / own.max() * 2.0**-places, bits, width)
    return _bounded(integers, [_scale(scale, bits) for scale in scales], share)


def contributions(logits: ArrayLike, scales: Sequence[VoteScale], vote: Vote = "soft") -> Integers:
    """Return what each member adds to the totals [N, B, C] for integer logits [N, B, C]."""
    integers = _check_integers("logits", logits)
    if len(scales) != len(integers):
        raise ValueError(f"scales must be one for each of {len(integers)} members, not {len(scales)}")
    multiplier, shift, bound = (np.array(part, np.int64)[:, None, None] for part in zip(*scales, strict=True))
    if vote == "hard":
        return multiplier * _one_hot(integers)
    rounded = (integers * multiplier + (1 << shift >> 1)) >> shift
    return rounded if vote == "mean" else np.clip(rounded, -bound, bound)


def integer_vote(logits: ArrayLike, scales: Sequence[VoteScale], vote: Vote = "soft") -> Integers:
    """Return the network's classes [B]; for a mean the totals [B]."""
    totals = contributions(logits, scales, vote).sum(0)
    return totals[:, 0] if vote == "mean" else totals.argmax(-1)


def swings(scales: Sequence[VoteScale], vote: Literal["soft", "hard"] = "soft") -> Integers:
    """Return how far each member can move two totals against each other [N]."""
    return np.array([scale.multiplier if vote == "hard" else 2 * scale.bound for scale in scales], np.int64)


def exact_exit(votes: ArrayLike, swing: ArrayLike) -> Integers:
    """Return after how many members [B], in their order, no vote that remains can change the class.

    `votes` are contributions [N, B, C] and `swing` [N] is how far each can move two totals against each other.
    """
    integers, reach = _check_votes(votes, swing)
    remaining = reach.sum() - np.cumsum(reach)
    decided = _decided(np.cumsum(integers, axis=0), remaining[:, None, None])
    return decided.argmax(0) + 1


def expected_members(votes: ArrayLike, swing: ArrayLike) -> float:
    """Return the mean of `exact_exit` over the examples."""
    return float(exact_exit(votes, swing).mean())


def order_members(votes: ArrayLike, swing: ArrayLike) -> tuple[int, ...]:
    """Return an order of the members that lowers their expected number on these calibration examples.

    The best order for up to `EXHAUSTIVE` members. Beyond, the member that leaves the fewest examples undecided comes
    next, unless that is no better than the given order. The class of a vote does not depend on the order.
    """
    integers, reach = _check_votes(votes, swing)
    if len(reach) <= EXHAUSTIVE:
        return _best_order(integers, reach)
    order, given = _greedy_order(integers, reach), tuple(range(len(reach)))
    return min(given, order, key=lambda o: expected_members(integers[list(o)], reach[list(o)]))


def _best_order(votes: Integers, reach: Integers) -> tuple[int, ...]:
    # Members run = 1 + the number of proper prefixes that leave the class open, and whether a prefix does depends on
    # its members only, not on their order: so the best order is a shortest path over sets, counted in open examples.
    count, everyone = len(reach), (1 << len(reach)) - 1
    cost, step = {everyone: 0}, dict[int, int]()
    for members in range(everyone - 1, -1, -1):
        here = _open(votes, reach, [i for i in range(count) if members >> i & 1]) if members else 0
        ways = [(cost[members | 1 << i], i) for i in range(count) if not members >> i & 1]
        best, step[members] = min(ways)
        cost[members] = here + best
    order, members = [], 0
    while members != everyone:
        order.append(step[members])
        members |= 1 << step[members]
    return tuple(order)


def _greedy_order(votes: Integers, reach: Integers) -> tuple[int, ...]:
    order: list[int] = []
    while len(order) < len(reach):
        left = [i for i in range(len(reach)) if i not in order]
        order.append(min(left, key=lambda i: (_open(votes, reach, [*order, i]), -_lead(votes, [*order, i]), i)))
    return tuple(order)


def _open(votes: Integers, reach: Integers, members: list[int]) -> int:
    """Return how many examples are undecided after these members."""
    remaining = reach.sum() - reach[members].sum()
    return int((~_decided(votes[members].sum(0), remaining)).sum())


def _lead(votes: Integers, members: list[int]) -> int:
    """Return by how much the leading class leads after these members, summed over the examples."""
    best = np.sort(votes[members].sum(0), axis=-1)
    return int((best[:, -1] - best[:, -2]).sum())


def _decided(totals: Integers, remaining: Any) -> NDArray[np.bool_]:
    """Return where totals [..., C] are decided: a lower class must lead by `remaining`, a higher one by more."""
    leader = totals.argmax(-1)[..., None]
    lead = np.take_along_axis(totals, leader, -1) - totals
    classes = np.arange(totals.shape[-1])
    return ((lead >= remaining + (classes < leader)) | (classes == leader)).all(-1)


def _common_scales(logits: Integers, factors: Floats, bits: int, width: int) -> list[float]:
    """Return the scale of each member's logits: its factor times the power of two that fills `width` bits.

    There is room for what the rounding of a multiplier to `bits` bits, and of a contribution, may add.
    """
    largest = float((np.abs(logits).max(axis=(1, 2)) * factors).max()) * (1 + 2.0 ** (1 - bits))
    fill = (2 ** (width - 1) - 1.5) / largest if largest > 0 else 1.0
    room = (2**bits - 1) / factors.max()
    return (factors * 2.0 ** math.floor(math.log2(min(fill, room)))).tolist()


def _scale(scale: float, bits: int) -> tuple[int, int]:
    """Return the multiplier and the shift of a scale, to `bits` bits: scale = multiplier / 2^shift."""
    most = min(2**bits - 1, MAX_MULTIPLIER)
    for shift in range(MAX_SHIFT, -1, -1):
        multiplier = math.floor(scale * 2.0**shift + 0.5)
        if multiplier <= most:
            return multiplier, shift
    raise ValueError(f"fraction must be so small that a scale fits in {bits} bits, not give {scale:g}")


def _bounded(logits: Integers, scales: list[tuple[int, int]], share: float) -> list[VoteScale]:
    free = contributions(logits, [VoteScale(*scale, MAX_BOUND) for scale in scales])
    classes = free.sum(0).argmax(-1)
    peaks = np.abs(free).max(-1)  # [N, B]
    best, fewest = np.maximum(peaks.max(1), 1), math.inf
    for quantile in np.linspace(1, 0, _QUANTILES):
        bounds = np.maximum(np.quantile(peaks, quantile, axis=1, method="higher"), 1).astype(np.int64)
        votes = np.clip(free, -bounds[:, None, None], bounds[:, None, None])
        if (votes.sum(0).argmax(-1) != classes).mean() > share:
            continue
        expected = expected_members(votes, 2 * bounds)
        if expected < fewest:
            best, fewest = bounds, expected
    return [VoteScale(*scale, int(bound)) for scale, bound in zip(scales, best, strict=True)]


def _one_hot(logits: NDArray[Any]) -> NDArray[Any]:
    return (np.arange(logits.shape[-1]) == logits.argmax(-1)[..., None]).astype(logits.dtype)


def _check_logits(logits: ArrayLike, least: int) -> Floats:
    array = np.asarray(logits, np.float64)
    if array.ndim != 3 or 0 in array.shape or array.shape[2] < least:
        raise ValueError(f"logits must be [members, examples, {least} or more classes], not {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ValueError("logits must be finite, not NaN or infinite")
    return array


def _check_weights(weights: ArrayLike, count: int) -> Floats:
    array = np.asarray(weights, np.float64)
    if array.shape != (count,) or not np.isfinite(array).all() or not (array >= 0).all() or not array[0] > 0:
        hint = "; leave out members that were not accepted"
        raise ValueError(f"weights must be {count} of at least 0, the first above 0, not {show(array.tolist())}{hint}")
    return array


def _check_integers(name: str, values: ArrayLike) -> Integers:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != 3 or 0 in (array.shape[0], array.shape[2]):
        raise ValueError(f"{name} must be integers [members, examples, classes], not {array.dtype} {list(array.shape)}")
    return array.astype(np.int64)


def _check_votes(votes: ArrayLike, swing: ArrayLike) -> tuple[Integers, Integers]:
    integers, reach = _check_integers("votes", votes), np.asarray(swing)
    if integers.shape[2] < 2:
        raise ValueError("votes must be of 2 or more classes, not 1: a mean has no exit")
    if reach.shape != (len(integers),) or reach.dtype.kind not in "iu":
        raise ValueError(f"swing must be {len(integers)} integers, one for each member, not {show(reach.tolist())}")
    if (np.ptp(integers, axis=2) > reach[:, None]).any():
        raise ValueError("votes must differ between classes by at most the member's swing, not by more")
    return integers, reach.astype(np.int64)


def _check_range(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise TypeError(f"{name} must be an integer from {low} to {high}, not {show(value)}")
