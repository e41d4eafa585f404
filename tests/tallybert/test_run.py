"""tallybert run: what a text says on the simulated accelerator, as JSON and as tables, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.config import PRESET_FOLDER
from tallybert import cli
from tests.tallybert.commandline import TINY, report_of
from tests.tallybert.small_networks import write_accelerator, write_small_network

Refusal = Callable[..., str]
KEYS = [
    *("network", "digest", "accelerator", "text", "text2", "tokens", "cut", "class", "label", "score", "labels"),
    *("total", "logits", "members", "members_run", "equal_to_reference", "cycles", "cycles_of_members"),
    *(
        "utilisation",
        "bound_unit",
        "bound_cycles",
        "clock_mhz",
        "seconds_at_clock",
        "instructions",
        "lanes",
        "memory",
        "units",
        "seconds",
    ),
]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("networks") / "network.safetensors"
    write_small_network(path)
    return str(path)


@pytest.fixture(scope="module")
def accelerator(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("accelerators") / "small.yaml"
    write_accelerator(path)
    return str(path)


class TestReport:
    def test_json(self, network: str, accelerator: str, capsys: pytest.CaptureFixture[str]) -> None:
        report = report_of(capsys, "run", network, accelerator, "word3 word4")
        assert list(report) == KEYS
        assert (report["network"], report["accelerator"], report["text"]) == (network, "small", "word3 word4")
        assert (report["text2"], report["tokens"], report["cut"]) == (None, 4, False)
        assert report["equal_to_reference"] is True
        assert report["label"] == report["labels"][report["class"]]
        assert list(report["logits"]) == ["member0", "member1"][: report["members_run"]]
        assert all(len(row) == 2 for row in report["logits"].values())
        assert 0 < report["utilisation"] < 1
        works = {name: counts["busy"] for name, counts in report["units"].items()}
        assert report["bound_cycles"] == works[report["bound_unit"]] == max(works.values()) < report["cycles"]
        assert report["seconds_at_clock"] == report["cycles"] / 50e6
        assert list(report["seconds"]) == ["mapping", "values", "timing"]
        assert set(report["units"]) == {"load", "array", "drain", "store", "vector", "row", "sequencer"}

    def test_the_same_again(self, network: str, accelerator: str, capsys: pytest.CaptureFixture[str]) -> None:
        first, second = (report_of(capsys, "run", network, accelerator, "ab") for _ in range(2))
        assert {**first, "seconds": None} == {**second, "seconds": None}

    def test_a_folder_of_a_run(self, network: str, accelerator: str, capsys: pytest.CaptureFixture[str]) -> None:
        report = report_of(capsys, "run", str(Path(network).parent), accelerator, "word3")
        assert report["network"] == network

    def test_a_pair(self, network: str, accelerator: str, capsys: pytest.CaptureFixture[str]) -> None:
        report = report_of(capsys, "run", network, accelerator, "word3", "--text2", "word4")
        assert (report["text2"], report["tokens"]) == ("word4", 5)

    def test_the_memory(self, network: str, accelerator: str, capsys: pytest.CaptureFixture[str]) -> None:
        quick = report_of(capsys, "run", network, accelerator, "word3", "--memory-latency", "1")
        slow = report_of(capsys, "run", network, accelerator, "word3", "--jitter", "--seed", "5")
        assert (quick["memory"]["latency"], slow["memory"]["seed"], slow["memory"]["jitter"]) == (1, 5, 40)
        assert quick["cycles"] < slow["cycles"]
        assert quick["logits"] == slow["logits"]

    def test_the_table(self, network: str, accelerator: str, capsys: pytest.CaptureFixture[str]) -> None:
        report = report_of(capsys, "run", network, accelerator, "word3 word4")
        assert cli.main(["run", network, accelerator, "word3 word4"]) == 0
        out, err = capsys.readouterr()
        assert out.splitlines()[0] == report["label"]
        assert out.splitlines()[1].strip() == "4 word pieces"
        for (name, row), cycles in zip(report["logits"].items(), report["cycles_of_members"], strict=True):
            assert re.search(rf"│ {name} │ +{row[0]} │ +{row[1]} │ +{cycles:,} │", out)
        assert re.search(rf"members run +│ +{report['members_run']} of 2 │", out)
        assert re.search(rf"cycles +│ +{report['cycles']:,} │", out)
        assert re.search(rf"array utilisation +│ +{100 * report['utilisation']:.2f} % │", out)
        bound = report["bound_cycles"]
        assert re.search(rf"bound +│ +{bound:,} │ cycles that {report['bound_unit']} works", out)
        assert re.search(rf"reached +│ +{100 * bound / report['cycles']:.2f} % │", out)
        assert re.search(r"integer reference +│ +equal │", out)
        assert err.splitlines() == [
            "mapping the network for 4 tokens onto small",
            f"executing {report['instructions']} instructions on values",
        ]

    def test_a_text_that_is_cut_says_so(
        self, network: str, accelerator: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = " ".join(["word3"] * 8)
        assert cli.main(["run", network, accelerator, text]) == 0
        assert "9 word pieces (the rest is cut off)" in re.sub(r"\s+", " ", capsys.readouterr().out)
        report = report_of(capsys, "run", network, accelerator, text)
        assert (report["tokens"], report["cut"]) == (9, True)

    def test_scores(self, accelerator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "n.safetensors"
        write_small_network(path, 4, vote="mean", classes=1)
        report = report_of(capsys, "run", str(path), accelerator, "word3")
        assert (report["class"], report["label"]) == (None, None)
        assert cli.main(["run", str(path), accelerator, "word3"]) == 0
        assert float(capsys.readouterr().out.splitlines()[0]) == report["score"]


class TestRefusals:
    def test_a_second_text_for_one_token_type(self, accelerator: str, tmp_path: Path, refusal: Refusal) -> None:
        path = tmp_path / "n.safetensors"
        write_small_network(path, types=1)
        message = refusal("run", str(path), accelerator, "a", "--text2", "b")
        assert message == "second text: must be left out for a network of one token type, not given"

    @pytest.mark.parametrize("text", ["", " \t"])
    def test_an_empty_text(self, text: str, network: str, accelerator: str, refusal: Refusal) -> None:
        message = refusal("run", network, accelerator, text)
        assert message == f"text: must be a text with at least one letter or sign, not {text!r}"

    def test_an_empty_second_text(self, network: str, accelerator: str, refusal: Refusal) -> None:
        message = refusal("run", network, accelerator, "a", "--text2", "")
        assert message == "second text: must be a text with at least one letter or sign, not ''"

    def test_an_unknown_network(self, accelerator: str, refusal: Refusal) -> None:
        assert refusal("run", "defualt", accelerator, "a").startswith(
            "network must be a file, the folder of a run, or "
        )

    def test_an_unknown_accelerator(self, network: str, refusal: Refusal) -> None:
        message = refusal("run", network, "egde", "a")
        assert message.endswith("not 'egde'; did you mean 'edge'?")

    def test_missing_arguments(self, network: str, accelerator: str, refusal: Refusal) -> None:
        assert refusal("run") == "NETWORK, ACCELERATOR, TEXT must be given"
        assert refusal("run", network, accelerator) == "TEXT must be given"

    def test_an_accelerator_without_the_units(
        self, network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "tiny.yaml").write_text(TINY)
        assert cli.main(["run", network, str(tmp_path / "tiny.yaml"), "word3"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        missing = "vector.vector_lanes, text.token_lines, buffers.key_lines, attention.row_lanes must not be 0"
        fix = "to run this network; the smallest preset that can is edge"
        wanted = f"tallybert: error: tiny: {missing} and text.classes must be at least 2, not 0 {fix}"
        assert err.splitlines()[1:] == ["looking for the smallest preset that can", wanted]

    def test_buffers_that_are_too_small(self, network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_accelerator(tmp_path / "small.yaml", key_lines=2)
        assert cli.main(["run", network, str(tmp_path / "small.yaml"), "word3", "--json"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        said = "member0.0.value.out: buffers.key_lines must be at least 8, not 2; the smallest preset that can is edge"
        assert err.splitlines()[2:] == [f"tallybert: error: {said}"]

    def test_an_accelerator_that_has_the_name_of_a_preset(
        self, network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = re.sub(r"fixed_lines: \d+", "fixed_lines: 4", (PRESET_FOLDER / "edge.yaml").read_text())
        (tmp_path / "mine.yaml").write_text(text)
        assert cli.main(["run", network, str(tmp_path / "mine.yaml"), "word3"]) == 2
        assert capsys.readouterr().err.endswith("; the smallest preset that can is edge\n")

    def test_what_no_preset_can_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_small_network(tmp_path / "n.safetensors", 1, attention_bits=8)
        assert cli.main(["run", str(tmp_path / "n.safetensors"), "big", "word3"]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("tallybert: error: member0.0.attention (row_threshold): array.code_bits must be ")
        assert error.endswith("; no preset can")

    def test_a_damaged_network(self, accelerator: str, tmp_path: Path, refusal: Refusal) -> None:
        (tmp_path / "n.safetensors").write_bytes(b"no network")
        assert refusal("run", str(tmp_path / "n.safetensors"), accelerator, "a").startswith(
            f"{tmp_path}/n.safetensors: "
        )


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    out = capsys.readouterr().out
    assert 'example: tallybert run default edge "a warm, funny and wonderfully acted film"' in out
    assert "--text2 TEXT" in out


def test_json_is_all_of_stdout(network: str, accelerator: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", network, accelerator, "é 日本", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["text"] == "é 日本"
