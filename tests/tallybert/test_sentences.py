"""A text on the simulated accelerator: how it is read, what is reported, and what happens where two accounts differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.isa import Opcode
from model.data.errors import DataError
from model.network import Network, write_network
from sim.memory import MemoryProfile
from sim.reference import evaluate
from tallybert import cli, sentences
from tallybert.flow import ResultError
from tallybert.options import CommandError
from tests.tallybert.small_networks import SMALL, small_network, tokenizer, write_accelerator, write_small_network

MEMORY = MemoryProfile()
Refused = Callable[..., str]


def ran(network: Network, text: str, pair: str | None = None) -> sentences.Run:
    """Run a text on the small accelerator."""
    return sentences.run_sentence(network, SMALL, sentences.read_text(network, text, pair), MEMORY, lambda line: None)


class TestReading:
    def test_ids_and_types(self) -> None:
        network, pieces = small_network(), tokenizer().vocabulary
        reading = sentences.read_text(network, "word3 ab", None)
        assert [pieces[n] for n in reading.ids] == ["[CLS]", "word3", "a", "##b", "[SEP]"]
        assert (reading.types, reading.cut, reading.text, reading.pair) == ((0,) * 5, False, "word3 ab", None)

    def test_a_pair(self) -> None:
        network, pieces = small_network(), tokenizer().vocabulary
        reading = sentences.read_text(network, "word3", "word4 word5")
        assert [pieces[n] for n in reading.ids] == ["[CLS]", "word3", "[SEP]", "word4", "word5", "[SEP]"]
        assert (reading.types, reading.cut, reading.pair) == ((0, 0, 0, 1, 1, 1), False, "word4 word5")

    @pytest.mark.parametrize(("pieces", "tokens", "cut"), [(1, 3, False), (7, 9, False), (8, 9, True), (50, 9, True)])
    def test_what_is_too_long_is_cut(self, pieces: int, tokens: int, cut: bool) -> None:
        reading = sentences.read_text(small_network(), " ".join(["word3"] * pieces), None)
        assert (len(reading.ids), len(reading.types), reading.cut) == (tokens, tokens, cut)

    @pytest.mark.parametrize(("second", "cut"), [(5, False), (6, True)])
    def test_a_pair_is_cut(self, second: int, cut: bool) -> None:
        reading = sentences.read_text(small_network(), "word3", " ".join(["word4"] * second))
        assert (len(reading.ids), reading.cut) == (9, cut)

    @pytest.mark.parametrize(("text", "pair", "where"), [(" ", None, "text"), ("a", "", "second text")])
    def test_an_empty_text(self, text: str, pair: str | None, where: str, refused: Refused) -> None:
        message = refused(DataError, sentences.read_text, small_network(), text, pair)
        assert message.startswith(f"{where}: must be a text with at least one letter or sign, not ")

    def test_a_network_without_a_tokenizer(self, tmp_path: Path, refused: Refused) -> None:
        path = tmp_path / "n.safetensors"
        write_network(dataclasses.replace(small_network(), tokenizer=None), path)
        message = refused(CommandError, sentences.read_network_file, path)
        assert message == f"{path}: network: must be one with members and a tokenizer, to read text, not without"
        network = write_small_network(path)
        assert sentences.read_network_file(path).digest == network.digest


class TestRun:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_what_it_says(self, seed: int) -> None:
        network = small_network(seed, classes=3, vote=("soft", "hard", "soft")[seed - 1])
        run = ran(network, "word1 word2")
        expected = evaluate(network, run.reading.ids, run.reading.types)
        report = sentences.report(Path("n"), run, MEMORY)
        names = [m.name for m in network.members[: expected.members_run]]
        assert report["logits"] == {name: expected.logits[name].tolist() for name in names}
        assert (report["class"], report["members_run"], report["members"]) == (
            expected.prediction,
            expected.members_run,
            2,
        )
        assert report["label"] == f"class {expected.prediction}"
        assert report["score"] is None
        if expected.members_run == 2:
            assert report["total"] == int(expected.totals[expected.prediction])

    def test_a_mean(self) -> None:
        network = small_network(4, vote="mean", classes=1)
        report = sentences.report(Path("n"), ran(network, "word7"), MEMORY)
        assert (report["class"], report["label"]) == (None, None)
        assert report["score"] == report["total"] / (1 << network.fraction)
        assert len(report["logits"]) == report["members_run"] == 2

    def test_a_network_without_labels(self) -> None:
        network = dataclasses.replace(small_network(), labels=())
        report = sentences.report(Path("n"), ran(network, "word7"), MEMORY)
        assert (report["label"], report["labels"]) == (None, [])
        assert report["class"] in (0, 1)

    def test_cycles(self) -> None:
        run = ran(small_network(), "word1")
        report = sentences.report(Path("n"), run, MEMORY)
        assert sum(report["cycles_of_members"]) < report["cycles"] == run.timing.cycles
        votes = [n for n, i in enumerate(run.program.instructions) if i.opcode is Opcode.CLASSIFY]
        assert sum(report["cycles_of_members"]) == run.timing.retire[votes[report["members_run"] - 1]]
        assert report["seconds_at_clock"] == report["cycles"] / 50e6
        assert report["utilisation"] == round(report["units"]["array"]["busy"] / report["cycles"], 6)
        assert report["instructions"] <= len(run.program.instructions)
        for states in report["units"].values():
            assert sum(count for name, count in states.items() if name != "waits_for") == report["cycles"]

    def test_members_behind_the_end_cost_nothing(self) -> None:
        network = small_network(vote="hard")
        voters = tuple(dataclasses.replace(m, multiplier=w) for m, w in zip(network.members, (5, 1), strict=True))
        report = sentences.report(Path("n"), ran(dataclasses.replace(network, members=voters), "word1"), MEMORY)
        assert (report["members_run"], len(report["cycles_of_members"]), list(report["logits"])) == (1, 1, ["member0"])
        whole = sentences.report(Path("n"), ran(small_network(vote="mean", classes=1), "word1"), MEMORY)
        assert report["cycles"] < whole["cycles"]


class TestDifferences:
    """Where simulator and reference differ it is our fault: exit code 1, one line, nothing on stdout."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> list[str]:
        write_small_network(tmp_path / "n.safetensors")
        write_accelerator(tmp_path / "a.yaml")
        return [str(tmp_path / "n.safetensors"), str(tmp_path / "a.yaml")]

    @pytest.mark.parametrize("field", ["leader", "members"])
    def test_the_vote(
        self, field: str, files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import sim.machine

        def changed(program: Any, execute: Any = sim.machine.execute) -> Any:
            done = execute(program)
            other = {"leader": 1 - done.result.leader, "members": 3 - done.result.members}[field]
            return dataclasses.replace(done, result=dataclasses.replace(done.result, **{field: other}))

        monkeypatch.setattr("sim.machine.execute", changed)
        assert cli.main(["run", *files, "word3"]) == 1
        out, err = capsys.readouterr()
        said = "tallybert: error: 'word3' on small: the simulated accelerator differs from the integer reference"
        assert (out, err.splitlines()[-1]) == ("", said)

    def test_a_logit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from mapping.whole import mapper

        before = mapper.MappedNetwork.logits
        monkeypatch.setattr(mapper.MappedNetwork, "logits", lambda *arguments: before(*arguments) ^ np.int32(1))
        with pytest.raises(ResultError, match="differs from the integer reference"):
            ran(small_network(), "word3")
