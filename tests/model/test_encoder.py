import dataclasses
import json
import math

import pytest
import torch
from torch.testing import assert_close

from model.checks import NetworkError
from model.encoder import ACTIVATIONS, Classifier, Encoder, EncoderConfig, masked_mean

SIZES = dict(vocabulary=50, hidden=24, layers=3, heads=4, intermediate=40)
CONFIG = EncoderConfig(**SIZES, positions=16, types=2)
LENGTHS = [12, 5, 1, 9]


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def encoder(config=CONFIG, seed=1):
    """Return an encoder in evaluation mode whose biases and norms are not the initial ones."""
    module = Encoder(config, generator=seeded(seed)).eval()
    generator = seeded(seed + 1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return module


def batch(lengths=LENGTHS, width=12, seed=3):
    """Return ids, mask and types of sentences of these lengths; what stands in the padding is random, too."""
    ids = torch.randint(0, 50, (len(lengths), width), generator=seeded(seed))
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    types = torch.randint(0, 2, ids.shape, generator=seeded(seed + 1))
    return ids, mask, types


def reference(module, ids, types):
    """Return hidden states, scores and pooled of one sentence without padding, written out head by head."""
    state, config = dict(module.named_parameters()), module.config

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(1, keepdim=True)
        deviation = (centred.square().mean(1, keepdim=True) + config.epsilon).sqrt()
        return centred / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]

    def activation(x):
        if config.activation == "gelu":
            return x * (1 + torch.erf(x / math.sqrt(2))) / 2
        if config.activation == "gelu_tanh":
            return x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
        return torch.where(x > 0, x, 0.0)

    tables = [state[f"embeddings.{name}.weight"] for name in ("vocabulary", "types", "positions")]
    x = norm(tables[0][ids] + tables[1][types] + tables[2][torch.arange(len(ids))], "embeddings.norm")
    hidden, scores = [x], []
    size = config.hidden // config.heads
    for layer in (f"layers.{index}" for index in range(config.layers)):
        query, key, value = (linear(x, f"{layer}.attention.{name}") for name in ("query", "key", "value"))
        heads = [slice(size * head, size * head + size) for head in range(config.heads)]
        raw = [query[:, head] @ key[:, head].T / math.sqrt(size) for head in heads]
        shares = [score.exp() / score.exp().sum(1, keepdim=True) for score in raw]
        context = torch.cat([share @ value[:, head] for share, head in zip(shares, heads, strict=True)], 1)
        x = norm(x + linear(context, f"{layer}.attention.output"), f"{layer}.attention_norm")
        x = norm(x + linear(activation(linear(x, f"{layer}.up")), f"{layer}.down"), f"{layer}.output_norm")
        hidden.append(x)
        scores.append(torch.stack(raw))
    return hidden, scores, torch.tanh(linear(x[0], "pooler"))


# The config


def test_config_defaults():
    config = EncoderConfig(**SIZES)
    assert (config.positions, config.types, config.activation) == (512, 2, "gelu")
    assert (config.epsilon, config.dropout) == (1e-12, 0.1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.hidden = 2


def test_config_at_its_limits():
    largest = EncoderConfig(1 << 20, 4096, 48, 128, 16384, 8192, 16, "relu", 0.1, 0.999)
    assert EncoderConfig(1, 1, 1, 1, 1, 1, 1, "gelu_tanh", 1e-30, 0) != largest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": 0}, "vocabulary must be an integer from 1 to 1048576, not 0"),
        ({"vocabulary": (1 << 20) + 1}, "vocabulary must be an integer from 1 to 1048576, not 1048577"),
        ({"hidden": 4100}, "hidden must be an integer from 1 to 4096, not 4100"),
        ({"hidden": 24.0}, "hidden must be an integer from 1 to 4096, not 24.0"),
        ({"layers": 49}, "layers must be an integer from 1 to 48, not 49"),
        ({"layers": True}, "layers must be an integer from 1 to 48, not True"),
        ({"heads": 129}, "heads must be an integer from 1 to 128, not 129"),
        ({"intermediate": -1}, "intermediate must be an integer from 1 to 16384, not -1"),
        ({"positions": 8193}, "positions must be an integer from 1 to 8192, not 8193"),
        ({"types": None}, "types must be an integer from 1 to 16, not None"),
        ({"types": 10**4000}, f"types must be an integer from 1 to 16, not 1{'0' * 76}..."),
        ({"activation": "swish"}, "activation must be one of gelu, gelu_tanh, relu, not 'swish'"),
        ({"activation": ["gelu"]}, "activation must be one of gelu, gelu_tanh, relu, not ['gelu']"),
        ({"epsilon": 0}, "epsilon must be a number above 0 and at most 0.1, not 0"),
        ({"epsilon": float("nan")}, "epsilon must be a number above 0 and at most 0.1, not nan"),
        ({"epsilon": "1e-12"}, "epsilon must be a number above 0 and at most 0.1, not '1e-12'"),
        ({"dropout": 1}, "dropout must be a number from 0 to below 1, not 1"),
        ({"dropout": -0.1}, "dropout must be a number from 0 to below 1, not -0.1"),
        ({"dropout": False}, "dropout must be a number from 0 to below 1, not False"),
    ],
)
def test_config_refuses(refused, changes, message):
    assert refused(TypeError, lambda: EncoderConfig(**SIZES | changes)) == message


