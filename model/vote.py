"""The members of a network and how they vote, as far as it is data: nothing is computed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from model.checks import NetworkError, nearest, refuse, require, require_choice, require_integer, require_keys, show
from model.fields import Integer, Record, attributes
from model.values import Value

VOTES = ("soft", "hard", "mean")
MAX_MEMBERS = 64
MAX_LABEL = 100


@dataclass(frozen=True, eq=False)
class Member(Record):
    """One voter: its logits are the value `output`; multiplier, shift and bound make its contribution of them."""

    output: str
    multiplier: Annotated[int, Integer(0, 65535)]
    shift: Annotated[int, Integer(0, 31)] = 0
    bound: Annotated[int, Integer(1, 1 << 30)] = 1


def member_entry(member: Member) -> dict[str, Any]:
    """Return a member as it stands in the manifest."""
    own = {name: getattr(member, name) for name in attributes(Member)}
    return {"name": member.name, "output": member.output, **own}


def read_members(entries: Any) -> tuple[Member, ...]:
    """Return the members of a manifest."""
    require(isinstance(entries, list), "members", "a list of members", entries)
    keys = ("name", "output", *attributes(Member))
    members = []
    for index, entry in enumerate(entries):
        require_keys(f"members[{index}]", entry, keys)
        try:
            members.append(Member(**entry))
        except NetworkError as error:
            raise NetworkError(f"members[{index}]: {error}") from None
    return tuple(members)


def check_vote(vote: str | None, members: Sequence[Member], values: Mapping[str, Value], fraction: int) -> None:
    """Check that the members can vote this way: each gives logits of the same classes."""
    if not members:
        require(vote is None, "vote", "None without members", vote)
    else:
        require_choice("vote", vote, VOTES)
        _check_members(members, values, vote == "mean")
    require_integer("fraction", fraction, 0, 31 if vote == "mean" else 0)


def check_labels(labels: Any, classes: int) -> tuple[str, ...]:
    """Return the names of the classes, all of them or none."""
    require(isinstance(labels, (tuple, list)), "labels", "a list of texts", labels)
    require(len(labels) in (0, classes), "labels", f"one for each of {classes} classes, or none", len(labels))
    for index, label in enumerate(labels):
        legal = isinstance(label, str) and 0 < len(label) <= MAX_LABEL and label.isprintable()
        require(legal, f"labels[{index}]", f"a text of 1 to {MAX_LABEL} printable characters", label)
    twice = [label for label, count in Counter(labels).items() if count > 1]
    require(not twice, "labels", "different", twice[0] if twice else None)
    return tuple(labels)


def _check_members(members: Sequence[Member], values: Mapping[str, Value], mean: bool) -> None:
    require(len(members) <= MAX_MEMBERS, "members", f"at most {MAX_MEMBERS}", len(members))
    twice = [name for name, count in Counter(member.name for member in members).items() if count > 1]
    require(not twice, "members", "of different names", twice[0] if twice else None)
    logits = [name for name, value in values.items() if value.kind == "logits"]
    for member in members:
        if member.output not in logits:
            refuse(f"{member.name}.output", "the name of logits", show(member.output), nearest(member.output, logits))
    classes = [values[member.output].channels for member in members]
    for member, count in zip(members, classes, strict=True):
        expected = f"of as many classes as {members[0].name} has, {classes[0]}"
        require(count == classes[0], f"{member.name}.output", expected, count)
    legal = classes[0] == 1 if mean else classes[0] > 1
    expected = "1 class" if mean else "2 or more classes"
    require(legal, f"{members[0].name}.output", f"of {expected} with this vote", classes[0])
