"""The encoder against transformers: hidden states, pooler and logits, and a folder written by either."""

import warnings
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer

from model.encoder import Encoder, EncoderConfig
from model.huggingface import ModelFileError, load_classifier, load_encoder, packaged_teacher, save_encoder

TOLERANCE = 1e-5
CONFIG = EncoderConfig(vocabulary=50, hidden=24, layers=2, heads=4, intermediate=40, positions=16)
SENTENCES = (
    "Stop.",
    "It works!",
    "the film is a delight from its first frame to its last",
    "A dull, lifeless and overlong affair that mistakes noise for drama.",
    "I'd rather watch paint dry; at least paint has an arc.",
    "Not bad. Not good. Just... there.",
    "She was born in 1987 and moved to Zürich at the age of 23.",
    "Prices rose by 3.75% in March, from $1,249.00 to $1,295.84.",
    "What's the quickest way from the station to the harbour?",
    "Who wrote it? Nobody knows, and nobody will ever know.",
    "E = mc^2 is perhaps the best known equation of all.",
    "naïve café façade coöperate jalapeño",
    "北京 is the capital of 中国",
    "Привет, мир",
    "🙂 🙃",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "http://example.org/a/b?c=d&e=f#g",
    "UPPER CASE AND lower case And Mixed cAsE",
    "tabs\tand  double   spaces",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
    "(parentheses) [brackets] {braces} <angles> 'quotes' \"double\"",
    "The the the the the the the the the the.",
    "def f(x): return x ** 2  # a comment",
    "The quick brown fox jumps over the lazy dog.",
    "Colourless green ideas sleep furiously.",
    "The horse raced past the barn fell.",
    "He said that she said that they said that it had been said before.",
    "Despite a promising premise, the second half loses its way, its humour, and finally its audience.",
    (
        "The committee, which had met in private for the better part of three weeks, announced on Friday that it would "
        "neither confirm nor deny the reports that had appeared in two of the morning papers."
    ),
    (
        "Rain is expected in the north by the evening, turning to sleet over the hills, while the south stays dry with "
        "sunny spells and light winds; tomorrow will be colder everywhere, with a risk of frost where skies clear."
    ),
    (
        "An unusually generous score, three fine performances and a camera that never looks away make this the most "
        "surprising picture of the season, although its final ten minutes undo a little of that work, and one could do "
        "without the epilogue, the framing story, the narrator, and above all the dog."
    ),
    "And so on " * 15,
    "long " * 600,
)
PAIRS = tuple(zip(SENTENCES[2:32:2], SENTENCES[3:32:2], strict=True))


@pytest.fixture(scope="session")
def minilm():
    try:
        return packaged_teacher()
    except ModelFileError as error:
        pytest.skip(f"the packaged MiniLM is absent: {error}")


@pytest.fixture(scope="session")
def transformers():
    """The library that defines what is right; its own warnings are no concern of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("transformers", reason="transformers is absent: nothing to compare with")
        module.logging.set_verbosity_error()
        module.utils.logging.disable_progress_bar()
        return module


def quietly(function, *arguments, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **keywords)


@pytest.fixture(scope="session")
def batches(minilm):
    """All sentences and all pairs as ids, mask, types: in batches of mixed lengths, and the shortest ones alone."""
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.enable_padding()
    groups = [SENTENCES[start : start + 8] for start in range(0, 32, 8)]
    groups += [SENTENCES[32:], PAIRS, SENTENCES[:1], SENTENCES[1:2]]
    found = []
    for group in groups:
        codes = tokenizer.encode_batch(list(group))
        ids, mask, types = ([getattr(code, name) for code in codes] for name in ("ids", "attention_mask", "type_ids"))
        found.append((torch.tensor(ids), torch.tensor(mask).bool(), torch.tensor(types)))
    return found


def difference(ours, theirs, ids, mask, types, scores=False):
    """Return the largest difference of each hidden state on unmasked positions, and of the pooler's output."""
    with torch.no_grad():
        found = ours(ids, mask, types, scores=scores)
        expected = theirs(ids, attention_mask=mask.long(), token_type_ids=types, output_hidden_states=True)
    pairs = zip(found.hidden, expected.hidden_states, strict=True)
    hidden = [(one[mask] - other[mask]).abs().max().item() for one, other in pairs]
    return [*hidden, (found.pooled - expected.pooler_output).abs().max().item()]


# Equal to transformers


def test_the_sentences_are_varied(batches):
    lengths = torch.cat([mask.sum(1) for _, mask, _ in batches])
    assert lengths.min() <= 4
    assert lengths.max() == 512
    assert len(set(lengths.tolist())) >= 20
    assert sum(not mask.all() for _, mask, _ in batches) >= 6
    assert any(types.sum() for _, _, types in batches)


@pytest.fixture(scope="session")
def ours(minilm):
    return load_encoder(minilm)


@pytest.fixture(scope="session")
def theirs(minilm, transformers):
    return quietly(transformers.BertModel.from_pretrained, minilm).eval()


@pytest.fixture(scope="session")
def eager(minilm, transformers):
    """MiniLM in transformers with the attention that is written out there."""
    return quietly(transformers.BertModel.from_pretrained, minilm, attn_implementation="eager").eval()


def test_minilm_equals_transformers(ours, theirs, batches):
    """All 7 hidden states and the pooler's output."""
    worst = torch.tensor([difference(ours, theirs, *batch) for batch in batches]).amax(0)
    assert len(worst) == 8
    assert worst.max() <= TOLERANCE, worst


