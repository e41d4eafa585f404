"""tallybert counts: the papers' counts, a network's, and a shape's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.counts import encoder_weight_bits
from model.network import read_network
from model.paper_counts import paper_rows
from model.training.recipe import Recipe
from tallybert import cli
from tests.tallybert.commandline import report_of

Refusal = Callable[..., str]
PAPERS = {
    "BERT-base, multiply-accumulates": (11_173_625_856, None),
    "BERT-base, operations": (22.347, 22.5),
    "BERT-base at 1-1-1, operations": (0.349, 0.4),
    "BERT-base at 1-1-2, operations": (0.698, 0.8),
    "BERT-base at 1-1-4, operations": (1.397, 1.5),
    "BERT-base, weight bits": (84_934_656, None),
    "BERT-base, embedding bits": (23_440_896, None),
    "BERT-base, parameters": (109_482_240, None),
    "BERT-base at 32 bits": (417.642, 418),
    "BERT-base at 1-1-1": (13.456, 13.4),
    "BERT-base at 1-1-1, all": (14.961, None),
    "BinaryBERT at 1-1-4": (16.569, 16.5),
    "BEBERT, two members": (33.138, 33),
    "EfficientBERT, parameters": (15.738, 15.7),
    "EfficientBERT-TINY, parameters": (9.375, None),
    "EfficientBERT++, parameters": (15.972, 16),
}


@pytest.fixture
def counted(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Return a function that counts and returns the JSON."""

    def count(*arguments: str) -> dict[str, Any]:
        return report_of(capsys, "counts", *arguments)

    return count


class TestPapers:
    def test_every_row(self, counted: Callable[..., dict[str, Any]]) -> None:
        rows = counted()["rows"]
        assert {row["what"]: (round(row["ours"], 3), row["paper"]) for row in rows} == PAPERS
        assert all(row["source"] for row in rows)

    def test_ours_are_the_papers_but_for_what_a_note_says(self) -> None:
        for row in paper_rows():
            if row.paper is not None and not row.note:
                assert row.ours == pytest.approx(row.paper, rel=0.005)
            if row.paper is not None:
                assert row.ours == pytest.approx(row.paper, rel=0.15)

    def test_a_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["counts"]) == 0
        out = capsys.readouterr().out
        for text in ("11,173,625,856", "84,934,656", "13.456 MiB", "13.4 MiB", "15.7 M", "EfficientBERT"):
            assert text in out


class TestShapes:
    def test_bert_base(self, counted: Callable[..., dict[str, Any]]) -> None:
        found = counted("--tokens", "128")
        assert (found["macs"], found["weight_bits"]) == (11_173_625_856, 84_934_656)
        assert (found["parameters"], found["biases"]) == (109_482_240, 83_712)
        assert sum(found["products"].values()) == found["macs"]

    def test_a_small_one(self, counted: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
        sizes = ("--layers", "2", "--hidden", "128", "--heads", "2", "--vocabulary", "8000", "--tokens", "32")
        found = counted(*sizes)
        assert found["weight_bits"] == 2 * (4 * 128 * 128 + 2 * 128 * 512)
        assert found["macs"] == 32 * found["weight_bits"] + 2 * 2 * 32 * 32 * 128
        assert counted(*sizes, "--ffn", "64")["weight_bits"] == 2 * (4 * 128 * 128 + 2 * 128 * 64)
        assert cli.main(["counts", *sizes]) == 0
        assert f"{found['macs']:,}" in capsys.readouterr().out


class TestNetworks:
    def test_a_run(self, finished: Path, counted: Callable[..., dict[str, Any]]) -> None:
        network = read_network(finished / "network.safetensors")
        found = counted(str(finished))
        assert (found["digest"], found["tokens"]) == (network.digest, network.limit)
        assert found["size_bits"] == network.size_bits()
        assert found["weight_bits"] == network.weight_bits
        recipe = Recipe.from_dict(json.loads((finished / "recipe.json").read_bytes()))
        shape = recipe.shape_of(recipe.chain[-1].precision, 100, 2)
        layers, width, tokens = encoder_weight_bits(shape), shape.hidden, network.limit
        each = tokens * layers + width**2 + shape.layers * 2 * tokens**2 * width
        assert {member["macs"] for member in found["members"].values()} == {each}
        assert found["macs"] == each * len(network.members)
        assert found["products"]["weights"] == len(network.members) * (tokens * layers + width**2)

    def test_fewer_tokens(self, finished: Path, counted: Callable[..., dict[str, Any]]) -> None:
        all_of_them, some = counted(str(finished)), counted(str(finished), "--tokens", "6")
        assert some["products"]["scores"] * 4 == all_of_them["products"]["scores"]
        assert some["size_bits"] == all_of_them["size_bits"]

    def test_a_table(self, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        assert cli.main(["counts", str(finished)]) == 0
        out = capsys.readouterr().out
        for text in ("of a sentence of 12 tokens, all members", "weight bits", "thresholds"):
            assert text in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layers", "0"), "--layers: must be an integer from 1 to 48, not 0"),
        (("--heads", "7"), "--heads must divide --hidden, 768, not 7"),
        (("--tokens", "600"), "--tokens must be at most 512, the positions, not 600"),
        (("net", "--layers", "2"), "--layers must be left out with NETWORK, which has a shape of its own"),
        (("missing",), "network must be "),
    ],
)
def test_refusals(arguments: tuple[str, ...], message: str, refusal: Refusal) -> None:
    assert refusal("counts", *arguments).startswith(message)


def test_more_tokens_than_a_network_reads(finished: Path, refusal: Refusal) -> None:
    path = finished / "network.safetensors"
    message = refusal("counts", str(finished), "--tokens", "13")
    assert message == f"--tokens must be at most 12, as {path} can read, not 13"
