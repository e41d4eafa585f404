"""The example: it trains, exports, simulates, and finds torch and the accelerator equal."""

import os
import subprocess
import sys
from pathlib import Path

from model.network import read_network
from tallybert import cli

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "train_to_rtl.py"


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


def test_torch_and_the_accelerator_agree_on_a_trained_layer(tmp_path: Path) -> None:
    out = run("--out", "trained", folder=tmp_path).stdout
    assert "torch against the accelerator: 0 of 768 output bits different\n" in out
    accuracy = float(out.partition("accuracy on new points: ")[2].partition(" %")[0])
    assert accuracy > 50
    assert "16x64x48 signed on nano" in out
    path = tmp_path / "trained" / "network.safetensors"
    assert [path.name for path in path.parent.iterdir()] == ["network.safetensors"]
    layer = read_network(path).layers[0]
    assert (layer.inputs, layer.outputs, layer.input_set) == (64, 48, "signed")
    command = out.splitlines()[-1].partition(": ")[2].split()
    assert command == ["tallybert", "verify", "nano", "--network", "trained/network.safetensors", "--rows", "16"]
    assert cli.build_parser().parse_args(command[1:]).rows == 16


def test_help(tmp_path: Path) -> None:
    assert "--out DIR" in run("--help", folder=tmp_path).stdout
    assert list(tmp_path.iterdir()) == []
