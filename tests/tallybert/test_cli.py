"""The command: help, one line for whatever is wrong, exit codes, and whose model.py it imports."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hw.config
from hw.arch import AcceleratorError
from hw.files import FileError
from hw.isa import InstructionError
from hw.program import ProgramError
from tallybert import __version__, cli
from tallybert.keeping import Kept
from tallybert.options import JITTER

Refusal = Callable[..., str]
ROOT = Path(__file__).parents[2]
VERBS = ("demo", "train", "eval", "robustness", "study", "export", "models", "counts", "picture", "rtl", "run", "sim")
VERBS += ("verify", "explain", "check")
ACCELERATOR = "format: tallybert-accelerator-1\nname: mine\narray:\n  rows: 8\n"
CONSOLE_SCRIPT = Path(sys.executable).parent / "tallybert"
WAYS = {
    "module": [sys.executable, "-m", "tallybert"],
    "console script": [str(CONSOLE_SCRIPT)],
}


def run(*arguments: str, way: str = "module", **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    if way == "console script" and not CONSOLE_SCRIPT.exists():
        pytest.skip("the project is not installed in this environment")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} if way == "module" else dict(os.environ)
    fixed = {"capture_output": True, "text": True, "timeout": 60, "env": environment}
    return subprocess.run([*WAYS[way], *arguments], check=False, **{**fixed, **options})


class TestHelp:
    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_has_an_example_and_json(self, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stop:
            cli.main([verb, "--help"])
        out = capsys.readouterr().out
        assert stop.value.code == 0
        assert f"example: tallybert {verb} " in out
        assert "--json" in out

    @pytest.mark.parametrize("verb", VERBS)
    def test_the_examples_are_accepted(self, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            cli.main([verb, "--help"])
        example = re.search(r"^example: tallybert (.*)$", capsys.readouterr().out, re.MULTILINE)
        assert example
        assert cli.build_parser().parse_args(shlex.split(example[1])).verb == verb

    def test_the_whole_names_every_verb(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stop:
            cli.main(["--help"])
        assert stop.value.code == 0
        assert re.findall(r"^    (\w+)(?: |$)", capsys.readouterr().out, re.MULTILINE) == list(VERBS)

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stop:
            cli.main(["--version"])
        assert (stop.value.code, capsys.readouterr().out) == (0, f"tallybert {__version__}\n")

    def test_help_imports_nothing_that_takes_time(self) -> None:
        program = (
            "import sys; from tallybert.cli import build_parser; build_parser().format_help(); "
            "print(*sorted({'numpy', 'numba', 'torch', 'amaranth', 'yaml', 'rich', 'networkx'} & set(sys.modules)))"
        )
        result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == ""


LAYER = ("--layer", "16x64x32")
NO_LAYER = "--layer: must be MxKxN (rows x inputs x outputs), each from 1 to 65535, as in 128x768x768, not"
WRONG_ARGUMENTS = [
    ((), "VERB must be given"),
    (("simulate",), f"VERB: must be one of {', '.join(VERBS)}, not 'simulate'; did you mean 'sim'?"),
    (("verfy",), f"VERB: must be one of {', '.join(VERBS)}, not 'verfy'; did you mean 'verify'?"),
    (("a\nb",), f"VERB: must be one of {', '.join(VERBS)}, not 'a\\nb'"),
    (("check",), "PATH must be given"),
    (("check", "edge", "nano"), "check has no argument 'nano'"),
    (("rtl", "edge"), "-o/--output must be given"),
    (("rtl", "edge", "-o"), "-o/--output must have a value, not nothing"),
    (("sim",), "ACCELERATOR must be given"),
    (("sim", "edge"), "--layer or --network must be given"),
    (("sim", "edge", "--layer"), "--layer must have a value, not nothing"),
    *(
        (("sim", "edge", "--layer", text), f"{NO_LAYER} {text!r}")
        for text in (
            "16x64",
            "16x64x32x1",
            "0x64x32",
            "16x64x65536",
            "99999x1x1",
            "100000x1x1",
            "1x2x3 ",
            " 1x2x3",
            "",
            "1.5x2x3",
            "0x10x2",
            "ax2x3",
            "16X64X32",
            "1x2x3\n",
            "１x2x3",
            "01x2x3",
            "1_0x2x3",
            "16×64×32",
        )
    ),
    (
        ("sim", "edge", *LAYER, "--set", "signd"),
        "--set: must be one of signed, unsigned, not 'signd'; did you mean 'signed'?",
    ),
    (("sim", "edge", *LAYER, "--seed", "-1"), "--seed: must be an integer from 0 to 4294967295, not -1"),
    (
        ("sim", "edge", *LAYER, "--seed", "4294967296"),
        "--seed: must be an integer from 0 to 4294967295, not 4294967296",
    ),
    (("sim", "edge", *LAYER, "--seed", "0x1"), "--seed: must be an integer in decimal, not '0x1'"),
    (("sim", "edge", *LAYER, "--sed", "1"), "sim has no argument '--sed'; did you mean '--seed'?"),
    (("sim", "edge", *LAYER, "--see=1"), "sim has no argument '--see=1'; did you mean '--seed'?"),
    (("sim", "edge", *LAYER, "--keep", "x"), "sim has no argument '--keep'"),
    (("sim", "edge", *LAYER, "--memory-latency", "x"), "--memory-latency: must be an integer in decimal, not 'x'"),
    (("sim", "edge", *LAYER, "--memory-latency", "1e3"), "--memory-latency: must be an integer in decimal, not '1e3'"),
    (
        ("sim", "edge", *LAYER, "--memory-latncy", "1"),
        "sim has no argument '--memory-latncy'; did you mean '--memory-latency'?",
    ),
    (("sim", "edge", *LAYER, "--memory-latency", "0"), "memory.latency must be an integer from 1 to 65535, not 0"),
    (
        ("sim", "edge", *LAYER, "--memory-stall-rate", "257"),
        "memory.stall_rate must be an integer from 0 to 256, not 257",
    ),
    (
        ("verify", "edge", *LAYER, "--memory-interval", "256"),
        "memory.interval must be an integer from 1 to 255, not 256",
    ),
    (
        ("verify", "nano", *LAYER, "--simulator", "icarsu"),
        "--simulator: must be one of verilator, icarus, not 'icarsu'; did you mean 'icarus'?",
    ),
]
NO_PRESET = "accelerator must be a YAML file or one of nano, edge, big, stream, not"


class TestWrongArguments:
    @pytest.mark.parametrize(("arguments", "message"), WRONG_ARGUMENTS, ids=lambda value: str(value)[:60])
    def test_one_line(self, arguments: tuple[str, ...], message: str, refusal: Refusal) -> None:
        assert refusal(*arguments) == message

    @pytest.mark.parametrize(
        "arguments", [("rtl", "egde", "-o", "x"), ("sim", "egde", *LAYER), ("verify", "egde", *LAYER)]
    )
    def test_unknown_preset(
        self, arguments: tuple[str, ...], refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert refusal(*arguments) == f"{NO_PRESET} 'egde'; did you mean 'edge'?"
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "arguments", [("rtl", "no.yaml", "-o", "x"), ("sim", "no.yaml", *LAYER), ("check", "no.yaml")]
    )
    def test_missing_file(
        self, arguments: tuple[str, ...], refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert refusal(*arguments) == "no.yaml: must be a file, but it does not exist"

    def test_long_arguments_are_cut(self, refusal: Refusal) -> None:
        assert len(refusal("sim", "edge", "--layer", "9" * 100_000)) < 300
        assert len(refusal("x" * 100_000)) < 300
        assert len(refusal("sim", "edge", *LAYER, "--" + "x" * 100_000)) < 300

    def test_abbreviations_are_not_guessed(self, refusal: Refusal) -> None:
        assert refusal("sim", "edge", "--lay", "1x2x3") == "--layer or --network must be given"


class TestOutcomes:
    @pytest.mark.parametrize("kind", [FileError, AcceleratorError, InstructionError, ProgramError])
    def test_our_errors_are_one_line(
        self, kind: type[Exception], refusal: Refusal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_path: object) -> None:
            raise kind("first\nsecond \x1b[31m" + "x" * 5000)

        monkeypatch.setattr(hw.config, "load_accelerator", fail)
        message = refusal("check", "edge")
        assert message.startswith("first\\nsecond \\x1b[31mxxx")
        assert message.endswith("x...")

    def test_a_bug_is_not_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_path: object) -> None:
            raise ValueError("a bug")

        monkeypatch.setattr(hw.config, "load_accelerator", fail)
        with pytest.raises(ValueError, match="a bug"):
            cli.main(["check", "edge"])

    def test_a_disagreement_is_no_wrong_input(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tallybert.flow import ResultError

        def fail(_path: object) -> None:
            raise ResultError("they differ")

        monkeypatch.setattr(hw.config, "load_accelerator", fail)
        assert cli.main(["check", "edge"]) == 1
        assert capsys.readouterr() == ("", "tallybert: error: they differ\n")

    def test_system_errors(self, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_path: object) -> None:
            raise PermissionError(13, "Permission denied", "/some/where")

        monkeypatch.setattr(hw.config, "load_accelerator", fail)
        assert refusal("check", "edge") == "/some/where: Permission denied"

    def test_interrupt(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(_path: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(hw.config, "load_accelerator", stop)
        assert cli.main(["check", "edge"]) == 130
        assert capsys.readouterr() == ("", "tallybert: error: interrupted\n")

    def test_a_reader_that_went_away(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        result = run("check", "edge", capture_output=False, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert (result.returncode, result.stderr) == (141, "")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk(self) -> None:
        with Path("/dev/full").open("w") as full:
            result = run("check", "edge", capture_output=False, stdout=full, stderr=subprocess.PIPE)
        assert (result.returncode, result.stderr) == (2, "tallybert: error: No space left on device\n")

    def test_no_output_at_all(self) -> None:
        result = subprocess.run(
            f'"{sys.executable}" -m tallybert check edge >&-', shell=True, cwd=ROOT, stderr=subprocess.PIPE, check=False
        )
        assert (result.returncode, result.stderr) == (0, b"")

    def test_names_that_the_terminal_cannot_show(self, tmp_path: Path) -> None:
        path = tmp_path / "é.yaml"
        path.write_text(ACCELERATOR)
        ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
        result = run("check", str(path), env=ascii_only)
        assert (result.returncode, result.stderr) == (0, "")
        assert "\\xe9.yaml: accelerator" in result.stdout

    def test_ctrl_c_ends_a_process_without_a_traceback(self) -> None:
        program = (
            "import sys, time, hw.config; from tallybert import cli\n"
            "hw.config.load_accelerator = lambda path: (print('ready', flush=True), time.sleep(60))\n"
            "sys.exit(cli.main(['check', 'edge']))"
        )
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (130, "tallybert: error: interrupted\n")


class TestImportPath:
    @pytest.mark.parametrize("way", WAYS)
    def test_a_users_modules_are_left_alone(self, way: str, tmp_path: Path) -> None:
        for name in ("model", "hw", "sim", "mapping", "yaml", "argparse"):
            (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
        (tmp_path / "x.safetensors").write_bytes(b"no network")
        result = run("check", "edge", way=way, cwd=tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        result = run("check", "x.safetensors", way=way, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("tallybert: error: x.safetensors: ")
        assert len(result.stderr.splitlines()) == 1


class TestWhatVerbsPassOn:
    """The arguments that the flow gets, with the flow itself replaced."""

    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[object, ...], dict[str, object]]]:
        import types

        made: list[tuple[str, tuple[object, ...], dict[str, object]]] = []
        flow = types.ModuleType("tallybert.flow")
        flow.random_workload = flow.layer_workload = lambda *arguments: arguments
        for name in ("demo", "rtl", "simulate", "verify"):

            def call(*arguments: object, _name: str = name, **named: object) -> dict[str, object]:
                made.append((_name, arguments, named))
                return {"ok": False, "cycles": {"total": 7}}

            setattr(flow, name, call)
        monkeypatch.setitem(sys.modules, "tallybert.flow", flow)
        monkeypatch.setattr("tallybert.flow", flow, raising=False)
        return made

    def test_simulate(self, calls: list, capsys: pytest.CaptureFixture[str]) -> None:
        from sim.memory import MemoryProfile

        arguments = ["sim", "edge", *LAYER, "--set", "unsigned", "--seed", "3", "--memory-latency", "9", "--json"]
        assert cli.main(arguments) == 0
        ((name, arguments, named),) = calls
        assert (name, arguments) == ("simulate", (hw.config.load_accelerator("edge"), (16, 64, 32, "unsigned", 3)))
        assert named.pop("memory") == MemoryProfile(latency=9, seed=3)
        assert callable(named.pop("say"))
        assert named == {"kept": Kept()}
        assert json.loads(capsys.readouterr().out) == {"ok": False, "cycles": {"total": 7}}

    def test_verify(self, calls: list, capsys: pytest.CaptureFixture[str]) -> None:
        from sim.memory import MemoryProfile

        arguments = ["verify", "nano", *LAYER, "--jitter", "--memory-jitter", "2", "--keep", "d", "--json"]
        assert cli.main(arguments) == 1
        ((name, (_, work), named),) = calls
        assert (name, work) == ("verify", (16, 64, 32, "signed", 0))
        assert named["memory"] == MemoryProfile(**{**JITTER, "jitter": 2})
        assert (named["simulator"], named["keep"]) == ("verilator", Path("d"))
        out, err = capsys.readouterr()
        assert json.loads(out) == {"ok": False, "cycles": {"total": 7}}
        assert err == ""

    def test_rtl_and_demo(self, calls: list) -> None:
        assert cli.main(["rtl", "edge", "-o", "d", "--json"]) == 0
        assert cli.main(["demo", "--json"]) == 1
        folders = [(name, arguments[-1]) for name, arguments, _ in calls]
        assert folders == [("rtl", Path("d")), ("demo", Path("out/demo"))]
