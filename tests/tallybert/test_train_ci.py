"""The recipe `ci` once, through the command; and its network on real sentences, in `sim` and in torch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.data.carriers import ORANGE
from model.data.catalog import load
from model.integer import IntegerNetwork
from model.network import Network, read_network
from model.reading import encode_texts
from sim.reference import evaluate
from tests.tallybert.commandline import ROOT

SENTENCES = 1000
AT_ONCE = 50

pytestmark = pytest.mark.skipif(not ORANGE.installed, reason=f"needs the data of {ORANGE.package}: {ORANGE.install}")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder in which the command ran, and what it printed."""
    folder = tmp_path_factory.mktemp("ci")
    command = [sys.executable, "-m", "tallybert", "train", "--config", "ci", "--threads", "1", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout)


@pytest.fixture(scope="module")
def network(run: tuple[Path, dict[str, Any]]) -> Network:
    folder, report = run
    return read_network(folder / report["network"])


def test_the_report(run: tuple[Path, dict[str, Any]], network: Network) -> None:
    folder, report = run
    test = load("tweets").test
    majority = np.bincount(test.labels).max() / len(test)
    assert (report["dataset"], report["examples"], report["teacher_accuracy"]) == ("tweets", len(test), None)
    assert report["majority_accuracy"] == majority
    assert report["accuracy"] > majority + 0.3
    assert len(report["member_accuracy"]) == report["members"] == len(network.members) == 2
    assert all(accuracy > majority + 0.25 for accuracy in report["member_accuracy"])
    assert report["float_accuracy"] > majority + 0.3
    assert report["tfidf_accuracy"] > majority + 0.3
    assert 1 <= report["expected_members"] <= 2
    assert report["network"] == str(Path("out", "runs", "ci-1", "network.safetensors"))
    assert (folder / "out" / "runs" / "ci-1" / "curves.png").is_file()
    assert report["digest"] == network.digest


def test_the_reference_agrees_in_every_value_of_a_thousand_sentences(network: Network) -> None:
    encoded = encode_texts(network, load("tweets").test.texts[:SENTENCES])
    assert len(encoded) == SENTENCES
    names = [operation.name for operation in network.operations]
    runner = IntegerNetwork(network)
    for start in range(0, SENTENCES, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found = runner.run(encoded.ids[part], encoded.types[part], keep="all")
        for index, (ids, types) in enumerate(zip(encoded.ids[part], encoded.types[part], strict=True)):
            expected = evaluate(network, ids, types)
            assert list(expected.values) == list(found.values[index]) == names
            for name, value in expected.values.items():
                assert np.array_equal(value, found.values[index][name]), (start + index, name)
            assert np.array_equal(expected.totals, found.totals[index])
            assert np.array_equal(expected.contributions, found.contributions[:, index])
            assert (expected.prediction, expected.members_run) == (
                found.predictions[index],
                found.members_run[index],
            )
