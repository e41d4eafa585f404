"""tallybert check: accelerators, programs and networks, good and bad."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hw.config
from hw.arch import Accelerator
from hw.files import sha256
from hw.isa import Opcode, make
from hw.program import Program
from model.network import BinaryLayer, Network, write_network
from tallybert import cli

Refusal = Callable[..., str]
ACCELERATOR = "format: tallybert-accelerator-1\nname: mine\narray:\n  rows: 8\n"


class TestCheck:
    def test_preset(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["check", "edge"]) == 0
        path = hw.config.PRESET_FOLDER / "edge.yaml"
        assert capsys.readouterr() == (f"{path}: accelerator (name edge, lanes 4096): ok\n", "")

    @pytest.mark.parametrize("name", ["mine.yaml", "mine.yml", "mine.txt", "mine"])
    def test_accelerator(self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / name).write_text(ACCELERATOR)
        assert cli.main(["check", str(tmp_path / name), "--json"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        expected = Accelerator(name="mine", rows=8)
        assert json.loads(out) == {
            "path": str(tmp_path / name),
            "kind": "accelerator",
            "ok": True,
            "name": "mine",
            "lanes": 512,
            "digest": expected.digest,
        }

    def test_wrong_accelerator(self, tmp_path: Path, refusal: Refusal) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(ACCELERATOR.replace("rows: 8", "row: 8"))
        keys = "rows, columns, word_bits, pipeline, sum_bits, drain_rows, code_bits"
        expected = f"{path}:4: array: key must be one of {keys}, not 'row'; did you mean 'rows'?"
        assert refusal("check", str(path)) == expected
        assert refusal("check", str(path), "--json") == expected

    def test_program(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        checked = []
        monkeypatch.setattr("mapping.checker.check", checked.append)
        program = self.save_program(tmp_path)
        for path in (tmp_path, tmp_path / "program.json"):
            assert cli.main(["check", str(path)]) == 0
            line = f"{tmp_path}: program (accelerator test, instructions 1, image bytes 32): ok\n"
            assert capsys.readouterr() == (line, "")
        assert checked == [program, program]

    def test_wrong_program(self, tmp_path: Path, refusal: Refusal) -> None:
        program = self.save_program(tmp_path)
        (tmp_path / "image.bin").write_bytes(bytes(32))
        expected = f"{tmp_path / 'program.json'}: image.sha256: must be {sha256(bytes(32))} as image.bin has, not "
        message = refusal("check", str(tmp_path))
        assert message.startswith(expected)
        assert sha256(program.image)[:20] in message
        (tmp_path / "program.json").unlink()
        expected = f"{tmp_path / 'program.json'}: must be a file, but it does not exist"
        assert refusal("check", str(tmp_path / "program.json")) == expected

    def save_program(self, folder: Path) -> Program:
        halt = make(Opcode.HALT)
        program = Program(Accelerator(name="test"), (halt,), 0, (), halt.encode())
        program.save(folder)
        return program

    def test_network(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        layer = BinaryLayer(
            "only", 8, 1, "signed", np.zeros((1, 1), np.uint8), np.zeros(1, np.int32), np.zeros(1, np.uint8)
        )
        network = Network.chain((layer,))
        write_network(network, tmp_path / "x.safetensors")
        assert cli.main(["check", str(tmp_path / "x.safetensors"), "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["kind"], report["layers"], report["digest"]) == ("network", 1, network.digest)

    @pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04", bytes(100), b"\xff" * 100, b'{"a": 1}'])
    def test_wrong_network(self, data: bytes, tmp_path: Path, refusal: Refusal) -> None:
        path = tmp_path / "x"
        path.write_bytes(data)
        assert refusal("check", str(path)).startswith(f"{path}: ")

    def test_what_does_not_exist(self, refusal: Refusal) -> None:
        start = "path must be a file, a folder or a preset that exists, not"
        assert refusal("check", "egde") == f"{start} 'egde'; did you mean 'edge'?"
        assert refusal("check", "./no/such") == f"{start} './no/such'"
        assert refusal("check", "a\nb") == f"{start} 'a\\nb'"

    def test_a_folder_of_something_else(
        self, tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        start = "must be a folder with one of expected.json, program.json, manifest.json, not without"
        assert refusal("check", "") == f".: {start}"
        for kept, manifest in (("case", "expected.json"), ("rtl", "manifest.json")):
            (tmp_path / "kept" / kept).mkdir(parents=True)
            (tmp_path / "kept" / kept / manifest).touch()
        assert refusal("check", "kept") == f"kept: {start}; did you mean kept/case or kept/rtl?"

    def test_pipes_are_not_waited_for(self, tmp_path: Path, refusal: Refusal) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert refusal("check", str(tmp_path / "pipe")).startswith(f"{tmp_path / 'pipe'}: ")

    def test_a_name_too_long(self, tmp_path: Path, refusal: Refusal) -> None:
        assert refusal("check", str(tmp_path / ("n" * 300))).endswith(": File name too long")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The RTL folder of an accelerator of one lane."""
    from hw.gateware.bundle import write_bundle

    folder = tmp_path_factory.mktemp("rtl")
    write_bundle(Accelerator(name="one", rows=1, columns=1, word_bits=1, sum_bits=4, counters=False), folder)
    return folder


