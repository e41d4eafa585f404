"""The benchmark of the mapper runs and prints what it promises; no time is asserted."""

import json
import sys

import pytest

from tests import bench_mapping

COMMAND = ["bench_mapping", "--layers", "1", "--tokens", "17", "--preset", "nano", "--preset", "stream"]


def test_numbers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [*COMMAND, "--json"])
    assert bench_mapping.main() == 0
    nano, stream = json.loads(capsys.readouterr().out)
    assert list(nano) == ["preset", "refused"]
    assert nano["refused"].startswith("nano: vector.vector_lanes, ")
    assert stream["products_of_all_lanes"] < stream["array_works"] / stream["cycles"] < 1
    assert stream["reached"] == stream["bound_cycles"] / stream["cycles"] < 1
    # One layer, 17 rows, in exact products: those of the encoder and nothing else.
    works = 17 * (4 * 768 * 768 + 2 * 768 * 3072) + 2 * 17 * 17 * 768
    assert stream["products_of_all_lanes"] == works / 32768 / stream["cycles"]


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", COMMAND)
    assert bench_mapping.main() == 0
    out, err = capsys.readouterr()
    assert "\nnano: nano: vector.vector_lanes" in out
    assert "│ stream │" in out
    assert err.splitlines() == ["making 1 layers of weights", "mapping onto nano", "mapping onto stream"]
