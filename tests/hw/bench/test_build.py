"""Building simulations: missing tools, the cache and its key, builds that fail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.bench import build as builder
from hw.bench.build import SIMULATORS, STAMP, TOPLEVEL, BuildError, build, default_cache, missing_tool

Refused = Callable[..., str]
VERILOG = f"module {TOPLEVEL}; endmodule\n"


@pytest.fixture
def all_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, all_tools: None) -> list[Path]:
    """Stand in for both simulators; return the folders that were built."""
    folders: list[Path] = []
    monkeypatch.setattr(builder, "_build_verilator", folders.append)
    monkeypatch.setattr(builder, "_build_icarus", folders.append)
    return folders


class TestMissingTool:
    @pytest.mark.parametrize(
        ("simulator", "tool"),
        [("verilator", "c++"), ("verilator", "make"), ("verilator", "perl"), ("icarus", "iverilog"), ("icarus", "vvp")],
    )
    def test_is_named(
        self, simulator: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
    ) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else f"/usr/bin/{name}")
        message = f"{simulator} needs {tool}, which is not installed"
        assert missing_tool(simulator) == message
        assert refused(BuildError, build, VERILOG, simulator, tmp_path / "cache") == message
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize("simulator", SIMULATORS)
    def test_is_none_when_all_are_there(self, simulator: str, all_tools: None) -> None:
        assert missing_tool(simulator) is None

    def test_of_one_simulator_does_not_matter_to_the_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: None if name in ("iverilog", "vvp") else name)
        assert missing_tool("verilator") is None
        assert missing_tool("icarus") == "icarus needs iverilog, which is not installed"


class TestCache:
    @pytest.mark.parametrize("simulator", SIMULATORS)
    def test_the_same_verilog_is_built_once(self, simulator: str, built: list[Path], tmp_path: Path) -> None:
        first = build(VERILOG, simulator, tmp_path)
        assert build(VERILOG, simulator, tmp_path) == first
        assert built == [first]
        assert first.parent == tmp_path
        assert first.name.startswith(f"{simulator}-")
        assert (first / "core.v").read_text() == VERILOG
        assert (first / STAMP).exists()

    def test_key_changes_with_the_verilog_and_the_simulator(self, built: list[Path], tmp_path: Path) -> None:
        changes = [VERILOG, VERILOG + " ", VERILOG.upper(), ""]
        folders = {build(verilog, simulator, tmp_path) for verilog in changes for simulator in SIMULATORS}
        assert len(folders) == len(built) == 8

    @pytest.mark.parametrize("tool", ["cocotb", "verilator"])
    def test_key_changes_with_the_tools(
        self, tool: str, built: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(builder, "version", lambda name: "1")
        before = build(VERILOG, "verilator", tmp_path)
        monkeypatch.setattr(builder, "version", lambda name: "2" if name == tool else "1")
        assert build(VERILOG, "verilator", tmp_path) != before

    @pytest.mark.parametrize("name", ["CONTROL_FILE", "MAKE_VARIABLES"])
    def test_key_changes_with_how_it_is_built(
        self, name: str, built: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = build(VERILOG, "verilator", tmp_path)
        monkeypatch.setattr(builder, name, getattr(builder, name)[:-1])
        assert build(VERILOG, "verilator", tmp_path) != before

    def test_a_build_that_was_cut_short_is_done_again(self, built: list[Path], tmp_path: Path) -> None:
        folder = build(VERILOG, "icarus", tmp_path)
        (folder / STAMP).unlink()
        build(VERILOG, "icarus", tmp_path)
        assert built == [folder, folder]

    def test_what_a_build_left_that_was_cut_short_is_removed(self, built: list[Path], tmp_path: Path) -> None:
        folder = build(VERILOG, "icarus", tmp_path)
        (folder / STAMP).unlink()
        (folder / "half.o").touch()
        build(VERILOG, "icarus", tmp_path)
        assert not (folder / "half.o").exists()
        (folder / "kept.o").touch()
        build(VERILOG, "icarus", tmp_path)
        assert (folder / "kept.o").exists()

    def test_a_cache_that_cannot_be_written_is_named(self, built: list[Path], tmp_path: Path, refused: Refused) -> None:
        (tmp_path / "file").touch()
        cache = tmp_path / "file" / "cache"
        message = refused(BuildError, build, VERILOG, "icarus", cache)
        assert message.startswith(f"{cache}: must be a folder that can be written, but: ")
        assert built == []

    def test_follows_the_xdg_convention(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
        assert default_cache() == Path("/somewhere/tallybert/simulations")
        monkeypatch.setenv("HOME", "/anybody")
        monkeypatch.setenv("XDG_CACHE_HOME", "")
        assert default_cache() == Path("/anybody/.cache/tallybert/simulations")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert default_cache() == Path("/anybody/.cache/tallybert/simulations")


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an `iverilog` on PATH that complains and fails while a file `broken` is there."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "iverilog").write_text(f"#!/bin/sh\necho no such module\n[ ! -e {tools}/broken ] || exit 3\n")
    (tools / "vvp").write_text("#!/bin/sh\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    (tools / "broken").touch()
    return tools


def test_a_failed_build_names_its_log_and_is_not_kept(failing: Path, tmp_path: Path, refused: Refused) -> None:
    message = refused(BuildError, build, VERILOG, "icarus", tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    log = folder / "build.log"
    assert message == f"iverilog failed with exit code 3; its output is in {log}"
    assert log.read_text() == "no such module\n"
    assert not (folder / STAMP).exists()
    (failing / "broken").unlink()
    assert build(VERILOG, "icarus", tmp_path / "cache") == folder
    assert (folder / STAMP).exists()
