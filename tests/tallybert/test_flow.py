"""sim and rtl, with nothing replaced: what they report, and what they write."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.network import Network, write_network
from model.synthetic import random_layer
from sim.memory import MemoryProfile
from tallybert import cli
from tests.tallybert.commandline import ROOT, run

Refusal = Callable[..., str]


class TestSim:
    def simulate(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
        """Run sim --json and return its values; all of stdout is the JSON."""
        assert cli.main(["sim", *arguments, "--json"]) == 0
        out, err = capsys.readouterr()
        assert err.startswith("mapping ")
        report = json.loads(out)
        assert [name for name in report if "seconds" in name] == ["seconds_at_clock"]
        return report

    def test_the_states_of_each_unit_add_up_to_the_cycles(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = self.simulate(capsys, "nano", "--layer", "16x64x48")
        assert list(report["units"]) == ["load", "array", "drain", "store", "sequencer"]
        for counts in report["units"].values():
            assert isinstance(counts.pop("waits_for"), str)
            assert list(counts) == ["busy", "wait", "token", "issue", "empty"]
            assert sum(counts.values()) == report["cycles"]

    def test_the_other_values(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = self.simulate(capsys, "nano", "--layer", "16x64x48", "--set", "unsigned")
        steps = 16 // 2 * 64 // 16 * 48 // 4
        assert report["utilisation"] == round(steps / report["cycles"], 6)
        assert report["seconds_at_clock"] == report["cycles"] / 40e6
        assert report["units"]["array"]["busy"] == steps
        assert report["units"]["sequencer"]["busy"] == report["instructions"]
        expected = {"accelerator": "nano", "lanes": 128, "layer": "16x64x48", "set": "unsigned", "clock_mhz": 40}
        assert {name: report[name] for name in expected} == expected
        assert report["memory"] == MemoryProfile().to_dict()

    def test_a_seed_decides_every_value(self, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = (str(tiny), "--layer", "16x60x20", "--jitter", "--seed")
        first = self.simulate(capsys, *arguments, "1")
        assert self.simulate(capsys, *arguments, "1") == first
        second = self.simulate(capsys, *arguments, "2")
        assert second["memory"].pop("seed") == 2
        assert first["memory"].pop("seed") == 1
        assert second["memory"] == first["memory"]
        assert second["cycles"] != first["cycles"]

    def test_json_alone_is_on_stdout(self) -> None:
        result = run("tallybert", "sim", "nano", "--layer", "2x20x5", "--json")
        assert result.returncode == 0
        assert json.loads(result.stdout)["cycles"] > 0
        assert result.stderr.splitlines()[0] == "mapping 2x20x5 onto nano"

    def test_a_reader_that_went_away(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "tallybert", "sim", "nano", "--layer", "2x20x5"]
        result = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
        assert result.returncode == 141
        assert [line.split()[0] for line in result.stderr.splitlines()] == ["mapping", "executing", "mapping"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_progress_that_nobody_can_read(self) -> None:
        command = [sys.executable, "-m", "tallybert", "sim", "nano", "--layer", "2x20x5", "--json"]
        with Path("/dev/full").open("w") as full:
            result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=full, text=True, check=False)
        assert (result.returncode, json.loads(result.stdout)["layer"]) == (0, "2x20x5")

    def test_the_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["sim", "nano", "--layer", "16x64x48"]) == 0
        out = capsys.readouterr().out
        assert all(len(line) <= 80 for line in out.splitlines())
        for words in ("16x64x48 signed on nano", "array utilisation", "multiply-accumulates per cycle", "busy: works"):
            assert words in out


class TestNetwork:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A network file with one unsigned layer."""
        path = tmp_path / "one.safetensors"
        write_network(Network.chain((random_layer(20, 6, "unsigned", 3),)), path)
        return path

    @pytest.mark.parametrize(("rows", "layer"), [((), "16x20x6"), (("--rows", "5"), "5x20x6")])
    def test_its_layer_is_run(
        self, rows: tuple[str, ...], layer: str, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["sim", "nano", "--network", str(path), *rows, "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["layer"], report["set"], report["outputs_equal_reference"]) == (layer, "unsigned", True)

    def test_its_set_is_in_the_file(self, path: Path, refusal: Refusal) -> None:
        message = refusal("sim", "nano", "--network", str(path), "--set", "signed")
        assert message == "--set must be left out with --network, whose layer is unsigned"

    def test_two_layers(self, tmp_path: Path, refusal: Refusal) -> None:
        layers = random_layer(20, 6, "signed", 0, "a"), random_layer(6, 3, "signed", 0, "b")
        write_network(Network.chain(layers), tmp_path / "two")
        message = refusal("sim", "nano", "--network", str(tmp_path / "two"))
        assert message == f"{tmp_path / 'two'}: must have one layer to run it alone, not 2"

    def test_no_network(self, tmp_path: Path, tiny: Path, refusal: Refusal) -> None:
        for path in (tmp_path / "none", tmp_path, tiny):
            assert refusal("sim", "nano", "--network", str(path)).startswith(f"{path}: ")

    def test_a_layer_is_too_large_with_many_rows(self, tmp_path: Path, refusal: Refusal) -> None:
        write_network(Network.chain((random_layer(2000, 1, "signed", 0),)), tmp_path / "wide")
        message = refusal("sim", "nano", "--network", str(tmp_path / "wide"), "--rows", "65535")
        assert message.startswith("layer 65535x2000x1: activations (MxK) must be at most ")


class TestRtl:
    @pytest.fixture(scope="module")
    @staticmethod
    def folders(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
        """Two RTL folders of one accelerator, from processes with different hash seeds."""
        folders = [tmp_path_factory.mktemp(f"rtl{seed}") / "deep" / "er" for seed in ("0", "4711")]
        for seed, folder in zip(("0", "4711"), folders, strict=True):
            result = run("tallybert", "rtl", str(tiny), "-o", str(folder), "--json", PYTHONHASHSEED=seed)
            assert result.returncode == 0, result.stderr
            assert json.loads(result.stdout)["folder"] == str(folder)
        return folders

    def test_same_accelerator_same_bytes(self, folders: list[Path]) -> None:
        names = sorted(path.name for path in folders[0].iterdir())
        assert names == ["interface.json", "manifest.json", "tallybert_core.v"]
        assert sorted(path.name for path in folders[1].iterdir()) == names
        for name in names:
            assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()

    def test_the_manifest_has_the_hashes(self, folders: list[Path], tiny: Path) -> None:
        from hw.config import load_accelerator

        manifest = json.loads((folders[0] / "manifest.json").read_text())
        assert manifest["accelerator_sha256"] == load_accelerator(tiny).digest
        assert sorted(manifest["files"]) == ["interface.json", "tallybert_core.v"]
        for name, entry in manifest["files"].items():
            data = (folders[0] / name).read_bytes()
            assert entry == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    @pytest.mark.parametrize(("module", "groups"), [("top", ("ports",)), ("top_with_trace", ("ports", "trace_ports"))])
    def test_the_interface_is_that_of_the_verilog(
        self, module: str, groups: tuple[str, ...], folders: list[Path]
    ) -> None:
        interface = json.loads((folders[0] / "interface.json").read_text())
        ports = {(p["direction"], p["width"], p["name"]) for group in groups for p in interface[group]}
        ports |= {("input", 1, interface[line]["port"]) for line in ("clock", "reset")}
        name, text = interface[module], (folders[0] / "tallybert_core.v").read_text()
        header = re.search(rf"^module {name}\(([^)]*)\);$(.*?)^endmodule", text, re.MULTILINE | re.DOTALL)
        assert header
        declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);$", header[2], re.MULTILINE)
        assert {(way, int(high or 0) + 1, port) for way, high, port in declared} == ports
        assert sorted(re.findall(r"\w+", header[1])) == sorted(port for _, _, port in ports)
