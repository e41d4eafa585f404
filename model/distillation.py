"""What a student is trained towards: labels, and a teacher's logits, hidden states, attention scores and directions.

Each loss is a pure function that gives one number for each sentence, from its real tokens only: what a sentence gives
does not depend on how far its batch is padded, nor on the other sentences. The `Objective` weighs them.

Letters: B sentences, S tokens, H channels of the student and G of the teacher, A heads, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.checks import show
from model.member import MemberOutput

PARTS = ("label", "logits", "sentence", "hidden", "attention", "direction")
_TINY = 1e-12
LayerMap = tuple[tuple[int, int], ...]


class Teacher(Protocol):
    """The features of a teacher: empty tuples for what no loss asks for. Direction also reads `projections`."""

    @property
    def hidden(self) -> tuple[Tensor, ...]:
        """The embedding output, then each layer's [B, S, G]."""

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """Each layer's [B, A, S, S] before the softmax."""


class Projection(nn.Linear):
    """From the student's channels to the teacher's, without bias, where hidden states differ in width."""

    def __init__(self, student_hidden: int, teacher_hidden: int) -> None:
        super().__init__(student_hidden, teacher_hidden, bias=False)


def soft_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return [B]: T^2 * (soft cross-entropy at temperature T, less the teacher's entropy) of logits [B, C].

    The entropy is a constant to the student, so the gradient is that of the soft cross-entropy, while 0 means equality.
    Gradients at a temperature shrink with its square; T^2 keeps the balance with other losses. Classes are summed, not
    averaged.
    """
    own = functional.log_softmax(student / temperature, -1)
    target = functional.log_softmax(teacher / temperature, -1)
    return (target.exp() * (target - own)).sum(-1) * temperature**2


def logit_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Return [B]: the mean squared error of logits [B, C]; what regression learns from a teacher."""
    return (student - teacher).square().mean(-1)


def label_loss(logits: Tensor, labels: Tensor, *, regression: bool = False) -> Tensor:
    """Return [B]: cross-entropy, or squared error for regression; 0 where a label is below 0 (classes) or NaN."""
    if regression:
        known = ~labels.isnan()
        return torch.where(known, logits[:, 0] - torch.where(known, labels, 0.0), 0.0).square()
    losses = functional.cross_entropy(logits, labels.clamp(min=0), reduction="none")
    return torch.where(labels >= 0, losses, 0.0)


def sentence_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Return [B]: the mean squared error of sentence vectors [B, G]."""
    return (student - teacher).square().mean(-1)


def hidden_error(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Return [B]: the mean squared error of hidden states [B, S, H] over real tokens and channels."""
    difference = torch.where(mask[:, :, None], student - teacher, 0.0)
    return difference.square().sum((1, 2)) / (_tokens(mask) * student.shape[2])


def score_error(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Return [B]: the mean squared error of scores [B, A, S, S] over pairs of real tokens and heads.

    Where the numbers of heads differ, the means over heads are compared.
    """
    if student.shape[1] != teacher.shape[1]:
        student, teacher = student.mean(1, keepdim=True), teacher.mean(1, keepdim=True)
    pairs = mask[:, None, :, None] & mask[:, None, None, :]  # [B, 1, S, S]
    difference = torch.where(pairs, student - teacher, 0.0)
    return difference.square().sum((1, 2, 3)) / (_tokens(mask).square() * student.shape[1])


def similarity(x: Tensor, mask: Tensor) -> Tensor:
    """Return x x^T / sqrt(H) [B, S, S] of x [B, S, H], 0 where a token is not real."""
    real = torch.where(mask[:, :, None], x, 0.0)
    return real @ real.transpose(1, 2) / math.sqrt(x.shape[2])


def direction_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Return [B]: the distance of two matrices [B, ...] of each sentence, both scaled to norm 1 (BiBERT)."""
    return torch.linalg.vector_norm((_directed(student) - _directed(teacher)).flatten(1), dim=1)


def layer_map(student_layers: int, teacher_layers: int) -> LayerMap:
    """Return which hidden states are compared: embedding with embedding, layer i with the one at the same depth.

    Indices are those of `hidden`, where 0 is the embedding. Where the depths do not divide, the nearest layer counts.
    """
    for name, value in (("student_layers", student_layers), ("teacher_layers", teacher_layers)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise TypeError(f"{name} must be an integer of at least 1, not {show(value)}")
    if student_layers > teacher_layers:
        hint = "; give a layer map of your own"
        raise ValueError(f"student_layers must be at most {teacher_layers}, the teacher's, not {student_layers}{hint}")
    double = 2 * student_layers
    return tuple((i, (2 * i * teacher_layers + student_layers) // double) for i in range(student_layers + 1))


@dataclass(frozen=True)
class Objective:
    """The weights of the parts of a loss, the temperature of the logits, and the layers that are compared.

    `layers` are pairs of indices of hidden states, the student's and the teacher's; without it `layer_map` decides.
    Scores and projections of layer i belong to hidden state i + 1.
    """

    label: float = 0.0
    logits: float = 0.0
    sentence: float = 0.0
    hidden: float = 0.0
    attention: float = 0.0
    direction: float = 0.0
    temperature: float = 1.0
    layers: LayerMap | None = None

    def __post_init__(self) -> None:
        for name in PARTS:
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < math.inf:
                raise TypeError(f"{name} must be a finite number of at least 0, not {show(value)}")
        if not any(getattr(self, name) for name in PARTS):
            raise ValueError(f"one of {', '.join(PARTS)} must be above 0, not all of them 0")
        if not _is_number(self.temperature) or not 0 < self.temperature < math.inf:
            raise TypeError(f"temperature must be a finite number above 0, not {show(self.temperature)}")
        if self.layers is not None:
            object.__setattr__(self, "layers", _check_map(self.layers))

    def loss(
        self,
        student: MemberOutput,
        teacher: Teacher | None,
        teacher_logits: Tensor | None,
        labels: Tensor,
        mask: Tensor,
        sample_weights: Tensor | None = None,
        regression: bool = False,
        projection: nn.Module | None = None,
        vectors: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted sum, and as numbers the `total` and each part that has a weight, not yet weighted.

        Every part is the mean over the B sentences, each times its sample weight: a sentence without a label counts
        among the B. Hidden and attention errors are summed over the mapped layers; direction errors are averaged over
        hidden states, Q, K and V of all of them. `projection` takes the student's hidden states to the teacher's width.
        `vectors` are what the student and the teacher make of each sentence, of one width.
        """
        sentences = {}
        if self.label:
            sentences["label"] = label_loss(student.logits, labels, regression=regression)
        if self.logits:
            sentences["logits"] = self._logits(student.logits, teacher_logits, regression)
        if self.sentence:
            if vectors is None:
                raise ValueError("vectors must be given for the weight of sentence, not None")
            sentences["sentence"] = sentence_error(vectors[0], vectors[1].detach())
        if self.hidden or self.direction:
            states = list(self._hidden(student, _given(teacher), mask, projection))
        if self.hidden:
            sentences["hidden"] = _sum(hidden_error(own, given, mask) for own, given in states)
        if self.attention:
            sentences["attention"] = _sum(self._attention(student, _given(teacher), mask))
        if self.direction:
            errors = [*_directions(states, mask), *self._projections(student, _given(teacher), mask)]
            sentences["direction"] = _sum(errors) / len(errors)
        return self._total(sentences, sample_weights)

    def _total(self, sentences: dict[str, Tensor], sample_weights: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        each = torch.stack(list(sentences.values()))  # [parts, B]
        parts = (each if sample_weights is None else each * sample_weights).mean(1)
        total = torch.stack([getattr(self, name) * part for name, part in zip(sentences, parts, strict=True)]).sum()
        # One copy from the device for all of them.
        numbers = torch.cat((total[None], parts)).detach().tolist()
        return total, dict(zip(("total", *sentences), numbers, strict=True))

    def _logits(self, student: Tensor, teacher: Tensor | None, regression: bool) -> Tensor:
        if teacher is None:
            raise ValueError("teacher_logits must be given for the weight of logits, not None")
        if teacher.shape != student.shape:
            raise ValueError(f"teacher_logits must be {list(student.shape)}, not {list(teacher.shape)}")
        if regression:
            return logit_error(student, teacher.detach())
        return soft_divergence(student, teacher.detach(), self.temperature)

    def _attention(self, student: MemberOutput, teacher: Teacher, mask: Tensor) -> Iterable[Tensor]:
        scores = _require("scores", student, teacher, mask)
        for i, j in self._layers(len(student.scores), len(scores)):
            yield score_error(student.scores[i], scores[j].detach(), mask)

    def _hidden(
        self, student: MemberOutput, teacher: Teacher, mask: Tensor, projection: nn.Module | None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        hidden = _require("hidden", student, teacher, mask)
        for i, j in self._map(len(student.hidden) - 1, len(hidden) - 1):
            own, given = student.hidden[i], hidden[j].detach()
            own = own if projection is None else projection(own)
            if own.shape != given.shape:
                hint = "; give a Projection"
                raise ValueError(f"hidden states must be {given.shape[2]} wide, not {own.shape[2]}{hint}")
            yield own, given

    def _projections(self, student: MemberOutput, teacher: Teacher, mask: Tensor) -> Iterable[Tensor]:
        projections = _require("projections", student, teacher, mask)
        for i, j in self._layers(len(student.projections), len(projections)):
            for own, given in zip(student.projections[i], projections[j], strict=True):
                yield direction_error(similarity(own, mask), similarity(given.detach(), mask))

    def _map(self, own: int, given: int) -> LayerMap:
        pairs = layer_map(own, given) if self.layers is None else self.layers
        for i, j in pairs:
            if i > own or j > given:
                raise ValueError(f"layers must be at most {own} and {given}, the depths, not {i} and {j}")
        return pairs

    def _layers(self, own: int, given: int) -> LayerMap:
        pairs = tuple((i - 1, j - 1) for i, j in self._map(own, given) if i and j)
        if not pairs:
            raise ValueError("layers must map a layer to compare its attention, not the embedding alone")
        return pairs


def _directions(states: Iterable[tuple[Tensor, Tensor]], mask: Tensor) -> Iterable[Tensor]:
    padding = ~mask[:, :, None]
    for own, given in states:
        yield direction_error(own.masked_fill(padding, 0), given.masked_fill(padding, 0))


def _directed(x: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(x.flatten(1), dim=1).clamp(min=_TINY)
    return x / norm.reshape(-1, *[1] * (x.ndim - 1))


def _tokens(mask: Tensor) -> Tensor:
    return mask.sum(1).clamp(min=1)


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)


def _given(teacher: Teacher | None) -> Teacher:
    if teacher is None:
        raise ValueError("teacher must be given for the weights of hidden, attention and direction, not None")
    return teacher


def _require(name: str, student: MemberOutput, teacher: Teacher, mask: Tensor) -> tuple[Any, ...]:
    found: tuple[Any, ...] = getattr(teacher, name, ())
    if not found or not getattr(student, name):
        raise ValueError(f"{name} must be given by student and teacher, not be empty: this loss compares them")
    first = found[0][0] if name == "projections" else found[0]  # [B, A, S, S], or [B, S, G]
    sentences, tokens = first.shape[0], first.shape[-1 if name == "scores" else 1]
    if (sentences, tokens) != tuple(mask.shape):
        raise ValueError(f"teacher must read the student's tokens, {list(mask.shape)}, not {[sentences, tokens]}")
    return found


def _check_map(value: Any) -> LayerMap:
    pairs = tuple(tuple(pair) if isinstance(pair, (list, tuple)) else () for pair in value) if _is_list(value) else ()
    integers = all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for pair in pairs for i in pair)
    if not pairs or not integers or any(len(pair) != 2 for pair in pairs):
        raise TypeError(f"layers must be pairs of indices of hidden states, not {show(value)}")
    return tuple((pair[0], pair[1]) for pair in pairs)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
