"""tallybert explain, and what sim and run leave for it: reports, tables, memories, and every refusal."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hw.bench.case import read_case
from hw.messages import shown
from sim.memory import MemoryProfile
from tallybert import cli
from tests.tallybert.commandline import report_of
from tests.tallybert.small_networks import write_accelerator, write_small_network

Refusal = Callable[..., str]
LAYER = ("--layer", "8x24x10")
JITTERY = MemoryProfile(jitter=40, stall_rate=64, stall_max=7, seed=7)


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what sim leaves of a layer on a restless memory: `case` and `timeline.json`."""
    path = tmp_path_factory.mktemp("explain")
    written = ("-o", str(path / "case"), "--timeline", str(path / "timeline.json"))
    assert cli.main(["sim", str(tiny), *LAYER, "--jitter", "--seed", "7", *written, "--json"]) == 0
    return path


@pytest.fixture(scope="module")
def case(folder: Path) -> str:
    return str(folder / "case")


@pytest.fixture(scope="module")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what run leaves of a text: `case`, `timeline.json` and `report.json`."""
    path = tmp_path_factory.mktemp("sentence")
    write_small_network(path / "n.safetensors", 4)
    write_accelerator(path / "a.yaml")
    files = ("run", str(path / "n.safetensors"), str(path / "a.yaml"), "word3")
    written = ("-o", str(path / "case"), "--timeline", str(path / "timeline.json"))
    assert cli.main([*files, *written, "--json"]) == 0
    return path


class TestProgram:
    def test_it_is_the_run_that_sim_made(self, case: str, capsys: pytest.CaptureFixture[str]) -> None:
        report, expected = report_of(capsys, "explain", case), read_case(Path(case))
        assert report["memory"] == JITTERY.to_dict()
        assert report["cycles"] == expected.cycles
        trace = [(row["issue"], row["retire"]) for row in report["rows"]]
        assert trace == [(issue, retire) for issue, retire, _ in expected.trace]
        states = [[*counts.values()][1:] for counts in report["units"].values()]
        assert states == [list(row) for row in expected.states if any(row)]

    def test_a_row(self, case: str, capsys: pytest.CaptureFixture[str]) -> None:
        row = report_of(capsys, "explain", case)["rows"][1]
        assert list(row) == [
            *("number", "unit", "opcode", "name", "operands", "text", "reads", "writes", "memory", "touched"),
            *("problem", "waits", "signals", "head", "issue", "retire", "stood", "why"),
        ]
        assert (row["number"], row["unit"], row["opcode"], row["name"]) == (1, "load", "LOAD", "weights")
        assert row["operands"]["buffer"] == "weight"
        assert list(row["writes"]) == ["weight"] and row["reads"] == {}
        assert row["signals"] == {"array": 4}
        assert sum(cause["until"] - cause["since"] + 1 for cause in row["why"]) == row["stood"]

    def test_a_part(self, case: str, capsys: pytest.CaptureFixture[str]) -> None:
        whole = report_of(capsys, "explain", case)["rows"]
        assert report_of(capsys, "explain", case, "--from", "3", "--count", "2")["rows"] == whole[3:5]
        assert report_of(capsys, "explain", case, "--from", "9", "--count", "100")["rows"] == whole[9:]
        assert report_of(capsys, "explain", case, "--count", "1")["rows"] == whole[:1]

    def test_other_memories(self, case: str, capsys: pytest.CaptureFixture[str]) -> None:
        report = report_of(capsys, "explain", case, "--memory-latency", "90", "--seed", "1")
        assert report["memory"] == JITTERY.to_dict() | {"latency": 90, "seed": 1}
        assert report["cycles"] != read_case(Path(case)).cycles

    def test_a_program_without_a_case_has_the_usual_memory(
        self, case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("program.json", "image.bin"):
            shutil.copy(Path(case) / name, tmp_path)
        assert report_of(capsys, "explain", str(tmp_path))["memory"] == MemoryProfile().to_dict()
        assert report_of(capsys, "explain", str(tmp_path / "program.json"))["program"] == str(tmp_path)

    def test_the_listing(self, case: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["explain", case]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        rows = {line.split()[0]: line for line in out.splitlines() if line.strip()[:1].isdigit()}
        report = report_of(capsys, "explain", case)
        assert len(rows) == len(report["rows"])
        for row in report["rows"]:
            figures = rows[str(row["number"])].split()
            assert figures[1:4] == [row["unit"], f"{row['issue']:,}", f"{row['retire']:,}"]
            assert row["touched"] in out and all(cause["text"] in out for cause in row["why"])
        assert "waits for load 1" in out and "signals array 4" in out


class TestCycle:
    def test_the_report(self, case: str, capsys: pytest.CaptureFixture[str]) -> None:
        report = report_of(capsys, "explain", case, "--at", "100")
        assert report["cycle"] == 100
        assert list(report["units"]) == ["load", "array", "drain", "store", "sequencer"]
        assert set(report["units"]["load"]) == {"state", "since", "until", "instruction", "title", "what", "in_flight"}
        assert {"instruction_queue", "queues", "loads", "stores", "tokens"} <= set(report)

    @pytest.mark.parametrize("cycle", ["0", "100", "last"])
    def test_the_listing(self, cycle: str, case: str, capsys: pytest.CaptureFixture[str]) -> None:
        at = str(read_case(Path(case)).cycles - 1) if cycle == "last" else cycle
        assert cli.main(["explain", case, "--at", at]) == 0
        out = capsys.readouterr().out
        report = report_of(capsys, "explain", case, "--at", at)
        for unit, found in report["units"].items():
            line = next(line for line in out.splitlines() if line.startswith(unit))
            assert line.split()[1:4] == [found["state"], f"{found['since']:,}", f"{found['until']:,}"]
            assert found["what"] in out
        assert f"cycle {int(at):,} of 0 to " in out


class TestSentence:
    def test_instructions_have_the_names_of_operations(
        self, sentence: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = report_of(capsys, "explain", str(sentence / "case"))["rows"]
        products = {row["name"].split(".")[0] for row in rows if row["opcode"] == "MATMUL"}
        assert products == {"member0"}
        assert {row["name"] for row in rows if row["opcode"] == "EXIT"} == {"member0.exit"}
        assert all(row["name"] for row in rows if row["opcode"] != "HALT")

    def test_it_ends_with_the_exit_that_ends_the_run(self, sentence: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report, expected = report_of(capsys, "explain", str(sentence / "case")), read_case(sentence / "case")
        assert report["cycles"] == expected.cycles
        assert report["instructions_run"] == len(expected.trace) <= report["instructions"]

    def test_every_unit(self, sentence: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report = report_of(capsys, "explain", str(sentence / "case"), "--at", "300")
        assert list(report["units"]) == ["load", "array", "drain", "store", "vector", "row", "sequencer"]

    def test_the_program_can_be_checked(self, sentence: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert report_of(capsys, "check", str(sentence / "case"))["ok"]


class TestKept:
    @pytest.mark.parametrize("name", ["program.json", "image.bin", "expected.json", "expected.bin", "names.json"])
    def test_a_timeline_in_the_place_of_a_file_of_the_program(
        self, name: str, sentence: Path, refusal: Callable[..., str]
    ) -> None:
        folder = sentence / "case"
        before = (folder / name).read_bytes()
        message = refusal("explain", str(folder), "--timeline", str(folder / name))
        assert message == f"--timeline must be a file of its own, not the program's {name}"
        assert (folder / name).read_bytes() == before

    def test_a_timeline_over_the_program_that_is_kept(self, tmp_path: Path, refusal: Callable[..., str]) -> None:
        (tmp_path / "new").mkdir()
        where = str(tmp_path / "new" / "image.bin")
        message = refusal("sim", "nano", "--layer", "4x8x8", "-o", str(tmp_path / "new"), "--timeline", where)
        assert "--timeline must be a file of its own" in message or "-o/--output" in message

    def test_timelines_of_sim_and_explain_are_equal(self, folder: Path, tmp_path: Path, case: str) -> None:
        path = tmp_path / "again.json"
        assert cli.main(["explain", case, "--timeline", str(path), "--json"]) == 0
        assert events(path) == events(folder / "timeline.json")

    def test_timelines_of_run_and_explain_are_equal(self, sentence: Path, tmp_path: Path) -> None:
        path = tmp_path / "again.json"
        assert cli.main(["explain", str(sentence / "case"), "--timeline", str(path), "--json"]) == 0
        assert events(path) == events(sentence / "timeline.json")

    def test_the_report_says_where(self, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        written = ("-o", str(tmp_path / "a" / "b"), "--timeline", str(tmp_path / "t.json"))
        report = report_of(capsys, "sim", str(tiny), *LAYER, *written)
        assert (report["folder"], report["timeline"]) == (written[1], written[3])
        plain = report_of(capsys, "sim", str(tiny), *LAYER)
        assert set(report) - set(plain) == {"folder", "timeline"}
        assert all(report[name] == plain[name] for name in plain)

    def test_only_one_of_them(self, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report = report_of(capsys, "sim", str(tiny), *LAYER, "--timeline", str(tmp_path / "t.json"))
        assert "folder" not in report and [path.name for path in tmp_path.iterdir()] == ["t.json"]

    def test_a_program_without_names_takes_the_place_of_one_with_names(
        self, sentence: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(sentence / "case", tmp_path / "case")
        report_of(capsys, "sim", str(tiny), *LAYER, "-o", str(tmp_path / "case"))
        assert report_of(capsys, "explain", str(tmp_path / "case"))["accelerator"] == "tiny"


def events(path: Path) -> Any:
    """Return the events of a timeline without the title."""
    return [e for e in json.loads(path.read_text())["traceEvents"] if e["name"] != "process_name"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--at", "LAST+1"), "--at must be a cycle from 0 to LAST, not LAST+1: the run ends in cycle LAST"),
            (("--at", "-1"), "--at must be a cycle from 0 to LAST, not -1: the run ends in cycle LAST"),
            (("--at", "x"), "--at: must be an integer in decimal, not 'x'"),
            (("--at", "1.5"), "--at: must be an integer in decimal, not '1.5'"),
            (("--at",), "--at must have a value, not nothing"),
            (("--from", "11"), "--from must be an instruction from 0 to 10, not 11: the run ends with instruction 10"),
            (("--from", "-1"), "--from must be an instruction from 0 to 10, not -1: the run ends with instruction 10"),
            (("--from", "a"), "--from: must be an integer in decimal, not 'a'"),
            (("--count", "0"), "--count: must be an integer from 1 to 10000000, not 0"),
            (("--at", "3", "--from", "1"), "--from must be left out with --at, not 1"),
            (("--at", "3", "--count", "1"), "--count must be left out with --at, not 1"),
            (("--memory-latency", "0"), "memory.latency must be an integer from 1 to 65535, not 0"),
            (("--seed", "-1"), "--seed: must be an integer from 0 to 4294967295, not -1"),
            (("--rows", "3"), "explain has no argument '--rows'"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_arguments(self, arguments: tuple[str, ...], message: str, case: str, refusal: Refusal) -> None:
        last = read_case(Path(case)).cycles - 1

        def filled(text: str) -> str:
            return text.replace("LAST+1", str(last + 1)).replace("LAST", str(last))

        assert refusal("explain", case, *map(filled, arguments)) == filled(message)

    def test_no_program(self, refusal: Refusal) -> None:
        assert refusal("explain") == "PROGRAM must be given"

    def test_a_folder_that_is_not_there(self, refusal: Refusal) -> None:
        message = refusal("explain", "nowhere")
        assert message == (
            "PROGRAM must be a folder with a program, not 'nowhere': "
            "`tallybert sim` and `tallybert run` write one with -o"
        )

    def test_a_file(self, tiny: Path, refusal: Refusal) -> None:
        assert refusal("explain", str(tiny)).startswith("PROGRAM must be a folder with a program, not the file '")

    def test_a_folder_of_something_else(self, tmp_path: Path, refusal: Refusal) -> None:
        message = refusal("explain", str(tmp_path))
        assert message == f"PROGRAM must be a folder with program.json, not {shown(str(tmp_path))}"

    def test_the_folder_around_it(self, folder: Path, refusal: Refusal) -> None:
        assert refusal("explain", str(folder)).endswith(f"; did you mean {folder / 'case'}?")

    def test_a_damaged_program(self, case: str, tmp_path: Path, refusal: Refusal) -> None:
        shutil.copytree(case, tmp_path / "case")
        (tmp_path / "case" / "image.bin").write_bytes(b"nothing")
        assert refusal("explain", str(tmp_path / "case")).startswith(f"{tmp_path}/case/program.json: ")

    def test_damaged_names(self, case: str, tmp_path: Path, refusal: Refusal) -> None:
        shutil.copytree(case, tmp_path / "case")
        (tmp_path / "case" / "names.json").write_text("{}")
        assert refusal("explain", str(tmp_path / "case")).startswith(f"{tmp_path}/case/names.json: must be of format ")

    def test_a_damaged_case(self, case: str, tmp_path: Path, refusal: Refusal) -> None:
        shutil.copytree(case, tmp_path / "case")
        (tmp_path / "case" / "expected.json").write_text("{}")
        assert refusal("explain", str(tmp_path / "case")).startswith(f"{tmp_path}/case/expected.json: must be of ")

    @pytest.mark.parametrize("option", ["--timeline", "-o"])
    def test_where_nothing_can_be_written(self, option: str, tiny: Path, refusal: Refusal) -> None:
        path = str(tiny / "x")
        assert "must be a f" in refusal("sim", str(tiny), *LAYER, option, path)


def test_a_pipe_is_not_replaced(case: str, tmp_path: Path, refusal: Refusal) -> None:
    os.mkfifo(tmp_path / "p")
    message = refusal("explain", case, "--timeline", str(tmp_path / "p"))
    assert message.startswith("--timeline: must be a file to write, not the device or pipe '")
    assert (tmp_path / "p").is_fifo()


def test_the_guide_shows_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "explain.md").read_text()
    assert cli.main(["sim", "nano", "--layer", "16x64x48", "-o", str(tmp_path)]) == 0
    for arguments in (("--from", "6", "--count", "2"), ("--at", "300")):
        command, _, rest = guide.partition(f"`tallybert explain out/layer {' '.join(arguments)}` says\n\n```\n")
        assert command != guide
        assert cli.main(["explain", str(tmp_path), *arguments]) == 0
        assert rest.partition("\n```\n")[0] in capsys.readouterr().out


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["explain", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "example: tallybert explain out/layer --at 500" in out
    assert "of the memory (default: that of the case)" in out
    assert "(default: 20)" not in out
