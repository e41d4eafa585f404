"""verify with a text: what goes together on the command line, one network on the RTL, and faults that are found."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tallybert import cli
from tallybert.sentence_tables import show_comparison
from tests.tallybert.commandline import check_what_was_kept, look_at_the_table, verify_and_keep
from tests.tallybert.small_networks import write_accelerator, write_small_network

Refusal = Callable[..., str]
ZEROS = ("bits_different", "cycles_different", "checksums_different", "states_different", "votes_different")


class TestArguments:
    def test_a_network_without_a_text(self, refusal: Refusal) -> None:
        message = refusal("verify", "default", "edge", "--layer", "2x8x4")
        assert message == "NETWORK must be left out without --text, not 'default'"

    def test_a_second_text_without_a_text(self, refusal: Refusal) -> None:
        message = refusal("verify", "edge", "--layer", "2x8x4", "--text2", "a")
        assert message == "--text2 must be left out without --text, not 'a'"

    def test_a_text_without_a_network(self, refusal: Refusal) -> None:
        message = refusal("verify", "edge", "--text", "a")
        assert message == "NETWORK must be given with --text: tallybert verify NETWORK ACCELERATOR --text TEXT"

    @pytest.mark.parametrize(("option", "value"), [("--rows", "3"), ("--set", "signed")])
    def test_what_a_layer_takes(self, option: str, value: str, refusal: Refusal) -> None:
        message = refusal("verify", "default", "edge", "--text", "a", option, value)
        assert message == f"{option} must be left out with --text"

    @pytest.mark.parametrize("others", [("--layer", "2x8x4"), ("--network", "n")])
    def test_one_source(self, others: tuple[str, str], refusal: Refusal) -> None:
        message = refusal("verify", "default", "edge", "--text", "a", *others)
        assert message == f"{others[0]} must not be given together with --text: choose one"

    def test_no_source(self, refusal: Refusal) -> None:
        assert refusal("verify", "edge").endswith(" must be given")

    def test_an_empty_text(self, tmp_path: Path, refusal: Refusal) -> None:
        write_small_network(tmp_path / "n.safetensors")
        write_accelerator(tmp_path / "a.yaml")
        message = refusal("verify", str(tmp_path / "n.safetensors"), str(tmp_path / "a.yaml"), "--text", "")
        assert message == "text: must be a text with at least one letter or sign, not ''"

    def test_a_missing_simulator(self, tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
        write_small_network(tmp_path / "n.safetensors")
        write_accelerator(tmp_path / "a.yaml")
        monkeypatch.setenv("PATH", str(tmp_path))
        files = (str(tmp_path / "n.safetensors"), str(tmp_path / "a.yaml"))
        message = refusal("verify", *files, "--text", "a", "--simulator", "icarus", "--keep", str(tmp_path / "kept"))
        assert message == "icarus needs iverilog, which is not installed"
        assert not (tmp_path / "kept").exists()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return a network of one layer whose vote may stop, and an accelerator."""
    folder = tmp_path_factory.mktemp("verify")
    write_small_network(folder / "n.safetensors", 4)
    write_accelerator(folder / "a.yaml")
    return str(folder / "n.safetensors"), str(folder / "a.yaml")