def test_config_refuses_heads_that_do_not_divide(refused):
    message = refused(ValueError, lambda: EncoderConfig(**SIZES | {"heads": 5}))
    assert message == "hidden must be a multiple of heads, 5, not 24"


def test_config_as_json():
    config = EncoderConfig(**SIZES, activation="relu", epsilon=1e-5)
    assert EncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


KEYS = (
    "encoder: must be an object with the keys vocabulary, hidden, layers, heads, intermediate, positions, types, "
    "activation, epsilon, dropout, not "
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.update(layer=3), KEYS + "'layer'; did you mean 'layers'?"),
        (lambda values: values.pop("heads"), KEYS + "without heads"),
        (lambda values: values.update(layers=0), "encoder: layers must be an integer from 1 to 48, not 0"),
        (lambda values: values.update(heads=5), "encoder: hidden must be a multiple of heads, 5, not 24"),
    ],
)
def test_config_from_what_is_none(refused, change, message):
    values = CONFIG.to_dict()
    change(values)
    assert refused(NetworkError, EncoderConfig.from_dict, values) == message


# What the encoder computes


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_the_reference_in_double(activation):
    """Sentence by sentence, without padding, against a batch with padding; each part of both outputs."""
    module = encoder(dataclasses.replace(CONFIG, activation=activation, epsilon=1e-3)).double()
    ids, mask, types = batch()
    output = module(ids, mask, types, scores=True)
    for row, length in enumerate(LENGTHS):
        hidden, scores, pooled = reference(module, ids[row, :length], types[row, :length])
        assert_close([each[row, :length] for each in output.hidden], hidden, rtol=0, atol=1e-12)
        assert_close([each[row, :, :length, :length] for each in output.scores], scores, rtol=0, atol=1e-12)
        assert_close(output.pooled[row], pooled, rtol=0, atol=1e-12)


def test_shapes_and_dtypes():
    ids, mask, types = batch()
    output = encoder()(ids, mask, types, scores=True)
    assert [(each.shape, each.dtype) for each in output.hidden] == [((4, 12, 24), torch.float32)] * 4
    assert [(each.shape, each.dtype) for each in output.scores] == [((4, 4, 12, 12), torch.float32)] * 3
    assert output.pooled.shape == (4, 24)
    assert all(each.isfinite().all() for each in (*output.hidden, *output.scores))


def test_without_types_all_are_the_first():
    ids, mask, _ = batch()
    module = encoder()
    assert torch.equal(module(ids, mask).pooled, module(ids, mask, torch.zeros_like(ids)).pooled)
    assert not torch.equal(module(ids, mask).pooled, module(ids, mask, torch.ones_like(ids)).pooled)


def test_with_and_without_scores_agree():
    """torch's attention against ours, values and gradients; in float32 and much closer in float64."""
    for dtype, tolerance in ((torch.float32, 2e-5), (torch.float64, 1e-12)):
        outputs, gradients = [], []
        for scores in (False, True):
            module = encoder().to(dtype)
            ids, mask, types = batch()
            output = module(ids, mask, types, scores=scores)
            (output.hidden[-1][mask].square().sum() + output.pooled.sum()).backward()
            outputs.append([each[mask] for each in output.hidden])
            gradients.append([parameter.grad for parameter in module.parameters()])
            assert len(output.scores) == 3 * scores
        assert_close(*outputs, rtol=tolerance, atol=tolerance)
        assert_close(*gradients, rtol=10 * tolerance, atol=100 * tolerance)


@pytest.mark.parametrize("scores", [False, True])
def test_what_stands_in_the_padding_has_no_influence(scores):
    ids, mask, types = batch()
    module = encoder()
    changed = torch.where(mask, ids, (ids + 7) % 50), mask, torch.where(mask, types, 1 - types)
    first, second = module(ids, mask, types, scores=scores), module(*changed, scores=scores)
    for one, other in zip(first.hidden, second.hidden, strict=True):
        assert torch.equal(one[mask], other[mask])
        assert not torch.equal(one[~mask], other[~mask])


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_a_sentence_does_not_depend_on_its_batch(pooling, scores):
    module = Classifier(CONFIG, 3, pooling, 1, encoder=encoder()).double().eval()
    ids, mask, types = batch()
    padded = module(ids, mask, types, scores=scores)
    for row, length in enumerate(LENGTHS):
        alone = [each[row : row + 1, :length] for each in (ids, mask, types)]
        output = module(*alone, scores=scores)
        assert_close(padded.logits[row], output.logits[0], rtol=0, atol=1e-12)
        for one, other in zip(padded.hidden, output.hidden, strict=True):
            assert_close(one[row, :length], other[0], rtol=0, atol=1e-12)


