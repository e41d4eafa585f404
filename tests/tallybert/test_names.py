"""Names of instructions: those of a network's work, and the file beside a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hw.files import FileError
from hw.isa import Opcode
from mapping.whole.mapper import MappedNetwork, map_network
from tallybert.names import MAX_LETTERS, read_names, write_names
from tests.tallybert.recorded import layer_program
from tests.tallybert.small_networks import SMALL, small_network

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def mapped() -> MappedNetwork:
    return map_network(SMALL, small_network(), (0, 0, 0, 1, 1))


class TestNetwork:
    def test_every_instruction_has_the_name_of_its_operation(self, mapped: MappedNetwork) -> None:
        names = mapped.names
        operations = [operation.name for operation in mapped.network.operations]
        assert len(names) == len(mapped.program.instructions)
        for name, i in zip(names, mapped.program.instructions, strict=True):
            if i.opcode is Opcode.HALT:
                assert name == ""
            elif i.opcode not in (Opcode.EXIT, Opcode.STORE, Opcode.LOAD):
                assert any(name.startswith(operation) for operation in operations), (i, name)
            else:
                assert name

    def test_an_instruction_does_what_its_name_says(self, mapped: MappedNetwork) -> None:
        pairs = list(zip(mapped.names, mapped.program.instructions, strict=True))
        assert {i.opcode for name, i in pairs if name.endswith(".exit")} == {Opcode.EXIT}
        thresholds = [i for name, i in pairs if ".thresholds" in name]
        assert thresholds and all(i.opcode is Opcode.LOAD and i.buffer == 2 for i in thresholds)
        softmax = [name for name, i in pairs if i.opcode is Opcode.SOFTMAX]
        assert softmax and all("attention" in name for name in softmax)


class TestFile:
    names = ("a", "", "b[1]") + ("c",) * (len(layer_program().instructions) - 3)

    def test_round_trip(self, tmp_path: Path) -> None:
        write_names(tmp_path, layer_program(), self.names)
        assert read_names(tmp_path, layer_program()) == self.names

    def test_no_file(self, tmp_path: Path) -> None:
        assert read_names(tmp_path, layer_program()) == ()

    def test_no_names_remove_those_of_another_program(self, tmp_path: Path) -> None:
        write_names(tmp_path, layer_program(), self.names)
        write_names(tmp_path, layer_program(), ())
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("format", "x", "must be of format tallybert-names-1 with the keys format, instructions_sha256, names"),
            ("more", 1, "must be of format tallybert-names-1 with the keys format, instructions_sha256, names"),
            ("instructions_sha256", "0", "instructions_sha256: must be "),
            ("names", "abc", "names: must be a list of 11, one for each instruction, not 'abc'"),
            ("names", ["a"], "names: must be a list of 11, one for each instruction, not 1"),
            ("names", [1] * 11, "names[0]: must be at most 200 printable characters, not 1"),
            ("names", ["a"] * 10 + ["\n"], "names[10]: must be at most 200 printable characters, not '\\n'"),
            ("names", ["a" * (MAX_LETTERS + 1)] * 11, "names[0]: must be at most 200 printable characters, not 'aaa"),
        ],
        ids=["format", "key", "digest", "text", "short", "number", "newline", "long"],
    )
    def test_a_wrong_file(self, key: str, value: Any, message: str, tmp_path: Path, refused: Refused) -> None:
        write_names(tmp_path, layer_program(), self.names)
        path = tmp_path / "names.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        assert refused(FileError, read_names, tmp_path, layer_program()).startswith(f"{path}: {message}")
