"""The vote of the members over integer logits: docs/arithmetic.md, section 11."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.network import Member, Network

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Ballot:
    """Contributions [members, sentences, classes], totals [sentences, classes], and the outcome for each sentence."""

    contributions: I64
    totals: I64
    predictions: I64
    members_run: I64


def count_votes(network: Network, logits: I64) -> Ballot:
    """Return the vote on logits [members, sentences, classes]."""
    sentences, vote = logits.shape[1], network.vote
    if vote is None:
        nothing = np.full(sentences, -1, np.int64)
        return Ballot(logits, np.zeros((sentences, 0), np.int64), nothing, np.zeros(sentences, np.int64))
    pairs = zip(network.members, logits, strict=True)
    contributions = np.stack([_contribution(member, vote, own) for member, own in pairs])
    totals = contributions.sum(0)
    if vote == "mean":
        return Ballot(contributions, totals, totals[:, 0], np.full(sentences, len(logits), np.int64))
    swings = [2 * member.bound if vote == "soft" else member.multiplier for member in network.members]
    return Ballot(contributions, totals, totals.argmax(1), _members_run(contributions, swings))


def _contribution(member: Member, vote: str, logits: I64) -> I64:
    if vote == "hard":
        own = logits.argmax(1)[:, None] == np.arange(logits.shape[1])
        return own * np.int64(member.multiplier)
    half = 1 << member.shift >> 1
    scaled = (logits * np.int64(member.multiplier) + half) >> member.shift
    return scaled if vote == "mean" else scaled.clip(-member.bound, member.bound)


def _members_run(contributions: I64, swings: Sequence[int]) -> I64:
    """Return how many members run before the rest, which may move two totals by their swings, can change no class."""
    count, sentences, classes = contributions.shape
    run = np.zeros(sentences, np.int64)
    for done in range(count, 0, -1):
        totals, rest = contributions[:done].sum(0), sum(swings[done:])
        leader = totals.argmax(1)[:, None]
        lead = np.take_along_axis(totals, leader, 1) - totals
        # A class before the leader would win a tie.
        safe = np.where(np.arange(classes) < leader, lead > rest, lead >= rest)
        safe |= np.arange(classes) == leader
        run[safe.all(1)] = done
    return run
