"""The export: trained members become one network of integers that vote."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple, Required, TypedDict, Unpack, cast

import numpy as np
import torch
from numpy.typing import NDArray

from model.checks import require
from model.fields import INPUT
from model.integer import IntegerNetwork
from model.lowering.builder import Builder
from model.lowering.calibrate import Calibration, measure
from model.lowering.checks import check_member, check_names, check_vote, check_weights
from model.lowering.embedding import lower_embedding, same_embedding
from model.lowering.member import lower_member, plan_member
from model.lowering.report import (
    CodesEntry,
    ExponentialsEntry,
    ExportReport,
    FormatEntry,
    LogitsEntry,
    TableEntry,
)
from model.member import Member
from model.network import Member as Voter
from model.network import Network
from model.values import FIXED_HIGH, FIXED_LOW
from model.vote import check_labels
from model.voting import Vote, calibrate

MEAN_FRACTION = 16
_MULTIPLIER_BITS = {"soft": 8, "hard": 8, "mean": 16}
_SENTENCES_AT_ONCE = 32


class Export(NamedTuple):
    """An exported network, and what the export says about it."""

    network: Network
    report: ExportReport


class Options(TypedDict, total=False):
    """How members are exported; what each means stands at `lower_ensemble`."""

    calibration: Required[Calibration]
    member_weights: Sequence[float] | None
    vote: Vote | None
    labels: Sequence[str]
    tokenizer: bytes | None
    names: Sequence[str] | None
    provenance: Mapping[str, str] | None


def export_member(member: Member, **options: Unpack[Options]) -> Network:
    """Return the network of one member."""
    return export_ensemble([member], **options)


def export_ensemble(members: Sequence[Member], **options: Unpack[Options]) -> Network:
    """Return the network of trained members."""
    return lower_ensemble(members, **options).network


def lower_ensemble(
    members: Sequence[Member],
    *,
    calibration: Calibration,
    member_weights: Sequence[float] | None = None,
    vote: Vote | None = None,
    labels: Sequence[str] = (),
    tokenizer: bytes | None = None,
    names: Sequence[str] | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Export:
    """Return the network of trained members, and the report.

    `vote` is soft (or mean, for members of one logit) unless given; all members have the same weight unless given.
    Equal embeddings appear once. Every fold is proved. The same members and calibration give the same bytes, whatever
    the number of threads. The members are not changed.
    """
    chosen = check_names(names, len(members))
    _check_members(chosen, members)
    rows = min(member.shape.positions for member in members)
    for member in members:
        calibration.check(rows, member.shape.vocabulary, member.shape.types)
    classes = members[0].shape.classes
    vote, weights = check_vote(vote, classes), check_weights(member_weights, len(members))
    check_labels(labels, classes)
    with _one_thread(), _evaluating(members) as ready:
        builder = Builder(rows)
        logits = _lower_members(builder, chosen, ready, calibration)
        fractions = " ".join(str(entry.fraction) for entry in logits)
        draft = Network(
            operations=tuple(builder.operations),
            input=builder.values[INPUT],
            members=tuple(Voter(name, entry.name, 1) for name, entry in zip(chosen, logits, strict=True)),
            vote=vote,
            labels=tuple(labels),
            tokenizer=tokenizer,
            fraction=MEAN_FRACTION if vote == "mean" else 0,
            provenance={**(provenance or {}), "logit_fractions": fractions},
        )
        results, saturations = _run(draft, calibration)
    network = _elect(draft, results, weights, [entry.fraction for entry in logits])
    return Export(network, _report(builder, network, saturations))


def _check_members(names: Sequence[str], members: Sequence[Member]) -> None:
    require(len(members) > 0, "members", "one or more", members)
    for name, member in zip(names, members, strict=True):
        check_member(name, member)
        found, expected = member.shape.classes, members[0].shape.classes
        require(found == expected, f"{name}: classes", f"{expected} as of {names[0]}", found)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch add up in one order: over several threads the order depends on their number."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


@contextmanager
def _evaluating(members: Sequence[Member]) -> Iterator[list[Member]]:
    """Give the members in evaluation mode and on the CPU; afterwards they are as they were."""
    modes = [(module, module.training) for member in members for module in member.modules()]
    try:
        for member in members:
            member.eval()
        yield [member if member.classifier.weight.is_cpu else copy.deepcopy(member).cpu() for member in members]
    finally:
        for module, training in modes:
            module.training = training


def _lower_members(
    builder: Builder, names: Sequence[str], members: Sequence[Member], calibration: Calibration
) -> list[LogitsEntry]:
    """Add all members; those with one embedding read one value."""
    headroom = calibration.headroom
    ranges = [measure(name, member, calibration) for name, member in zip(names, members, strict=True)]
    triples = zip(names, members, ranges, strict=True)
    plans = [plan_member(name, member, own, headroom) for name, member, own in triples]
    leaders = _embedding_leaders(members)
    embedded, logits = dict[int, str](), []
    for index, leader in enumerate(leaders):
        fraction = min(plan.fraction for plan, other in zip(plans, leaders, strict=True) if other == leader)
        if leader == index:
            embedded[leader] = lower_embedding(builder, f"{names[index]}.embedding", members[index].embedding, fraction)
        plan, x = plans[index].starting_at(fraction), embedded[leader]
        logits.append(lower_member(builder, names[index], members[index], plan, x, ranges[index], headroom))
    return logits


def _embedding_leaders(members: Sequence[Member]) -> list[int]:
    """Return, for each member, the first one that has the same embedding."""
    return [
        next(index for index, other in enumerate(members) if same_embedding(other.embedding, member.embedding))
        for member in members
    ]


def _run(network: Network, calibration: Calibration) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Return the logits on the calibration sentences, and how often each fixed value was at a limit of 16 bits."""
    runner, logits = IntegerNetwork(network), []
    fixed = [name for name, value in network.values.items() if value.kind == "fixed"]
    counts = dict.fromkeys(fixed, 0)
    for start in range(0, len(calibration.sentences), _SENTENCES_AT_ONCE):
        part = slice(start, start + _SENTENCES_AT_ONCE)
        types = None if calibration.types is None else [np.array(own) for own in calibration.types[part]]
        result = runner.run([np.array(ids) for ids in calibration.sentences[part]], types, keep="all")
        logits.append(result.logits)
        for values in result.values:
            for name in fixed:
                counts[name] += int(((values[name] == FIXED_LOW) | (values[name] == FIXED_HIGH)).sum())
    return np.concatenate(logits, axis=1), {name: count for name, count in counts.items() if count}


def _elect(draft: Network, logits: NDArray[np.int64], weights: Sequence[float], fractions: Sequence[int]) -> Network:
    """Return the network with the members' multipliers, shifts and bounds, calibrated on their logits."""
    vote = cast(Vote, draft.vote)
    ballots = calibrate(
        logits, weights, _MULTIPLIER_BITS[vote], vote=vote, fractions=list(fractions), fraction=draft.fraction
    )
    voters = [
        replace(voter, multiplier=ballot.multiplier, shift=ballot.shift, bound=ballot.bound)
        for voter, ballot in zip(draft.members, ballots, strict=True)
    ]
    return replace(draft, members=tuple(voters))


def _report(builder: Builder, network: Network, saturations: Mapping[str, int]) -> ExportReport:
    return ExportReport(
        codes=builder.noted(CodesEntry),
        formats=builder.noted(FormatEntry),
        tables=builder.noted(TableEntry),
        exponentials=builder.noted(ExponentialsEntry),
        logits=builder.noted(LogitsEntry),
        saturations=saturations,
        size_bits=network.size_bits(),
    )
