"""tallybert check: accelerators, programs and networks, good and bad."""

import json
import os
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
        keys = "rows, columns, word_bits, pipeline, sum_bits, drain_rows"
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
        assert refusal("check", str(tmp_path)) == expected
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
        network = Network((layer,))
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
        assert refusal("check", "").startswith("program.json: ")

    def test_pipes_are_not_waited_for(self, tmp_path: Path, refusal: Refusal) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert refusal("check", str(tmp_path / "pipe")).startswith(f"{tmp_path / 'pipe'}: ")

    def test_a_name_too_long(self, tmp_path: Path, refusal: Refusal) -> None:
        assert refusal("check", str(tmp_path / ("n" * 300))).endswith(": File name too long")
