"""Members: plain BERT at 32 bits, every option at fewer, and what no padding may change."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.encoder import Classifier, EncoderConfig
from model.expression import FeedForward
from model.member import Member
from model.shape import Precision, Shape

GELU = "linear2(gelu(linear1(x)))"
FLOAT = Precision.uniform(32, 32, 32)
NAMES = {
    "embeddings.vocabulary.weight": "embedding.words.weight",
    "embeddings.positions.weight": "embedding.positions",
    "embeddings.types.weight": "embedding.types",
    "embeddings.norm": "embedding.norm",
    "pooler": "pooler",
}


def shape(**changes: Any) -> Shape:
    values: dict[str, Any] = {
        "vocabulary": 50,
        "classes": 3,
        "hidden": 12,
        "heads": 3,
        "positions": 16,
        "dropout": 0.0,
        "ffn": (FeedForward(width=20),),
    }
    return Shape(**(values | changes))


def batch(rows: int = 4, length: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(0, 50, (rows, length), generator=generator)
    types = torch.randint(0, 2, (rows, length), generator=generator)
    mask = torch.arange(length) < torch.tensor([length, 3, 1, length - 1])[:rows, None]
    return ids, mask, types


def ready(given: Shape, seed: int = 0) -> Member:
    """Return a member whose quantizers have seen data."""
    torch.manual_seed(seed)
    member = Member(given)
    for parameter in member.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.5, 0.3)
    ids, mask, types = batch()
    member(ids, mask, types)
    return member.eval()


def renamed(name: str) -> str:
    for old, new in NAMES.items():
        if name.startswith(old):
            return name.replace(old, new)
    for old, new in ((".up", ".ffn.0.linear1"), (".down", ".ffn.0.linear2"), (".output_norm", ".ffn_norms.0")):
        name = name.replace(old, new)
    return name


def test_at_32_bits_a_member_is_bert() -> None:
    config = EncoderConfig(50, 12, 2, 3, 20, positions=16, dropout=0.0)
    teacher = Classifier(config, 3, "first", seed=1).eval()
    member = Member(shape(precision=FLOAT, ffn=(FeedForward(GELU, width=20),))).eval()
    given = {renamed(name): tensor for name, tensor in teacher.encoder.state_dict().items()}
    given |= {"classifier.weight": teacher.head.weight, "classifier.bias": teacher.head.bias}
    member.load_state_dict(given)
    ids, mask, types = batch()
    mine, theirs = member(ids, mask, types), teacher(ids, mask, types)
    for own, other in zip(mine.hidden, theirs.hidden, strict=True):
        torch.testing.assert_close(own[mask], other[mask], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mine.logits, theirs.logits, rtol=1e-5, atol=1e-6)


OPTIONS = {
    "binary": {},
    "two bits": {"precision": Precision.uniform(1, 1, 2)},
    "four bits inside": {"precision": Precision(ffn_inner=4, attention=4, projection=8)},
    "ternary": {"precision": Precision.uniform(2, 1, 1)},
    "split": {"split": True},
    "float": {"precision": FLOAT},
    "boolean attention": {"attention": "boolean"},
    "threshold attention": {"attention": "threshold"},
    "channel scale": {"weight_scale": "channel"},
    "one set": {"two_sets": False},
    "fixed": {"elastic": False},
    "mean": {"pooling": "mean"},
    "mean alone": {"pooling": "mean", "pooler": False},
    "first alone": {"pooler": False},
    "stack": {"ffn": (FeedForward("linear2(relu(mul(linear1(x), x)))", 3, 5), FeedForward(GELU, 1, 30))},
    "max": {"ffn": (FeedForward("tanh(linear2(gelu(linear1(max(x, tanh(x))))))", 1, 9),)},
}


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
class TestEveryOption:
    def test_padding_changes_nothing(self, changes: dict[str, Any]) -> None:
        member = ready(shape(**changes))
        ids, mask, types = batch()
        with torch.no_grad():
            together = member(ids, mask, types).logits
            for row in range(4):
                length = int(mask[row].sum())
                alone = member(ids[row : row + 1, :length], mask[row : row + 1, :length], types[row : row + 1, :length])
                torch.testing.assert_close(alone.logits[0], together[row], rtol=1e-4, atol=1e-5)

    def test_every_parameter_that_learns_gets_a_gradient(self, changes: dict[str, Any]) -> None:
        member = ready(shape(**changes)).train()
        ids, mask, types = batch()
        member(ids, mask, types).logits.square().sum().backward()
        silent = [name for name, value in member.named_parameters() if value.requires_grad and value.grad is None]
        assert not silent

    def test_the_output_has_every_part(self, changes: dict[str, Any]) -> None:
        member = ready(shape(**changes))
        output = member(*batch())
        assert [list(x.shape) for x in output.hidden] == [[4, 7, 12]] * 3
        assert [list(x.shape) for x in output.scores] == [[4, 3, 7, 7]] * 2
        assert [[list(x.shape) for x in layer] for layer in output.projections] == [[[4, 7, 12]] * 3] * 2
        assert list(output.logits.shape) == [4, 3]
        assert list(output.pooled.shape) == [4, 12]


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("pooler", [False, True])
def test_the_head_reads_the_row_of_cls_or_the_mean_of_the_tokens(pooling: str, pooler: bool) -> None:
    member = ready(shape(precision=FLOAT, pooling=pooling, pooler=pooler))
    ids, mask, types = batch()
    with torch.no_grad():
        output = member(ids, mask, types)
    last = output.hidden[-1]
    rows = [last[b, : int(mask[b].sum())] for b in range(4)]
    expected = torch.stack([own[0] if pooling == "first" else own.sum(0) / len(own) for own in rows])
    torch.testing.assert_close(output.pooled, expected, rtol=1e-6, atol=1e-6)
    state = member.state_dict()
    names = {name for name in state if name.startswith("pooler")}
    assert bool(names) == pooler
    if pooler:
        expected = torch.tanh(expected @ state["pooler.weight"].T + state["pooler.bias"])
    logits = expected @ state["classifier.weight"].T + state["classifier.bias"]
    torch.testing.assert_close(output.logits, logits, rtol=1e-5, atol=1e-5)


def test_dropout_stays_before_the_classifier() -> None:
    for pooler in (False, True):
        member = ready(shape(precision=FLOAT, pooling="mean", pooler=pooler, dropout=0.9))
        seen: list[Tensor] = []
        member.classifier.register_forward_hook(lambda _, given, result, seen=seen: seen.append(given[0]))
        member.train()(*batch())
        assert (seen[0] == 0).any()


def test_the_shifts_of_query_key_and_value_move_bits() -> None:
    member = ready(shape())
    ids, mask, types = batch()
    before = member(ids, mask, types).scores[0]
    for name in ("query_out", "key_out"):
        member.layers[0].attention.get_submodule(name).beta.data += 0.5
    assert not torch.equal(member(ids, mask, types).scores[0], before)


def test_noise_on_the_embedding_is_drawn_from_the_generator() -> None:
    member = ready(shape(precision=FLOAT))
    ids, mask, types = batch()
    first, second, other = (
        member(ids, mask, types, noise=0.1, generator=torch.Generator().manual_seed(seed)).logits for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_sentence_longer_than_the_positions_is_refused() -> None:
    member = ready(shape())
    with pytest.raises(ValueError, match="ids must have at most 16 tokens in a row, not 17"):
        member(torch.zeros(1, 17, dtype=torch.long), torch.ones(1, 17, dtype=torch.bool))


def test_only_signed_units_without_two_sets() -> None:
    member = ready(shape(two_sets=False))
    sets = {module.set for module in member.modules() if hasattr(module, "alpha") and hasattr(module, "set")}
    assert sets == {"signed"}


def test_fixed_quantizers_do_not_learn() -> None:
    member = ready(shape(elastic=False))
    learning = [name for name, value in member.named_parameters() if value.requires_grad]
    assert not [name for name in learning if name.endswith(("alpha", "beta"))]
