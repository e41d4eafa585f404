"""Another vote for a network that is there: other bounds, another order, fewer members; its operations stay."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model.checks import NetworkError, refuse, require
from model.data.wordpiece import Encoded
from model.integer import IntegerNetwork
from model.lowering.ensemble import MEAN_FRACTION
from model.network import Network
from model.voting import Vote, calibrate, contributions, order_members, swings

MULTIPLIER_BITS = {"soft": 8, "hard": 8, "mean": 16}
_AT_ONCE = 256
_FRACTIONS = 32
_FRACTION = re.compile(r"-?[0-9]{1,2}")


@dataclass(frozen=True)
class VoteOptions:
    """What a vote is to be like; without a `vote`, the kind that the network has.

    `share` is how many of the calibration sentences, from 0 to below 1, may get another class so that members can be
    left out earlier; `order` puts the members in the order of the earliest exit; `members` keeps the first ones.
    """

    vote: Vote | None = None
    share: float = 0.0
    order: bool = False
    members: int | None = None


def revote(network: Network, weights: Sequence[float], sentences: Encoded, options: VoteOptions) -> Network:
    """Return a network of the same members with another vote, calibrated on some sentences.

    `weights` are those of the members; the fractions of their logits stand in the network's provenance.
    """
    count = len(network.members) if options.members is None else options.members
    require(1 <= count <= len(network.members), "members", f"from 1 to {len(network.members)}", options.members)
    fractions = _fractions(network)
    vote = options.vote or cast(Vote, network.vote)
    mean = network.vote == "mean"
    expected = "mean for a regression, and soft or hard for classes"
    require((vote == "mean") == mean, "vote", expected, vote)
    kept, own = list(network.members[:count]), list(weights[:count])
    logits = _logits(network, sentences)[:count]
    fraction = MEAN_FRACTION if vote == "mean" else 0
    try:
        ballots = calibrate(
            logits,
            own,
            MULTIPLIER_BITS[vote],
            vote=vote,
            fractions=fractions[:count],
            fraction=fraction,
            share=options.share,
        )
    except ValueError as error:
        raise NetworkError(f"network: {error}") from None
    order = tuple(range(count))
    if options.order and vote != "mean":
        order = order_members(contributions(logits, ballots, vote), swings(ballots, vote))
    members = [
        dataclasses.replace(kept[i], multiplier=ballots[i].multiplier, shift=ballots[i].shift, bound=ballots[i].bound)
        for i in order
    ]
    needed = {operation.name for member in members for operation in network.member_operations(member.name)}
    known = {**network.provenance, "logit_fractions": " ".join(str(fractions[i]) for i in order)}
    return dataclasses.replace(
        network,
        operations=tuple(operation for operation in network.operations if operation.name in needed),
        members=tuple(members),
        vote=vote,
        fraction=fraction,
        provenance=known,
    )


def _fractions(network: Network) -> list[int]:
    """Return the fraction of each member's logits, which the network's file states in a text that may be any."""
    key, count = "logit_fractions", len(network.members)
    if key not in network.provenance:
        refuse("network", "of an export, which states its logits", f"one without provenance.{key}")
    parts = network.provenance[key].split(" ")
    legal = len(parts) == count and all(_FRACTION.fullmatch(part) and abs(int(part)) < _FRACTIONS for part in parts)
    expected = f"{count} integers between {-_FRACTIONS} and {_FRACTIONS}, one for each member"
    require(legal, f"provenance.{key}", expected, network.provenance[key])
    return [int(part) for part in parts]


def _logits(network: Network, sentences: Encoded) -> NDArray[np.int64]:
    runner, parts = IntegerNetwork(network), []
    for start in range(0, len(sentences), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        parts.append(runner.run(sentences.ids[part], sentences.types[part]).logits)
    return np.concatenate(parts, axis=1)
