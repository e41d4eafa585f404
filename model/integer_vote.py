"""The vote of a network's members over integer logits: docs/arithmetic.md, section 11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model.network import Network
from model.voting import Vote, VoteScale, contributions, exact_exit, swings

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Ballot:
    """Contributions [members, sentences, classes], totals [sentences, classes], and the outcome for each sentence."""

    contributions: I64
    totals: I64
    predictions: I64
    members_run: I64


def count_votes(network: Network, logits: I64) -> Ballot:
    """Return the vote on logits [members, sentences, classes]; without a vote every prediction is -1."""
    sentences = logits.shape[1]
    if network.vote is None:
        nothing = np.full(sentences, -1, np.int64)
        return Ballot(logits, np.zeros((sentences, 0), np.int64), nothing, np.zeros(sentences, np.int64))
    vote = cast(Vote, network.vote)
    scales = [VoteScale(member.multiplier, member.shift, member.bound) for member in network.members]
    votes = contributions(logits, scales, vote)
    totals = votes.sum(0)
    if vote == "mean":
        return Ballot(votes, totals, totals[:, 0], np.full(sentences, len(logits), np.int64))
    return Ballot(votes, totals, totals.argmax(1), exact_exit(votes, swings(scales, vote)))