def test_attention_sees_every_piece():
    """Each unmasked piece reaches the pooled output, so masks are not too wide either."""
    ids, mask, types = batch([6], 8)
    module = encoder()
    plain = module(ids, mask, types).pooled
    for position in range(8):
        changed = ids.clone()
        changed[0, position] = (ids[0, position] + 1) % 50
        assert torch.equal(module(changed, mask, types).pooled, plain) == (position >= 6)


def test_mean_is_over_the_pieces():
    x = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [50.0, 50.0]], [[4.0, 5.0], [9.0, 9.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(x, mask).tolist() == [[2.0, 4.0], [4.0, 5.0]]


def test_autocast_stays_near_and_keeps_dtypes():
    ids, mask, types = batch()
    module = Classifier(CONFIG, 3, "first", 1, encoder=encoder()).eval()
    plain = module(ids, mask, types, scores=True)
    for scores in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            output = module(ids, mask, types, scores=scores)
            assert module.encoder(ids, mask, types).pooled.dtype == torch.float32
        assert output.logits.dtype == torch.float32
        assert {each.dtype for each in output.hidden} == {torch.float32}
        assert {each.dtype for each in output.scores} <= {torch.bfloat16}
        assert_close(output.logits, plain.logits, rtol=0, atol=0.03)
        for one, other in zip(output.hidden, plain.hidden, strict=True):
            assert_close(one[mask], other[mask], rtol=0, atol=0.15)
        assert not torch.equal(output.logits, plain.logits)


def test_all_in_bfloat16():
    ids, mask, types = batch()
    module = encoder().bfloat16()
    for scores in (False, True):
        assert module(ids, mask, types, scores=scores).pooled.dtype == torch.bfloat16


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0}, "classes must be an integer from 1 to 65535, not 0"),
        ({"classes": True}, "classes must be an integer from 1 to 65535, not True"),
        ({"pooling": "max"}, "pooling must be one of first, mean, not 'max'"),
        ({"seed": -1}, "seed must be an integer from 0 to 9223372036854775807, not -1"),
        ({"seed": 1.0}, "seed must be an integer from 0 to 9223372036854775807, not 1.0"),
    ],
)
def test_classifier_refuses(refused, arguments, message):
    values = {"config": CONFIG, "classes": 3, "pooling": "first", "seed": 1} | arguments
    assert refused(TypeError, lambda: Classifier(**values)) == message


def test_encoder_refuses_what_is_no_config(refused):
    assert refused(TypeError, Encoder, CONFIG.to_dict()) == "config must be an EncoderConfig, not a dict"


def test_classifier_refuses_an_encoder_of_another_config(refused):
    other = encoder(dataclasses.replace(CONFIG, layers=1))
    message = refused(ValueError, lambda: Classifier(CONFIG, 3, "first", 1, encoder=other))
    assert message == f"encoder must have the config given with it, not {other.config}"


IDS, MASK, TYPES = batch()
TOO_LONG = torch.ones(2, 17, dtype=torch.int64)
TOKENIZER = "; is it this model's tokenizer?"


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (TypeError, {"ids": IDS.int()}, "ids must be int64 of two axes that are not empty, not int32 [4, 12]"),
        (TypeError, {"ids": IDS[0]}, "ids must be int64 of two axes that are not empty, not int64 [12]"),
        (TypeError, {"ids": IDS[:, :0]}, "ids must be int64 of two axes that are not empty, not int64 [4, 0]"),
        (ValueError, {"ids": TOO_LONG}, "ids must have at most 16 positions, not 17; truncate the text"),
        (TypeError, {"mask": MASK.long()}, "mask must be bool [4, 12] as ids, not int64 [4, 12]"),
        (TypeError, {"mask": MASK[:, :5]}, "mask must be bool [4, 12] as ids, not bool [4, 5]"),
        (TypeError, {"types": TYPES.bool()}, "types must be int64 [4, 12] as ids, not bool [4, 12]"),
        (TypeError, {"types": TYPES[:1]}, "types must be int64 [4, 12] as ids, not int64 [1, 12]"),
        (ValueError, {"mask": ~MASK}, "mask must be True at position 0 of each sentence, not False; pad at the end"),
        (ValueError, {"ids": IDS - 50}, "ids must be from 0 to 49, not {}" + TOKENIZER),
        (ValueError, {"ids": torch.full_like(IDS, 50)}, "ids must be from 0 to 49, not 50" + TOKENIZER),
        (ValueError, {"types": TYPES * 2}, "types must be from 0 to 1, not 2" + TOKENIZER),
        (TypeError, {"embedding_noise": -0.1}, "embedding_noise must be a finite number of at least 0, not -0.1"),
        (TypeError, {"embedding_noise": math.nan}, "embedding_noise must be a finite number of at least 0, not nan"),
        (TypeError, {"embedding_noise": math.inf}, "embedding_noise must be a finite number of at least 0, not inf"),
        (TypeError, {"embedding_noise": True}, "embedding_noise must be a finite number of at least 0, not True"),
    ],
)
def test_forward_refuses(refused, kind, arguments, message):
    values = {"ids": IDS, "mask": MASK, "types": TYPES} | arguments
    assert refused(kind, lambda: encoder()(**values)) == message.format((IDS - 50).min().item())
