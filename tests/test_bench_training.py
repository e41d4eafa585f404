"""The benchmark of training runs and prints what it promises; no time is asserted."""

import json
import sys

import pytest
import torch

from tests import bench_training
from tests.bench_training import Case


@pytest.mark.parametrize("arguments", [["--json"], []], ids=["json", "text"])
def test_every_figure_is_printed(arguments, monkeypatch, capsys):
    monkeypatch.setattr(bench_training, "CASES", (Case(1, 64, 4),))
    monkeypatch.setattr(bench_training, "VOCABULARY", 50)
    monkeypatch.setattr(sys, "argv", ["bench_training", "--steps", "1", *arguments])
    threads = torch.get_num_threads()
    assert bench_training.main() == 0
    assert torch.get_num_threads() == threads
    text = capsys.readouterr().out
    names = list(json.loads(text)) if arguments else [line[:58].strip().replace(" ", "_") for line in text.splitlines()]
    steps = [f"{model}_{what}_ms" for what in ("step", "update") for model in ("w1a1", "w1a2", "fp32", "torch")]
    pairs = [(ours, theirs) for ours in ("w1a1", "w1a2") for theirs in ("fp32", "torch")]
    ratios = [f"{ours}_over_{theirs}{what}" for ours, theirs in pairs for what in ("", "_with_update")]
    assert names == [f"training_1x64_at_32x4_tokens_{name}" for name in steps + ratios]
