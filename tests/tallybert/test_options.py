"""What the verbs refuse before any work: sizes, folders, arguments that do not go together; and what help promises."""

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.config import load_accelerator
from sim.memory import MemoryProfile
from tallybert import cli
from tallybert.options import MAX_BITS, MAX_PRODUCTS, MAX_STEPS, CommandError, Layer, new_folder, require_size

Refusal = Callable[..., str]
LAYER = ("--layer", "4x8x4")
FOLDER_VERBS = [("rtl", "nano", "-o"), ("demo", "-o"), ("verify", "nano", *LAYER, "--keep")]


class TestSize:
    @pytest.mark.parametrize(
        ("layer", "message"),
        [
            ("65535x65535x65535", "activations (MxK) must be at most 67,108,864, not 4,294,836,225"),
            ("1x65535x65535", "weights (KxN) must be at most 67,108,864, not 4,294,836,225"),
            ("65535x1x65535", "output bits (MxN) must be at most 67,108,864, not 4,294,836,225"),
            ("8000x8000x8000", "multiply-accumulates (MxKxN) must be at most 17,179,869,184, not 512,000,000,000"),
            ("2048x2048x2048", "steps of the array of nano must be at most 33,554,432, not 67,108,864"),
        ],
    )
    @pytest.mark.parametrize("verb", ["sim", "verify"])
    def test_too_large(self, verb: str, layer: str, message: str, refusal: Refusal) -> None:
        assert refusal(verb, "nano", "--layer", layer) == f"layer {layer}: {message}; run a part of it"

    def test_the_limits_themselves_are_legal(self) -> None:
        edge = load_accelerator("edge")
        require_size(Layer(8192, 8192, 1), edge)
        require_size(Layer(1, 8192, 8192), edge)
        require_size(Layer(8192, 1, 8192), edge)
        require_size(Layer(1 << 12, 1 << 12, 1 << 10), edge)
        assert (MAX_BITS, MAX_PRODUCTS, MAX_STEPS) == (8192 * 8192, 1 << 34, 1 << 25)

    def test_one_more_is_not(self) -> None:
        with pytest.raises(CommandError, match="multiply-accumulates"):
            require_size(Layer((1 << 12) + 1, 1 << 12, 1 << 10), load_accelerator("edge"))

    def test_a_layer_that_the_sums_cannot_hold(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["sim", "nano", "--layer", "2x4095x2"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines()[-1] == (
            "tallybert: error: layer: inputs must be at most 4094 when padded to words of 16 bits, not 4096; "
            "array.sum_bits must be at least 14, not 13"
        )


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((*LAYER, "--network", "x"), "--network must not be given together with --layer: choose one"),
            ((*LAYER, "--rows", "4"), "--rows must be left out with --layer, which has its rows: 4"),
            (("--network", "x", "--rows", "0"), "--rows: must be an integer from 1 to 65535, not 0"),
            (("--network", "x", "--rows", "-1"), "--rows: must be an integer from 1 to 65535, not -1"),
            ((*LAYER, "--seed", "9" * 30), f"--seed: must be an integer from 0 to 4294967295, not {'9' * 30}"),
            ((*LAYER, "--memory-interval", "0"), "memory.interval must be an integer from 1 to 255, not 0"),
            ((*LAYER, "--memory-latency", "-1"), "memory.latency must be an integer from 1 to 65535, not -1"),
        ],
    )
    def test_one_line(self, arguments: tuple[str, ...], message: str, refusal: Refusal) -> None:
        assert refusal("sim", "nano", *arguments) == message

    def test_the_defaults_in_the_help_are_those_of_the_memory(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            cli.main(["sim", "--help"])
        text = " ".join(capsys.readouterr().out.split())
        for name, value in MemoryProfile().to_dict().items():
            option = "--seed S" if name == "seed" else f"--memory-{name.replace('_', '-')} N"
            assert re.search(rf"{option} [^(]*\(default: {value}\)", text), name


class TestFolders:
    @pytest.mark.parametrize("arguments", FOLDER_VERBS)
    def test_a_file_is_no_folder(self, arguments: tuple[str, ...], tmp_path: Path, refusal: Refusal) -> None:
        file = tmp_path / "file"
        file.write_text("mine")
        option = {"-o": "-o/--output"}.get(arguments[-1], arguments[-1])
        start = f"{option}: must be a folder to write to, not"
        assert refusal(*arguments, str(file)).startswith(f"{start} the file '")
        assert refusal(*arguments, str(file / "below" / "it")).startswith(f"{start} a path below the file '")
        assert refusal(*arguments, "") == f"{start} empty"
        assert file.read_text() == "mine"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    @pytest.mark.parametrize("arguments", FOLDER_VERBS)
    def test_a_read_only_folder(self, arguments: tuple[str, ...], tmp_path: Path, refusal: Refusal) -> None:
        (tmp_path / "locked").mkdir(mode=0o500)
        assert refusal(*arguments, str(tmp_path / "locked")).endswith("which is read-only")
        assert refusal(*arguments, str(tmp_path / "locked" / "new")).endswith("which is read-only")

    def test_what_is_read_only(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.access", lambda path, mode: False)
        with pytest.raises(argparse.ArgumentTypeError, match=r"which is read-only$"):
            new_folder(str(tmp_path / "new"))

    def test_a_link_to_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(argparse.ArgumentTypeError, match="not the file"):
            new_folder(str(tmp_path / "link"))

    def test_folders_that_are_there_or_can_be_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "there").mkdir()
        for text in ("there", "there/new", "new", "a/b/c", ".", str(tmp_path / "x")):
            assert new_folder(text) == Path(text)
        assert [path.name for path in tmp_path.iterdir()] == ["there"]
