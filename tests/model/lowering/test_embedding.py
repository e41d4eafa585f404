import copy

import numpy as np
import pytest
import torch
from torch import nn

from model.lowering.builder import Builder
from model.lowering.embedding import lower_embedding, normalise, same_embedding
from model.lowering.report import FormatEntry
from model.member import Embedding
from model.values import Value
from sim.reference import operations as reference
from tests.model.lowering.members import make_shape


def make_embedding(seed=0):
    torch.manual_seed(seed)
    embedding = Embedding(make_shape()).eval()
    with torch.no_grad():
        embedding.norm.weight.add_(0.3 * torch.randn(24))
        embedding.norm.bias.copy_(torch.randn(24))
        embedding.words.weight.add_(0.01)
    return embedding


def test_sums_are_those_of_training_to_the_last_place_of_three_terms():
    embedding, builder = make_embedding(), Builder(10)
    lower_embedding(builder, "m.embedding", embedding, 12)
    embed = builder.operations[0]
    ids, types = np.arange(10) * 3 % 40, np.arange(10) % 2
    bits = np.unpackbits(embed.words, axis=1, count=24, bitorder="little")
    found = reference.embed(ids, types, bits, embed.scales, embed.positions, embed.types)
    with torch.no_grad():
        exact = embedding.words(torch.tensor(ids)) + embedding.positions + embedding.types[torch.tensor(types)]
    assert np.abs(found - exact.numpy() * 2.0**embed.fraction).max() <= 1.5 + 1e-3
    (entry,) = builder.noted(FormatEntry)
    assert (entry.name, entry.fraction) == ("m.embedding.sum", embed.fraction)
    assert 0.25 < entry.largest * 2.0**embed.fraction / 32767 <= 1


def test_no_sum_saturates():
    embedding, builder = make_embedding(), Builder(10)
    with torch.no_grad():
        embedding.positions.fill_(1.0)
        embedding.types.fill_(-1.0)
        embedding.words.weight.fill_(1.0)
    lower_embedding(builder, "m.embedding", embedding, 12)
    embed = builder.operations[0]
    assert int(embed.scales.max()) + int(np.abs(embed.positions).max()) + int(np.abs(embed.types).max()) <= 32767


@pytest.mark.parametrize("fraction", [8, 11, 13])
@pytest.mark.parametrize("spread", [0.001, 1.0, 30.0])
def test_normalisation_is_that_of_training(fraction, spread):
    torch.manual_seed(1)
    norm, builder = nn.LayerNorm(24, eps=1e-12), Builder(10)
    with torch.no_grad():
        norm.weight.copy_(1 + 0.3 * torch.randn(24))
        norm.bias.copy_(0.5 * torch.randn(24))
    inner = int(np.floor(np.log2(8000 / spread)))
    builder.values["x"] = Value("fixed", channels=24, rows=10, fraction=min(inner, 20))
    assert normalise(builder, "n", "x", norm, fraction) == "n"
    (operation,) = builder.operations
    x = np.round(np.random.default_rng(0).normal(size=(10, 24)) * spread * 2.0 ** min(inner, 20)).astype(np.int16)
    found = reference.normalise(x, operation.gain, operation.offset, operation.epsilon, operation.shift)
    with torch.no_grad():
        exact = norm(torch.tensor(x * 2.0 ** -min(inner, 20), dtype=torch.float32)).numpy()
    # Half a unit, and the relative error of the square root, of g and of the gain.
    assert np.abs(found - exact * 2.0**fraction).max() <= 0.5 + 2.0 ** (fraction - 10)
    assert np.abs(operation.gain).max() >= 2**14


def test_epsilon_is_in_the_units_of_the_variance():
    builder = Builder(1)
    builder.values["x"] = Value("fixed", channels=768, rows=1, fraction=16)
    normalise(builder, "n", "x", nn.LayerNorm(768, eps=1e-12), 11)
    assert builder.operations[0].epsilon == round(1e-12 * 768**2 * 4**16)


@pytest.mark.parametrize(("weight", "bias"), [(0.0, 0.0), (30.0, 0.0), (0.01, 15.0), (1.0, -15.0)])
def test_gain_and_offset_fit_whatever_they_are(weight, bias):
    builder, norm = Builder(1), nn.LayerNorm(24)
    builder.values["x"] = Value("fixed", channels=24, rows=1, fraction=12)
    nn.init.constant_(norm.weight, weight)
    nn.init.constant_(norm.bias, bias)
    normalise(builder, "n", "x", norm, 10)
    (operation,) = builder.operations
    places = operation.shift - 12 + 10
    assert operation.gain[0] == pytest.approx(weight * 2.0**places, abs=0.5)
    assert operation.offset[0] == pytest.approx(bias * 2.0 ** (places + 12), abs=0.5)


def test_embeddings_are_the_same_if_every_parameter_is():
    one = make_embedding()
    assert same_embedding(one, one)
    assert same_embedding(one, copy.deepcopy(one))
    for name in one.state_dict():
        other = copy.deepcopy(one)
        with torch.no_grad():
            other.get_parameter(name).view(-1)[0].add_(1e-3)
        assert not same_embedding(one, other)
    assert not same_embedding(one, Embedding(make_shape(positions=9)))