def test_minilm_equals_transformers_with_scores(ours, eager, batches):
    """The attention that is written out on both sides; where only one side's is, the difference is rounding alone."""
    for batch in (batches[1], batches[6]):
        assert max(difference(ours, eager, *batch, scores=True)) <= TOLERANCE
        assert max(difference(ours, eager, *batch)) <= TOLERANCE


def test_minilm_logits_equal_transformers(minilm, transformers, batches):
    """With the head of a seed; the mean is of transformers' hidden states."""
    first, mean = (load_classifier(minilm, 3, pooling, 7) for pooling in ("first", "mean"))
    theirs = quietly(transformers.BertForSequenceClassification.from_pretrained, minilm, num_labels=3).eval()
    theirs.classifier.load_state_dict(first.head.state_dict())
    for ids, mask, types in batches[:2]:
        with torch.no_grad():
            expected = theirs(ids, attention_mask=mask.long(), token_type_ids=types, output_hidden_states=True)
            assert (first(ids, mask, types).logits - expected.logits).abs().max() <= TOLERANCE
            pooled = torch.stack([x[row].mean(0) for x, row in zip(expected.hidden_states[-1], mask, strict=True)])
            logits = pooled @ mean.head.weight.T + mean.head.bias
            assert (mean(ids, mask, types).logits - logits).abs().max() <= TOLERANCE
    assert first.head.weight.abs().sum() > 0


def test_minilm_scores_are_those_that_transformers_softmaxes(ours, eager, batches):
    ids, mask, types = batches[0]
    with torch.no_grad():
        scores = ours(ids, mask, types, scores=True).scores
        shares = eager(ids, attention_mask=mask.long(), token_type_ids=types, output_attentions=True).attentions
    for one, other in zip(scores, shares, strict=True):
        share = one.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(3).transpose(1, 2)
        assert (share[mask] - other.transpose(1, 2)[mask]).abs().max() <= TOLERANCE


def test_minilm_has_its_size(ours):
    assert ours.config == EncoderConfig(30522, 384, 6, 12, 1536)
    assert sum(parameter.numel() for parameter in ours.parameters()) == 22_713_216


def test_minilm_means_what_its_card_says(ours, minilm):
    """Cosines of the sentence embeddings that come with the model's description."""
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.enable_padding()
    texts = ["That is a happy person", "That is a very happy person", "Today is a sunny day"]
    codes = tokenizer.encode_batch(texts)
    ids, mask = torch.tensor([code.ids for code in codes]), torch.tensor([code.attention_mask for code in codes]).bool()
    with torch.no_grad():
        last = ours(ids, mask).hidden[-1]
    vectors = torch.nn.functional.normalize((last * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True))
    assert [round(value, 3) for value in (vectors[1:] @ vectors[0]).tolist()] == [0.943, 0.257]


RANDOM = [
    CONFIG,
    replace(CONFIG, activation="gelu_tanh", epsilon=1e-5, dropout=0.0),
    replace(CONFIG, activation="relu", types=3, heads=1),
    EncoderConfig(100, 32, 3, 8, 16, positions=40, types=1, epsilon=1e-3),
]


def random_batch(config):
    generator = torch.Generator().manual_seed(5)
    lengths = torch.tensor([config.positions, 3, 1, 7])
    mask = torch.arange(config.positions) < lengths[:, None]
    ids = torch.randint(0, config.vocabulary, mask.shape, generator=generator)
    return ids, mask, torch.randint(0, config.types, mask.shape, generator=generator)


def shake(module):
    """Make every weight, bias and norm of a model something that can be told from the others."""
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return module


@pytest.mark.parametrize("config", RANDOM, ids=range(len(RANDOM)))
def test_ours_read_by_transformers(tmp_path, transformers, config):
    ours = shake(Encoder(config)).eval()
    save_encoder(ours, tmp_path)
    theirs, report = quietly(transformers.BertModel.from_pretrained, tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert max(difference(ours, theirs.eval(), *random_batch(config))) <= TOLERANCE


@pytest.mark.parametrize("config", RANDOM, ids=range(len(RANDOM)))
def test_transformers_read_by_ours(tmp_path, transformers, config):
    values = dict(
        vocab_size=config.vocabulary,
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate,
        max_position_embeddings=config.positions,
        type_vocab_size=config.types,
        hidden_act="gelu_pytorch_tanh" if config.activation == "gelu_tanh" else config.activation,
        layer_norm_eps=config.epsilon,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
    )
    theirs = shake(transformers.BertModel(transformers.BertConfig(**values))).eval()
    quietly(theirs.save_pretrained, tmp_path)
    ours = load_encoder(tmp_path)
    assert ours.config == config
    assert max(difference(ours, theirs, *random_batch(config))) <= TOLERANCE


def test_a_classifier_of_transformers_gives_its_encoder(tmp_path, transformers, caplog):
    """Its names begin with "bert."; its head is left out, which is said."""
    save_encoder(Encoder(CONFIG), tmp_path)
    theirs = quietly(transformers.BertForSequenceClassification.from_pretrained, tmp_path)
    shake(theirs).eval()
    quietly(theirs.save_pretrained, tmp_path)
    ours = load_encoder(tmp_path)
    assert max(difference(ours, theirs.bert, *random_batch(CONFIG))) <= TOLERANCE
    path = tmp_path / "model.safetensors"
    assert caplog.messages == [f"{path}: left out: 'classifier.bias', 'classifier.weight'"]
