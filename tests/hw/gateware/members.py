"""Members of a vote in integers: logits, shares, totals, who leads: docs/arithmetic.md, 11."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hw.isa import Vote
from tests.hw.gateware.rows import round_shift, saturated

Operands = dict[str, int]


def logit_of(products: list[int], bias: int, shift: int) -> int:
    return saturated(round_shift(sum(products) + bias, shift), 32)


def shares_of(logits: list[int], member: Operands) -> list[int]:
    """Return what a member adds to the total of each class."""
    if member["vote"] == Vote.HARD:
        own = max(range(len(logits)), key=lambda k: (logits[k], -k))
        return [member["multiplier"] * (k == own) for k in range(len(logits))]
    shares = [round_shift(logit * member["multiplier"], member["shift"]) for logit in logits]
    bound = member["bound"]
    return [min(max(s, -bound), bound) for s in shares] if member["vote"] == Vote.SOFT else shares


@dataclass
class Poll:
    """The state behind a member."""

    totals: list[int] = field(default_factory=list)
    members: int = 0
    leader: int = 0
    decided: bool = False

    def add(self, logits: list[int], member: Operands) -> None:
        if member["first"] or not self.members:
            self.totals, self.members = [0] * len(logits), 0
        shares = shares_of(logits, member)
        self.totals = [total + share for total, share in zip(self.totals, shares, strict=True)]
        self.members += 1
        self.leader = max(range(len(logits)), key=lambda k: (self.totals[k], -k))
        lead, swing = self.totals[self.leader], member["swing"]
        rest = [(k, lead - total) for k, total in enumerate(self.totals) if k != self.leader]
        self.decided = all(gap >= swing if k > self.leader else gap > swing for k, gap in rest)
        self.decided &= member["vote"] != Vote.MEAN

    def words(self, logits: list[int]) -> list[int]:
        """Return the words of the member: its logits, the totals, the outcome."""
        return [n % (1 << 32) for n in logits] + [t % (1 << 64) for t in self.totals] + [self.outcome()]

    def outcome(self) -> int:
        return self.leader | self.decided << 16

    def total(self) -> int:
        return self.totals[self.leader] % (1 << 64) if self.totals else 0


def any_logit(random: Random) -> int:
    ends = [-(1 << 31), (1 << 31) - 1]
    return random.choice([*ends, 0, random.randint(-3, 3), random.randint(-999, 999), random.randint(*ends)])


def any_member(random: Random, vote: Vote) -> Operands:
    """Return the operands of the vote, but for first and swing."""
    bound = random.choice([1, 5, 1 << 30, random.randint(1, 1 << 30)])
    multiplier = random.choice([0, 1, 65535, random.getrandbits(16)])
    return {
        "vote": vote,
        "multiplier": multiplier,
        "bound": bound,
        "shift": random.choice([0, 1, 31, random.randrange(32)]),
    }
