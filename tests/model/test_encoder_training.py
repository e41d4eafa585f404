"""How an encoder and a classifier begin and learn: first values, seeds, dropout, noise, gradients."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from model.encoder import Classifier, Encoder, EncoderConfig

CONFIG = EncoderConfig(vocabulary=50, hidden=24, layers=3, heads=4, intermediate=40, positions=16)


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def encoder(config=CONFIG):
    return Encoder(config, generator=seeded()).eval()


def batch():
    """Return ids, mask and types of four sentences, three of them padded."""
    ids = torch.randint(0, 50, (4, 12), generator=seeded(3))
    mask = torch.arange(12) < torch.tensor([12, 5, 1, 9])[:, None]
    return ids, mask, torch.randint(0, 2, ids.shape, generator=seeded(4))


@pytest.mark.parametrize("scores", [False, True])
def test_every_weight_learns(scores):
    ids, mask, types = batch()
    module = Classifier(CONFIG, 3, "first", 1)
    functional.cross_entropy(module(ids, mask, types, scores=scores).logits, torch.tensor([0, 1, 2, 0])).backward()
    still = {name for name, parameter in module.named_parameters() if not parameter.grad.abs().sum()}
    assert still == set()


def test_scores_have_gradients():
    ids, mask, types = batch()
    module = encoder()
    module(ids, mask, types, scores=True).scores[0].sum().backward()
    assert module.layers[0].attention.query.weight.grad.abs().sum() > 0
    assert module.layers[1].attention.query.weight.grad is None


@pytest.mark.parametrize("scores", [False, True])
def test_dropout_in_training_only(scores):
    ids, mask, types = batch()
    module = Classifier(CONFIG, 3, "first", 1)
    torch.manual_seed(5)
    first = module(ids, mask, types, scores=scores).logits
    assert not torch.equal(module(ids, mask, types, scores=scores).logits, first)
    torch.manual_seed(5)
    assert torch.equal(module(ids, mask, types, scores=scores).logits, first)
    module.eval()
    state = torch.get_rng_state()
    still = module(ids, mask, types, scores=scores).logits
    assert torch.equal(module(ids, mask, types, scores=scores).logits, still)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("scores", [False, True])
def test_attention_has_dropout_of_its_own(scores):
    """With the other dropouts off, what is left is on the shares of the keys."""
    ids, mask, types = batch()
    module = encoder()
    for layer in module.layers:
        layer.attention.train()
    torch.manual_seed(5)
    first = module(ids, mask, types, scores=scores).pooled
    assert not torch.equal(module(ids, mask, types, scores=scores).pooled, first)


def test_every_sum_has_dropout():
    """On the embeddings, on both things that a layer adds to its input, and before the head."""
    module = Classifier(CONFIG, 3, "first", 1)
    calls = []
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.Dropout):
            part.register_forward_hook(lambda *_, name=name: calls.append(name))
    module(*batch())
    layers = [f"encoder.layers.{index}.dropout" for index in (0, 0, 1, 1, 2, 2)]
    assert calls == ["encoder.embeddings.dropout", *layers, "dropout"]


def test_the_head_has_dropout():
    ids, mask, types = batch()
    module = Classifier(CONFIG, 3, "mean", 1)
    module.encoder.eval()
    torch.manual_seed(5)
    assert not torch.equal(module(ids, mask, types).logits, module(ids, mask, types).logits)


def test_noise():
    """Normal noise of the given size on the embedding output, the same for the same generator."""
    config = EncoderConfig(50, 64, 1, 4, 8, positions=128)
    module = encoder(config)
    ids = torch.randint(0, 50, (32, 128), generator=seeded())
    mask = torch.ones_like(ids, dtype=torch.bool)
    plain = module(ids, mask)
    noisy = module(ids, mask, embedding_noise=0.25, generator=seeded(7))
    noise = (noisy.hidden[0] - plain.hidden[0]).detach()
    assert abs(noise.std().item() - 0.25) < 0.002
    assert abs(noise.mean().item()) < 0.002
    assert not torch.equal(noisy.hidden[1], plain.hidden[1])
    assert torch.equal(module(ids, mask, embedding_noise=0.25, generator=seeded(7)).pooled, noisy.pooled)
    assert not torch.equal(module(ids, mask, embedding_noise=0.25, generator=seeded(8)).pooled, noisy.pooled)
    torch.manual_seed(7)
    assert_close(module(ids, mask, embedding_noise=0.25).hidden[0], noisy.hidden[0])


def test_no_noise_draws_nothing():
    generator = seeded(7)
    state = generator.get_state()
    encoder()(*batch(), embedding_noise=0, generator=generator)
    assert torch.equal(generator.get_state(), state)


def test_first_values_are_bert_s():
    module = Encoder(EncoderConfig(500, 96, 2, 4, 200), generator=seeded())
    for name, parameter in module.named_parameters():
        if "norm" in name or name.endswith("bias"):
            assert set(parameter.tolist()) == {float("norm" in name and name.endswith("weight"))}, name
        else:
            assert abs(parameter.std().item() - 0.02) < 0.002, name
            assert abs(parameter.mean().item()) < 0.002, name
    weights = [parameter for parameter in module.parameters() if parameter.ndim == 2]
    assert len({parameter[0, 0].item() for parameter in weights}) == len(weights)


def test_a_seed_decides_everything_and_nothing_else_is_drawn():
    state = torch.get_rng_state()
    first, second, other = (
        Classifier(CONFIG, 3, "mean", 1),
        Classifier(CONFIG, 3, "mean", 1),
        Classifier(CONFIG, 3, "mean", 2),
    )
    assert torch.equal(torch.get_rng_state(), state)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name])
    assert not torch.equal(first.head.weight, other.head.weight)
    assert not torch.equal(first.encoder.pooler.weight, other.encoder.pooler.weight)


def test_the_head_is_the_same_on_a_ready_encoder():
    ready = encoder()
    module = Classifier(CONFIG, 3, "mean", 1, encoder=ready)
    assert module.encoder is ready
    assert torch.equal(module.head.weight, Classifier(CONFIG, 3, "first", 1).head.weight)


def test_without_a_generator_torch_s_own_decides():
    torch.manual_seed(4)
    first = Encoder(CONFIG)
    torch.manual_seed(4)
    assert torch.equal(first.pooler.weight, Encoder(CONFIG).pooler.weight)
    assert not torch.equal(first.pooler.weight, Encoder(CONFIG).pooler.weight)


def test_on_the_meta_device_nothing_is_drawn():
    with torch.device("meta"):
        module = Encoder(EncoderConfig(1 << 20, 4096, 48, 128, 16384))
    assert {parameter.device.type for parameter in module.parameters()} == {"meta"}
