"""No loss sees padding, each is 0 between equals with finite gradients, and the objective adds them up."""

import math
from types import SimpleNamespace

import pytest
import torch

from model.distillation import (
    Objective,
    Projection,
    direction_error,
    hidden_error,
    label_loss,
    score_error,
    similarity,
    soft_divergence,
)
from model.member import Member, MemberOutput
from model.shape import FeedForward, Precision, Shape

B, S, H, A, C, LAYERS = 3, 5, 6, 2, 3, 2
LENGTHS = torch.tensor([5, 2, 3])
MASK = torch.arange(S) < LENGTHS[:, None]
LABELS = torch.tensor([0, 2, 1])
ALL = Objective(label=0.5, logits=1.0, sentence=0.25, hidden=2.0, attention=3.0, direction=4.0, temperature=2.0)
INNER = ("hidden", "attention", "direction")
PARTS = ("label", "logits", "sentence", *INNER)


def output(seed, *, layers=LAYERS, heads=A, hidden=H, classes=C, tokens=S, dtype=torch.float64):
    """Return a made-up output; what stands in the padding is random, too."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

    return MemberOutput(
        random(B, classes),
        tuple(random(B, tokens, hidden) for _ in range(layers + 1)),
        tuple(random(B, heads, tokens, tokens) for _ in range(layers)),
        tuple(tuple(random(B, tokens, hidden) for _ in range(3)) for _ in range(layers)),
        random(B, hidden),
    )


def leaves(given):
    return [
        given.logits,
        given.pooled,
        *given.hidden,
        *given.scores,
        *(x for layer in given.projections for x in layer),
    ]


def row(given, index, tokens):
    """Return one sentence alone, without padding."""
    return MemberOutput(
        given.logits[index : index + 1],
        tuple(x[index : index + 1, :tokens] for x in given.hidden),
        tuple(x[index : index + 1, :, :tokens, :tokens] for x in given.scores),
        tuple(tuple(x[index : index + 1, :tokens] for x in layer) for layer in given.projections),
        given.pooled[index : index + 1],
    )


def vectors(student, teacher):
    """Return what the loss of sentences compares."""
    return student.pooled, teacher.pooled


def only(name, **values):
    return Objective(**{name: 1.0}, **values)


@pytest.mark.parametrize("regression", [False, True])
def test_an_example_without_a_label_has_no_gradient(regression):
    logits = output(1, classes=1 if regression else C).logits
    labels = torch.tensor([0.5, math.nan, 1.0], dtype=torch.float64) if regression else torch.tensor([0, -1, 2])
    (gradient,) = torch.autograd.grad(label_loss(logits, labels, regression=regression).sum(), logits)
    assert gradient.isfinite().all()
    assert (gradient != 0).any(1).tolist() == [True, False, True]


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_direction_does_not_see_the_scale(scale):
    teacher = output(3)
    student = MemberOutput(
        teacher.logits,
        tuple(scale * x for x in teacher.hidden),
        teacher.scores,
        tuple(tuple(scale * x for x in layer) for layer in teacher.projections),
        teacher.pooled,
    )
    _, parts = only("direction").loss(student, teacher, None, LABELS, MASK)
    assert parts["direction"] < 1e-12


def test_each_part_is_what_its_functions_say():
    student, teacher = output(1), output(2)
    total, parts = ALL.loss(student, teacher, teacher.logits, LABELS, MASK, vectors=vectors(student, teacher))
    pairs = range(LAYERS + 1)
    directions = []
    for i in pairs:
        own, given = (x.hidden[i] * MASK[:, :, None] for x in (student, teacher))
        directions.append(direction_error(own, given))
    for i in range(LAYERS):
        for own, given in zip(student.projections[i], teacher.projections[i], strict=True):
            directions.append(direction_error(similarity(own, MASK), similarity(given, MASK)))
    expected = {
        "label": torch.nn.functional.cross_entropy(student.logits, LABELS),
        "logits": soft_divergence(student.logits, teacher.logits, 2.0).mean(),
        "sentence": (student.pooled - teacher.pooled).square().mean(),
        "hidden": sum(hidden_error(student.hidden[i], teacher.hidden[i], MASK).mean() for i in pairs),
        "attention": sum(score_error(student.scores[i], teacher.scores[i], MASK).mean() for i in range(LAYERS)),
        "direction": torch.stack(directions).mean(),
    }
    assert list(parts) == ["total", *expected]
    for name, value in expected.items():
        assert math.isclose(parts[name], value.item(), rel_tol=1e-12), name
    weighted = sum(getattr(ALL, name) * parts[name] for name in expected)
    assert math.isclose(total.item(), weighted, rel_tol=1e-12)
    assert parts["total"] == total.item()


@pytest.mark.parametrize("name", PARTS)
def test_no_part_sees_padding_or_other_sentences(name):
    student, teacher = output(1), output(2)
    _, together = only(name).loss(student, teacher, teacher.logits, LABELS, MASK, vectors=vectors(student, teacher))
    alone = []
    for index, length in enumerate(LENGTHS.tolist()):
        mask = torch.ones(1, length, dtype=torch.bool)
        own, given = row(student, index, length), row(teacher, index, length)
        alone.append(
            only(name).loss(own, given, given.logits, LABELS[index : index + 1], mask, vectors=vectors(own, given))[1][
                name
            ]
        )
    assert math.isclose(together[name], sum(alone) / B, rel_tol=1e-12)


@pytest.mark.parametrize("name", PARTS)
def test_no_gradient_reaches_padding_or_the_teacher(name):
    student, teacher = output(1), output(2)
    only(name).loss(student, teacher, teacher.logits, LABELS, MASK, vectors=vectors(student, teacher))[0].backward()
    assert all(x.grad is None for x in leaves(teacher))
    states = [x for x in leaves(student) if x.grad is not None and x.ndim == 3]
    assert states or name in ("label", "logits", "sentence", "attention")
    for x in states:
        assert (x.grad[~MASK] == 0).all()
        assert (x.grad[MASK] != 0).any()
    for x in student.scores:
        if x.grad is not None:
            assert (x.grad[1, :, 2:] == 0).all() and (x.grad[1, :, :, 2:] == 0).all()


@pytest.mark.parametrize("name", PARTS[1:])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_have_no_loss_and_finite_gradients(name, dtype):
    student, teacher = output(1, dtype=dtype), output(1, dtype=dtype)
    total, parts = only(name).loss(student, teacher, teacher.logits, LABELS, MASK, vectors=vectors(student, teacher))
    assert parts[name] == 0
    total.backward()
    for x in leaves(student):
        if x.grad is not None:
            assert x.grad.isfinite().all()
            assert x.grad.abs().max() < 1e-6


def test_direction_of_nothing_has_a_finite_gradient():
    student, teacher = output(1), output(2)
    with torch.no_grad():
        for x in (*student.hidden, *(x for layer in student.projections for x in layer)):
            x.zero_()
    total, _ = only("direction").loss(student, teacher, None, LABELS, MASK)
    total.backward()
    assert all(x.grad.isfinite().all() for x in student.hidden)


def test_sample_weights_weigh_every_part():
    student, teacher = output(1), output(2)
    weights = torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64)
    _, parts = ALL.loss(student, teacher, teacher.logits, LABELS, MASK, weights, vectors=vectors(student, teacher))
    for name in PARTS:
        each = []
        for index, length in enumerate(LENGTHS.tolist()):
            own, given = row(student, index, length), row(teacher, index, length)
            mask, label = torch.ones(1, length, dtype=torch.bool), LABELS[index : index + 1]
            alone = only(name, temperature=2.0).loss(own, given, given.logits, label, mask, vectors=vectors(own, given))
            each.append(alone[1][name])
        assert math.isclose(parts[name], (2 * each[0] + each[2]) / 3, rel_tol=1e-12), name


def test_labels_and_stored_logits_need_no_teacher():
    student, stored = output(1), output(2).logits.detach()
    objective = Objective(label=1.0, logits=1.0)
    assert set(objective.loss(student, None, stored, LABELS, MASK)[1]) == {"total", "label", "logits"}


def test_regression():
    student, stored = output(1, classes=1), output(2, classes=1).logits.detach()
    labels = torch.tensor([0.5, math.nan, -1.0], dtype=torch.float64)
    objective = Objective(label=1.0, logits=0.5)
    total, parts = objective.loss(student, None, stored, labels, MASK, regression=True)
    errors = (student.logits[:, 0] - labels).square()
    assert math.isclose(parts["label"], ((errors[0] + errors[2]) / 3).item(), rel_tol=1e-12)
    assert math.isclose(parts["logits"], (student.logits - stored).square().mean().item(), rel_tol=1e-12)
    total.backward()
    assert (student.logits.grad != 0).all()


def test_a_projection_joins_other_widths_and_learns():
    student, teacher = output(1), output(2, hidden=4, heads=1)
    projection = Projection(H, 4).double()
    assert projection.bias is None
    of_equal_width = vectors(student, student)
    total, parts = ALL.loss(
        student, teacher, teacher.logits, LABELS, MASK, projection=projection, vectors=of_equal_width
    )
    pairs = zip(student.hidden, teacher.hidden, strict=True)
    expected = sum(hidden_error(projection(own), given, MASK).mean() for own, given in pairs)
    assert math.isclose(parts["hidden"], expected.item(), rel_tol=1e-12)
    total.backward()
    assert projection.weight.grad.abs().sum() > 0


def test_deeper_teachers_are_mapped():
    student, teacher = output(1), output(2, layers=4)
    _, parts = Objective(hidden=1.0, attention=1.0).loss(student, teacher, None, LABELS, MASK)
    hidden = sum(hidden_error(student.hidden[i], teacher.hidden[2 * i], MASK).mean() for i in range(3))
    scores = sum(score_error(student.scores[i], teacher.scores[2 * i + 1], MASK).mean() for i in range(2))
    assert math.isclose(parts["hidden"], hidden.item(), rel_tol=1e-12)
    assert math.isclose(parts["attention"], scores.item(), rel_tol=1e-12)


def test_a_map_of_ones_own():
    student, teacher = output(1), output(2, layers=4)
    objective = Objective(hidden=1.0, attention=1.0, layers=[[0, 1], [2, 3]])
    assert objective.layers == ((0, 1), (2, 3))
    _, parts = objective.loss(student, teacher, None, LABELS, MASK)
    hidden = sum(hidden_error(student.hidden[i], teacher.hidden[j], MASK).mean() for i, j in ((0, 1), (2, 3)))
    assert math.isclose(parts["hidden"], hidden.item(), rel_tol=1e-12)
    assert math.isclose(parts["attention"], score_error(student.scores[1], teacher.scores[2], MASK).mean().item())


def test_a_member_learns_from_a_member():
    """Show that a binary student, all parts together, moves towards its teacher."""
    sizes = Shape(vocabulary=20, classes=C, layers=1, hidden=16, heads=2, positions=S, dropout=0.0)
    torch.manual_seed(0)
    teacher = Member(sizes.replace(precision=Precision.uniform(32, 32, 32), ffn=(FeedForward(width=16),)))
    student = Member(sizes.replace(ffn=(FeedForward(width=16),)))
    ids = torch.randint(0, 20, (B, S))
    with torch.no_grad():
        said = teacher(ids, MASK)
    optimizer = torch.optim.Adam(student.parameters(), 1e-2)
    totals = []
    for _ in range(10):
        own = student(ids, MASK)
        total, parts = ALL.loss(own, said, said.logits, LABELS, MASK, vectors=vectors(own, own))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(parts["total"])
    assert totals[-1] < 0.9 * totals[0]


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (
            ValueError,
            {},
            "one of label, logits, sentence, hidden, attention, direction must be above 0, not all of them 0",
        ),
        (TypeError, {"label": -1.0}, "label must be a finite number of at least 0, not -1.0"),
        (TypeError, {"hidden": math.inf}, "hidden must be a finite number of at least 0, not inf"),
        (TypeError, {"logits": math.nan}, "logits must be a finite number of at least 0, not nan"),
        (TypeError, {"logits": True}, "logits must be a finite number of at least 0, not True"),
        (TypeError, {"temperature": 0}, "temperature must be a finite number above 0, not 0"),
        (TypeError, {"layers": ()}, "layers must be pairs of indices of hidden states, not ()"),
        (TypeError, {"layers": 3}, "layers must be pairs of indices of hidden states, not 3"),
        (TypeError, {"layers": [(1, 2, 3)]}, "layers must be pairs of indices of hidden states, not [(1, 2, 3)]"),
        (TypeError, {"layers": [(0, -1)]}, "layers must be pairs of indices of hidden states, not [(0, -1)]"),
    ],
)
def test_objectives_refuse(refused, kind, arguments, message):
    given = {"label": 1.0} | arguments if arguments else {}
    assert refused(kind, lambda: Objective(**given)) == message


def test_losses_refuse(refused):
    student, teacher = output(1), output(2)

    def answer(objective, given=teacher, logits=teacher.logits):
        return refused(ValueError, lambda: objective.loss(student, given, logits, LABELS, MASK))

    assert answer(only("logits"), logits=None) == "teacher_logits must be given for the weight of logits, not None"
    assert answer(only("sentence")) == "vectors must be given for the weight of sentence, not None"
    wider = output(2, classes=4).logits
    assert answer(only("logits"), logits=wider) == "teacher_logits must be [3, 3], not [3, 4]"
    for name in INNER:
        message = "teacher must be given for the weights of hidden, attention and direction, not None"
        assert answer(only(name), given=None) == message
    plain = SimpleNamespace(hidden=teacher.hidden, scores=())
    for name, part in (("attention", "scores"), ("direction", "projections")):
        message = f"{part} must be given by student and teacher, not be empty: this loss compares them"
        assert answer(only(name), given=plain) == message
    longer = output(2, tokens=7)
    for name in INNER:
        assert answer(only(name), given=longer) == "teacher must read the student's tokens, [3, 5], not [3, 7]"
    assert answer(only("hidden"), given=output(2, hidden=4)) == "hidden states must be 4 wide, not 6; give a Projection"
    assert answer(only("hidden", layers=((0, 9),))) == "layers must be at most 2 and 2, the depths, not 0 and 9"
    message = "layers must map a layer to compare its attention, not the embedding alone"
    assert answer(only("attention", layers=((0, 0),))) == message