@pytest.fixture(scope="module")
def kept(files: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return what `verify --keep` left on Icarus, and its report."""
    return verify_and_keep(tmp_path_factory.mktemp("kept"), *files, "--text", "word3")


@pytest.mark.icarus
class TestOneText:
    def test_nothing_differs(self, kept: tuple[Path, dict[str, Any]]) -> None:
        _, report = kept
        assert {name: report[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
        assert (report["ok"], report["class_equal"], report["equal_to_reference"]) == (True, True, True)
        assert (report["simulator"], report["counters"], report["first_difference"]) == ("icarus", True, [])
        assert report["cycles"] == report["rtl_cycles"] > 100

    def test_the_vote_of_the_rtl(self, kept: tuple[Path, dict[str, Any]]) -> None:
        """The registers of the vote show the class and that it is decided, the members, and the total."""
        _, report = kept
        leader, members, low, high = report["rtl_vote"]
        assert (leader & 0xFFFF, leader >> 16) == (report["class"], 1)
        assert (members, report["members"]) == (report["members_run"], 2) == (1, 2)
        total = low | high << 32
        assert total - (total >> 63 << 64) == report["total"]

    def test_the_table(self, kept: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
        folder, report = kept
        show_comparison(report)
        out = capsys.readouterr().out
        assert out.splitlines()[0] == report["label"]
        look_at_the_table(out, folder, "bits", "cycles", "checksums", "unit states", "vote registers")
        assert re.search(r"class +│ +equal │", out)
        assert re.search(r"members run +│ +1 of 2 │", out)

    def test_what_was_kept_passes_every_check(
        self, kept: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder, report = kept
        rtl, case = check_what_was_kept(capsys, folder)
        assert rtl.endswith(": ok")
        assert case.endswith(f"cycles {report['cycles']}): ok")

    def test_the_simulators_account_is_changed(
        self,
        kept: tuple[Path, dict[str, Any]],
        files: tuple[str, str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A cycle, a bit of the memory and the total are changed: each is found, and exit code 1 says so."""
        import sim.machine
        import sim.timing

        def longer(*arguments: Any, simulate: Any = sim.timing.simulate) -> Any:
            timing = simulate(*arguments)
            retire = timing.retire.copy()
            retire[2] += 1
            return dataclasses.replace(timing, retire=retire)

        def other(program: Any, execute: Any = sim.machine.execute) -> Any:
            done = execute(program)
            memory = done.memory.copy()
            memory[-40] ^= 4
            result = dataclasses.replace(done.result, total=done.result.total + 1)
            return dataclasses.replace(done, memory=memory, result=result)

        def copied(_: Any, folder: Path) -> None:
            shutil.copytree(kept[0] / "rtl", folder)

        monkeypatch.setattr("sim.timing.simulate", longer)
        monkeypatch.setattr("sim.machine.execute", other)
        monkeypatch.setattr("hw.gateware.bundle.write_bundle", copied)
        network = tmp_path / "flat.safetensors"
        write_small_network(network, 3, layers=0)
        arguments = ["verify", str(network), files[1], "--text", "word3", "--simulator", "icarus"]
        assert cli.main([*arguments, "--json"]) == 1
        report = json.loads(capsys.readouterr().out)
        assert report["ok"] is False
        assert report["kept"] is None
        found = {name: report[name] for name in ZEROS}
        assert found == {**dict.fromkeys(ZEROS, 0), "bits_different": 1, "cycles_different": 1, "votes_different": 1}
        assert report["class_equal"] is True
        assert report["first_difference"][0].startswith("instruction 2 at 0x")


class TestExitCodes:
    """What the RTL says is made up here."""

    @pytest.mark.parametrize(
        ("vote", "ok", "code", "equal"),
        [([65537, 1, 0, 0], False, 1, False), ([65536, 1, 0, 0], True, 0, True), (None, False, 1, False)],
    )
    def test_another_class(
        self,
        vote: list[int] | None,
        ok: bool,
        code: int,
        equal: bool,
        files: tuple[str, str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        compared = dict.fromkeys(ZEROS, 0) | {"simulator": "icarus", "counters": True, "ok": ok, "rtl_vote": vote}
        compared |= {"rtl_cycles": 9, "first_difference": ["a [b]"], "rtl_seconds": 1.0}
        monkeypatch.setattr("tallybert.sentences.compare_with_rtl", lambda *arguments: compared)
        monkeypatch.setattr("hw.bench.build.missing_tool", lambda simulator: None)
        assert cli.main(["verify", *files, "--text", "word3", "--json"]) == code
        report = json.loads(capsys.readouterr().out)
        assert (report["class"], report["class_equal"], report["ok"]) == (0, equal, ok)
        assert cli.main(["verify", *files, "--text", "word3"]) == code
        out = capsys.readouterr().out
        assert re.search(rf"class +│ +{'equal' if equal else 'DIFFERENT'} │", out)
        assert re.search(rf"verdict +│ +{'equal' if ok else 'DIFFERENT'} │", out)
        assert "\na [b]\n" in out


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["verify", "--help"])
    out = capsys.readouterr().out
    assert 'example: tallybert verify default edge --text "a warm, funny film"' in out
    assert "--text2 TEXT" in out
