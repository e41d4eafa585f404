"""Networks whose files are whole and state odd things: tallybert eval says in one line what is wrong."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.bits import pack
from model.data.wordpiece import Tokenizer
from model.network import Member, Network, read_network, write_network
from model.operations import Classify, Embed, First, Normalise
from model.values import tokens
from tests.model.small import i16, i32
from tests.model.training.recipes import write_rows

pytestmark = pytest.mark.usefixtures("same_threads")
Refusal = Callable[..., str]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def scores(words: int = 100, types: int = 2, **provenance: str) -> Network:
    """Return a network of one member that gives scores, and reads a hundred pieces."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    pieces += [f"word{number}" for number in range(100 - len(pieces))]
    bits = pack(np.arange(words * 4).reshape(words, 4) % 3 > 0)
    embed = Embed(
        "e",
        ("input",),
        8,
        bits,
        np.arange(words, dtype=np.int16),
        np.ones((9, 4), np.int16),
        np.ones((types, 4), np.int16),
    )
    norm = Normalise("n", ("e",), 8, 0, 12, i16(9, 9, 9, 9), i32(0, 0, 0, 0))
    classify = Classify("c", ("row",), 0, np.ones((1, 4), np.int8), i32(0))
    operations = (embed, norm, First("row", ("n",)), classify)
    own = {"tokenizer": Tokenizer(pieces).to_bytes(), "fraction": 8, "provenance": provenance}
    return Network(operations, tokens(9), (Member("one", "c", 1),), "mean", **own)


@pytest.fixture
def odd(tmp_path: Path) -> Callable[[Network], Path]:
    """Return a function that writes a network."""

    def written(network: Network) -> Path:
        write_network(network, tmp_path / "odd.safetensors")
        return tmp_path / "odd.safetensors"

    return written


def test_a_tokenizer_of_more_pieces_than_words(odd: Callable[..., Path], refusal: Refusal, tmp_path: Path) -> None:
    path = odd(scores(words=99))
    texts = write_rows(tmp_path / "texts.csv", ("text", "label"), [(f"word{n}", n % 5) for n in range(90)])
    expected = f"{path}: tokenizer: must be one of at most 99 pieces, as many as the network has words, not 100; "
    assert refusal("eval", str(path), "--text", "word37").startswith(expected)
    path = odd(scores(words=99, score_range="0 5"))
    assert refusal("eval", str(path), "--data", str(texts)).startswith(expected)


def test_a_second_text_for_one_token_type(odd: Callable[..., Path], refusal: Refusal) -> None:
    message = refusal("eval", str(odd(scores(types=1))), "--text", "a", "--text2", "b")
    assert message == "second text: must be left out for a network of one token type, not given"


@pytest.mark.parametrize(
    "text", ["x", "0", "0 x", "x 5", "5 0", "0 0", "0  5", "nan 5", "0 inf", "0 1e999", "0 5 6", ""]
)
def test_scores_that_are_any_text(text: str, odd: Callable[..., Path], refusal: Refusal, tmp_path: Path) -> None:
    texts = write_rows(tmp_path / "texts.csv", ("text", "label"), [(f"word{n}", n % 5) for n in range(90)])
    path = odd(scores(score_range=text))
    expected = f"the lowest and the highest score, such as '0 5', not {text!r}"
    assert refusal("eval", str(path), "--data", str(texts)) == f"{path}: provenance.score_range: must be {expected}"


def test_classes_have_no_scores(finished: Path, odd: Callable[..., Path], recipe: Path) -> None:
    from tallybert import cli

    network = read_network(finished / "network.safetensors")
    path = odd(dataclasses.replace(network, provenance={**network.provenance, "score_range": "0 5"}))
    assert cli.main(["eval", str(path), "--data", str(recipe.parent / "texts.csv"), "--json"]) == 0
