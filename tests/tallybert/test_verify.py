"""verify on Icarus, the bench on what it kept, and that the comparison sees faults: planted, tampered, interrupted."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hw.arch import Accelerator
from hw.bench.runner import RunError
from hw.config import load_accelerator
from sim.memory import MemoryProfile
from tallybert import cli, flow
from tallybert.report import show_verification
from tests.tallybert.commandline import ROOT, check_what_was_kept, look_at_the_table, run, verify_and_keep

Refusal = Callable[..., str]
LAYER = ("--layer", "3x10x5", "--jitter", "--seed", "7")
FILES = ("case/expected.bin", "case/expected.json", "case/image.bin", "case/program.json", "rtl/tallybert_core.v")


@pytest.fixture(scope="module")
def kept(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return what `verify --keep` left on Icarus, and its report."""
    return verify_and_keep(tmp_path_factory.mktemp("kept"), str(tiny), *LAYER)


def bench(folder: Path) -> tuple[int, dict[str, Any]]:
    """Run the bench on a folder that was kept; return its exit code and its result."""
    core, case = folder / "rtl" / "tallybert_core.v", folder / "case"
    result = run("hw.bench", str(core), str(case), "--simulator", "icarus")
    assert result.stderr == ""
    return result.returncode, json.loads(result.stdout)


def sides(result: dict[str, Any]) -> tuple[str, str]:
    """Return what the first difference says of the simulator and of the RTL."""
    _, simulator, rtl = result["first_difference"]
    assert simulator.startswith("  simulator: ")
    assert rtl.startswith("  RTL:       ")
    return simulator.split(": ", 1)[1].strip(), rtl.split(": ", 1)[1].strip()