class TestRtl:
    def test_right(self, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for path in (bundle, bundle / "manifest.json"):
            assert cli.main(["check", str(path)]) == 0
            assert capsys.readouterr() == (f"{bundle}: rtl (accelerator one, lanes 1, files 2): ok\n", "")

    @pytest.mark.parametrize("name", ["tallybert_core.v", "interface.json"])
    def test_a_changed_file(self, name: str, bundle: Path, tmp_path: Path, refusal: Refusal) -> None:
        folder = shutil.copytree(bundle, tmp_path / "rtl")
        start, data = f"{folder / 'manifest.json'}: files.{name}", (folder / name).read_bytes()
        (folder / name).write_bytes(data + b" ")
        message = f"{start}.size: must be {len(data) + 1} as {name} has, not {len(data)}"
        assert refusal("check", str(folder)) == message
        changed = data[:-2] + b"\t" + data[-1:]
        (folder / name).write_bytes(changed)
        assert refusal("check", str(folder)).startswith(f"{start}.sha256: must be {sha256(changed)} as {name} has, not")
        (folder / name).unlink()
        assert refusal("check", str(folder)) == f"{folder / name}: must be a file, but it does not exist"

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("format", "tallybert-rtl-2", "format: must be tallybert-rtl-1, not 'tallybert-rtl-2'"),
            ("lanes", 2, "lanes: must be 1, not 2"),
            ("lanes", None, "lanes: must be 1, not None"),
            ("accelerator_sha256", "0", "accelerator_sha256: must be "),
            ("accelerator", {}, "accelerator: format must be given, not left out"),
            ("files", [], "files: must be an object with the keys interface.json, tallybert_core.v, not []"),
            ("files", {"../x": {}}, "files: must be an object with the keys interface.json, tallybert_core.v, not {"),
            (
                "files",
                {"interface.json": 1, "tallybert_core.v": 2},
                "files.interface.json: must be an object with the keys size, sha256, not 1",
            ),
        ],
    )
    def test_a_changed_manifest(
        self, key: str, value: object, message: str, bundle: Path, tmp_path: Path, refusal: Refusal
    ) -> None:
        folder = shutil.copytree(bundle, tmp_path / "rtl")
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, key: value}))
        assert refusal("check", str(folder)).startswith(f"{folder / 'manifest.json'}: {message}")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case folder, as `verify --keep` writes it."""
    from sim.memory import MemoryProfile
    from tallybert import flow

    folder = tmp_path_factory.mktemp("case")
    accelerator, memory = hw.config.load_accelerator("nano"), MemoryProfile()
    work = flow.random_workload(2, 20, 5, "signed", 0)
    flow.write_case(folder, flow.run_simulation(accelerator, work, memory, lambda line: None), memory)
    return folder


class TestCase:
    def test_right(self, case: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for path in (case, case / "expected.json"):
            assert cli.main(["check", str(path), "--json"]) == 0
            report = json.loads(capsys.readouterr().out)
            assert (report["path"], report["kind"], report["accelerator"]) == (str(case), "case", "nano")
            assert report["cycles"] > 20
        assert cli.main(["check", str(case / "program.json")]) == 0
        assert capsys.readouterr().out.startswith(f"{case}: program (accelerator nano, ")

    def test_wrong_expectations(self, case: Path, tmp_path: Path, refusal: Refusal) -> None:
        folder = shutil.copytree(case, tmp_path / "case")
        memory = bytearray((folder / "expected.bin").read_bytes())
        memory[0] ^= 1
        (folder / "expected.bin").write_bytes(memory)
        start = f"{folder / 'expected.json'}: memory_sha256: must be that of expected.bin, {sha256(memory)}"
        assert refusal("check", str(folder)).startswith(start)
        (folder / "expected.bin").unlink()
        assert refusal("check", str(folder)) == f"{folder / 'expected.bin'}: must be a file, but it does not exist"

    def test_wrong_program(self, case: Path, tmp_path: Path, refusal: Refusal) -> None:
        folder = shutil.copytree(case, tmp_path / "case")
        (folder / "image.bin").write_bytes(b"")
        assert refusal("check", str(folder)).startswith(
            f"{folder / 'program.json'}: image.size: must be 0 as image.bin"
        )
