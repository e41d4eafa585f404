"""Each loss of distillation by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from model.distillation import (
    direction_error,
    hidden_error,
    label_loss,
    layer_map,
    logit_error,
    score_error,
    similarity,
    soft_divergence,
)


def random_logits(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 3, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_divergence_by_hand(temperature):
    student = torch.tensor([[0.0, 0.0], [1.0, 3.0]]) * temperature
    teacher = torch.tensor([[0.0, math.log(3)], [1.0, 3.0]]) * temperature
    found = soft_divergence(student, teacher, temperature)
    # (1/4, 3/4) against (1/2, 1/2): cross-entropy ln 2, entropy of the teacher 2 ln 2 - 3/4 ln 3.
    by_hand = (math.log(2) - (2 * math.log(2) - 0.75 * math.log(3))) * temperature**2
    assert_close(found, torch.tensor([by_hand, 0.0]), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_soft_divergence_has_the_gradient_of_the_soft_cross_entropy(temperature):
    student, teacher = random_logits(1), random_logits(2).detach()
    (found,) = torch.autograd.grad(soft_divergence(student, teacher, temperature).mean(), student)
    targets = (teacher / temperature).softmax(-1)
    entropy = torch.nn.functional.cross_entropy(student / temperature, targets) * temperature**2
    assert_close(found, torch.autograd.grad(entropy, student)[0])


def test_temperature_keeps_the_size_of_the_gradient():
    """With T^2 the gradient tends to that of the logits' squared error as T grows, and does not vanish."""
    student, teacher = random_logits(1), random_logits(2).detach()
    (found,) = torch.autograd.grad(soft_divergence(student, teacher, 1e4).sum(), student)
    difference = student - teacher
    assert_close(found, (difference - difference.mean(-1, keepdim=True)).detach() / 3, rtol=1e-3, atol=1e-4)


def test_logit_error_by_hand():
    assert logit_error(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [2.0]])).tolist() == [4, 0]


def test_label_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [9.0, 9.0]])
    found = label_loss(logits, torch.tensor([1, 0, -1]))
    assert_close(found, torch.tensor([math.log(4 / 3), math.log(2), 0.0]))
    scores = torch.tensor([[1.0], [2.0], [3.0]])
    labels = torch.tensor([0.5, 2.0, math.nan])
    assert label_loss(scores, labels, regression=True).tolist() == [0.25, 0, 0]


def test_hidden_error_by_hand():
    student = torch.tensor([[[1.0, 2.0], [9.0, 9.0]], [[0.0, 0.0], [1.0, 1.0]]])
    mask = torch.tensor([[True, False], [True, True]])
    assert hidden_error(student, torch.zeros(2, 2, 2), mask).tolist() == [2.5, 0.5]


def test_score_error_by_hand():
    student = torch.zeros(1, 2, 3, 3)
    student[0, 0] = torch.tensor([[1.0, 2.0, 7.0], [3.0, 4.0, 7.0], [7.0, 7.0, 7.0]])
    mask = torch.tensor([[True, True, False]])
    assert score_error(student, torch.zeros(1, 2, 3, 3), mask).tolist() == [30 / 8]
    # Against another number of heads, the means over heads: half of each score.
    assert score_error(student, torch.zeros(1, 4, 3, 3), mask).tolist() == [30 / 16]


def test_similarity_by_hand():
    x = torch.tensor([[[1.0, 2.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]]])
    found = similarity(x, torch.tensor([[True, True, False]]))
    assert found.tolist() == [[[2.5, 1.0, 0.0], [1.0, 0.5, 0.0], [0.0, 0.0, 0.0]]]


def test_direction_error_by_hand():
    student = torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]], [[-2.0, 0.0]]])
    teacher = torch.tensor([[[6.0, 8.0]], [[0.0, 5.0]], [[1.0, 0.0]]])
    assert_close(direction_error(student, teacher), torch.tensor([0.0, math.sqrt(2), 2.0]))
    assert direction_error(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)).tolist() == [0]


def test_layer_maps_by_hand():
    assert layer_map(2, 2) == ((0, 0), (1, 1), (2, 2))
    assert layer_map(4, 12) == ((0, 0), (1, 3), (2, 6), (3, 9), (4, 12))
    assert layer_map(2, 3) == ((0, 0), (1, 2), (2, 3))
    assert layer_map(1, 6) == ((0, 0), (1, 6))


def test_layer_map_refuses(refused):
    assert refused(TypeError, layer_map, 0, 3) == "student_layers must be an integer of at least 1, not 0"
    message = refused(ValueError, layer_map, 4, 3)
    assert message == "student_layers must be at most 3, the teacher's, not 4; give a layer map of your own"