@pytest.mark.icarus
class TestVerify:
    def test_the_report(self, kept: tuple[Path, dict[str, Any]]) -> None:
        folder, report = kept
        zeros = ("bits_different", "cycles_different", "checksums_different", "states_different")
        assert [report[name] for name in zeros] == [0, 0, 0, 0]
        assert (report["ok"], report["simulator"], report["kept"]) == (True, "icarus", str(folder))
        assert report["cycles"] == report["rtl_cycles"] > 100
        assert report["instructions"] == len(json.loads((folder / "case/expected.json").read_text())["trace"])
        assert report["rtl_seconds"] > 0
        assert report["sim_seconds"] > 0
        assert report["first_difference"] == []

    def test_the_table(self, kept: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
        folder, report = kept
        show_verification(report)
        look_at_the_table(capsys.readouterr().out, folder, "bits", "cycles", "checksums", "unit states")

    def test_what_was_kept_passes_every_check(
        self, kept: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder, report = kept
        rtl, case = check_what_was_kept(capsys, folder)
        assert rtl == f"{folder}/rtl: rtl (accelerator tiny, lanes 16, files 2): ok"
        assert case.endswith(f"cycles {report['cycles']}): ok")
        assert case.startswith(f"{folder}/case: case (accelerator tiny, instructions {report['instructions']}, ")

    def test_the_bench_says_the_same(self, kept: tuple[Path, dict[str, Any]]) -> None:
        folder, report = kept
        code, result = bench(folder)
        assert (code, result["cycles"], result["first_difference"]) == (0, report["cycles"], [])

    def test_nothing_stays_unless_it_is_kept(self, tiny: Path, tmp_path: Path, kept: object) -> None:
        result = run("tallybert", "verify", str(tiny), *LAYER, "--simulator", "icarus", "--json", TMPDIR=str(tmp_path))
        assert (result.returncode, json.loads(result.stdout)["kept"]) == (0, None)
        assert list(tmp_path.glob("tallybert-*")) == []


@pytest.mark.icarus
class TestFaults:
    """Each fault is one change to a copy; the bench has to find it, and to show both sides."""

    @pytest.fixture
    def copy(self, kept: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
        for name in FILES:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(kept[0] / name, tmp_path / name)
        return tmp_path

    def plant(self, folder: Path, module: str, pattern: str, replacement: str) -> None:
        """Change the one place in a module of the Verilog that a pattern finds."""
        path = folder / "rtl" / "tallybert_core.v"
        found = re.search(
            rf"^module \\?{re.escape(module)}\b ?\(.*?^endmodule", path.read_text(), re.DOTALL | re.MULTILINE
        )
        assert found
        changed, count = re.subn(pattern, replacement, found[0])
        assert count == 1, f"{pattern} must be found once in {module}, not {count} times"
        path.write_text(path.read_text().replace(found[0], changed))

    def test_a_wrong_operator_in_the_product(self, copy: Path) -> None:
        self.plant(copy, "tallybert_element", r"activation \^ weight", "activation | weight")
        code, result = bench(copy)
        assert code == 1
        assert result["bits_different"] > 0
        assert result["checksums_different"] > 0
        assert result["cycles_different"] == result["states_different"] == 0
        simulator, rtl = sides(result)
        assert simulator.startswith("matmul ")
        assert simulator.rpartition(" ")[0] == rtl.rpartition(" ")[0]
        assert simulator != rtl

    def test_a_sequencer_that_takes_in_every_other_cycle_only(self, copy: Path) -> None:
        self.plant(copy, "tallybert_machine.sequencer", r"(assign \S+ +=) (\S+ & valid);", r"\1 \2 & cycle[0];")
        code, result = bench(copy)
        assert code == 1
        assert result["cycles_different"] > 0
        assert result["bits_different"] == result["checksums_different"] == 0
        simulator, rtl = sides(result)
        issued = [
            int(re.search(r"issue (\d+), retire \d+, checksum [0-9a-f]{8}$", text)[1]) for text in (simulator, rtl)
        ]
        assert issued[0] < issued[1]

    def test_an_expectation_one_cycle_off(self, copy: Path) -> None:
        path = copy / "case" / "expected.json"
        value = json.loads(path.read_text())
        value["trace"][2][1] += 1
        path.write_text(json.dumps(value))
        code, result = bench(copy)
        assert (code, result["cycles_different"], result["bits_different"]) == (1, 1, 0)
        assert result["first_difference"][0].startswith("instruction 2 at 0x")
        retired = [int(re.search(r"retire (\d+)", text)[1]) for text in sides(result)]
        assert retired[0] == retired[1] + 1

    def test_an_expectation_one_bit_off(self, copy: Path) -> None:
        path, memory = copy / "case" / "expected.json", bytearray((copy / "case" / "expected.bin").read_bytes())
        memory[5] ^= 0x10
        (copy / "case" / "expected.bin").write_bytes(memory)
        refused = run("hw.bench", str(copy / "rtl/tallybert_core.v"), str(copy / "case"), "--simulator", "icarus")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert re.fullmatch(r"hw\.bench: error: .*expected\.json: memory_sha256: must be .*\n", refused.stderr)
        value = json.loads(path.read_text()) | {"memory_sha256": hashlib.sha256(memory).hexdigest()}
        path.write_text(json.dumps(value))
        code, result = bench(copy)
        assert (code, result["bits_different"], result["cycles_different"]) == (1, 1, 0)
        assert result["first_difference"][0] == "memory byte 0x5"
        simulator, rtl = (int(text, 2) for text in sides(result))
        assert simulator ^ rtl == 0x10

    def test_the_table_of_a_difference(
        self, kept: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        different = {"ok": False, "bits_different": 3, "cycles_different": None, "first_difference": ["a [b]", "c"]}
        show_verification({**kept[1], **different, "counters": False})
        out = capsys.readouterr().out
        assert re.search(r"bits different +│ +3 │", out)
        assert re.search(r"cycles different +│ did not finish │", out)
        assert re.search(r"unit states different +│ +not compared │ the accelerator has no counters", out)
        assert re.search(r"verdict +│ +DIFFERENT │", out)
        assert "\na [b]\nc\n" in out


class TestInterrupted:
    @pytest.mark.icarus
    def test_ctrl_c_while_the_rtl_runs(self, tiny: Path, kept: object, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "tallybert", "verify", str(tiny), "--layer", "200x60x60"]
        command += ["--simulator", "icarus", "--keep", str(tmp_path / "kept")]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stderr
            while not process.stderr.readline().startswith("running "):
                assert process.poll() is None
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (130, "", "tallybert: error: interrupted\n")
        assert cli.main(["check", str(tmp_path / "kept" / "case")]) == 0

    def test_an_older_expectation_never_stands_beside_a_newer_program(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def write(seed: int) -> None:
            memory, accelerator = MemoryProfile(), load_accelerator("nano")
            work = flow.random_workload(2, 20, 5, "signed", seed)
            done = flow.run_simulation(accelerator, work, memory, lambda line: None)
            flow.write_case(tmp_path, done, memory)

        def stop(*_arguments: object, **_named: object) -> None:
            raise KeyboardInterrupt

        write(1)
        (tmp_path / "result.json").write_text("{}")
        monkeypatch.setattr("hw.bench.case.write_expectation", stop)
        with pytest.raises(KeyboardInterrupt):
            write(2)
        assert not (tmp_path / "expected.json").exists()
        assert not (tmp_path / "result.json").exists()


class TestTemporaryFiles:
    @pytest.fixture
    def end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], list[Path]]:
        """Return a function that ends a run on the RTL with an error; it returns the temporary folders that stay."""
        monkeypatch.setattr("hw.bench.build.missing_tool", lambda simulator: None)
        monkeypatch.setattr("hw.bench.build.build", lambda *arguments: tmp_path)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

        def ended(error: BaseException) -> list[Path]:
            def fail(*arguments: object) -> None:
                raise error

            monkeypatch.setattr("hw.bench.runner.run", fail)
            one_lane = Accelerator(name="one", rows=1, columns=1, word_bits=1, sum_bits=4, counters=False)
            work = flow.random_workload(1, 2, 1, "signed", 0)
            with pytest.raises(type(error)):
                flow.verify(
                    one_lane, work, memory=MemoryProfile(), simulator="icarus", keep=None, say=lambda line: None
                )
            return list(tmp_path.glob("tallybert-*"))

        return ended

    def test_they_go_with_an_interruption(self, end: Callable[[BaseException], list[Path]]) -> None:
        assert end(KeyboardInterrupt()) == []

    def test_they_stay_where_an_error_names_a_log_in_them(self, end: Callable[[BaseException], list[Path]]) -> None:
        (folder,) = end(RunError("its output is there"))
        assert sorted(path.name for path in folder.iterdir()) == ["case", "rtl"]


class TestMissingSimulator:
    @pytest.mark.parametrize(("simulator", "tool"), [("icarus", "iverilog"), ("verilator", "c++")])
    def test_one_line_before_any_work(
        self, simulator: str, tool: str, tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        folder = tmp_path / "kept"
        message = refusal("verify", "nano", "--layer", "2x8x4", "--simulator", simulator, "--keep", str(folder))
        assert message == f"{simulator} needs {tool}, which is not installed"
        assert not folder.exists()
