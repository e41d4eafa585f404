"""The network that comes with the package: what its file states is what it does."""

import json

import pytest

from model.network import Network, read_network
from tallybert import cli
from tallybert.recipes import load_recipe
from tallybert.shipped import DEFAULT, network_path

BLOCK_RAM_BITS = 3_744 * 1000  # of an ECP5-85F
LARGEST_FILE = 4 << 20


@pytest.fixture(scope="module")
def network() -> Network:
    return read_network(network_path(DEFAULT))


def test_it_fits_the_block_ram_of_an_ecp5_with_room_for_activations(network: Network) -> None:
    recipe = load_recipe(DEFAULT)
    # The residual stream in 16 bits, twice, and eight sets of codes.
    activations = recipe.data.limit * int(recipe.shape["hidden"]) * (2 * 16 + 8)
    assert sum(network.size_bits().values()) + activations <= BLOCK_RAM_BITS
    assert network_path(DEFAULT).stat().st_size <= LARGEST_FILE


def test_it_is_what_its_recipe_makes(network: Network) -> None:
    recipe = load_recipe(DEFAULT)
    known = network.provenance
    assert (known["recipe"], known["seed"], known["dataset"]) == (recipe.name, str(recipe.seed), recipe.data.set)
    assert (len(network.members), network.limit) == (recipe.ensemble.members, recipe.data.limit) == (4, 48)
    assert known["shape"].endswith("1-1-1")


def test_its_figures_are_those_of_its_integers(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", DEFAULT, "--json", "--threads", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["recorded_on_this_data"] is True
    assert report["accuracy"] == pytest.approx(float(network.provenance["accuracy"]), abs=1e-6)
    assert (report["dataset"], report["examples"]) == ("rt", 2739)
    assert len(report["member_accuracy"]) == 4
    assert 1 <= report["expected_members"] <= 4
    assert report["tfidf_difference"] > 0
    assert None not in (report["float_accuracy"], report["teacher_accuracy"])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a warm, funny and wonderfully acted film that never loses its way", "fresh"),
        ("a dull, clumsy and pointless mess that wastes its actors", "rotten"),
    ],
)
def test_it_reads_a_sentence(text: str, label: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", DEFAULT, "--text", text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == label
