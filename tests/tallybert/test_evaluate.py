"""tallybert eval and export: figures of the integers, answers to a text, other votes; and what they refuse."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.data.catalog import load
from model.evaluation import evaluate_split
from model.integer import IntegerNetwork
from model.network import Network, write_network
from model.reading import encode_texts
from model.synthetic import random_layer
from tallybert import cli, shipped, training
from tests.model.training.recipes import write_rows
from tests.tallybert.commandline import report_of

pytestmark = pytest.mark.usefixtures("same_threads")
Refusal = Callable[..., str]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def texts(recipe: Path) -> Path:
    return recipe.parent / "texts.csv"


class TestFigures:
    @pytest.mark.parametrize("split", ["test", "dev"])
    def test_they_are_those_of_the_integers(
        self, split: str, finished: Path, texts: Path, network: Network, capsys: Capture
    ) -> None:
        report = report_of(capsys, "eval", str(finished), "--data", str(texts), "--split", split)
        examples = load(str(texts)).splits[split]
        found = evaluate_split(network, examples)
        right = found.predictions() == examples.labels
        assert (report["accuracy"], report["examples"], report["split"]) == (right.mean(), len(examples), split)
        assert report["digest"] == network.digest
        assert report["expected_members"] == found.members_run.mean()
        assert len(report["member_accuracy"]) == len(report["prefix_accuracy"]) == len(network.members)
        assert report["prefix_accuracy"][-1] == report["accuracy"]
        assert report["tfidf_accuracy"] == 1.0
        assert report["tfidf_difference"] == report["accuracy"] - 1.0
        below, above = report["tfidf_difference_interval"]
        assert below <= report["tfidf_difference"] <= above <= 0
        low, high = report["interval"]
        assert low <= report["accuracy"] <= high

    def test_what_was_recorded_is_told_apart(self, finished: Path, texts: Path, capsys: Capture) -> None:
        trained = json.loads((finished / "report.json").read_bytes())
        report = report_of(capsys, "eval", str(finished), "--data", str(texts))
        assert report["recorded"] == pytest.approx(
            {"accuracy": trained["accuracy"], "float_accuracy": trained["float_accuracy"]}, abs=1e-6
        )
        assert report["recorded_on_this_data"] is True
        assert (
            report_of(capsys, "eval", str(finished), "--data", str(texts), "--split", "dev")["recorded_on_this_data"]
            is False
        )

        assert (report["float_accuracy"], report["teacher_accuracy"]) == (report["recorded"]["float_accuracy"], None)

    def test_no_words_to_fit_on(self, finished: Path, network: Network, tmp_path: Path, capsys: Capture) -> None:
        one = tmp_path / "one.csv"
        one.write_text("text,label\n" + "".join(f"word {n},{network.labels[0]}\n" for n in range(80)))
        report = report_of(capsys, "eval", str(finished), "--data", str(one))
        assert report["tfidf_accuracy"] is report["tfidf_difference"] is report["tfidf_difference_interval"] is None
        assert cli.main(["eval", str(finished), "--data", str(one)]) == 0
        assert "nothing to fit on" in capsys.readouterr().out

    def test_a_recorded_figure_that_is_none(
        self, finished: Path, texts: Path, network: Network, tmp_path: Path, capsys: Capture
    ) -> None:
        path = tmp_path / "odd.safetensors"
        write_network(dataclasses.replace(network, provenance={**network.provenance, "accuracy": "abc"}), path)
        assert cli.main(["eval", str(path), "--data", str(texts)]) == 2
        assert "provenance.accuracy: must be a figure such as 0.75, not 'abc'" in capsys.readouterr().err

    def test_a_table(self, finished: Path, texts: Path, capsys: Capture) -> None:
        assert cli.main(["eval", str(finished), "--data", str(texts)]) == 0
        out, err = capsys.readouterr()
        assert err == "29 sentences of texts, test\n"
        for text in ("29 sentences of test", "accuracy", "most frequent class", "words alone", "recorded at training"):
            assert text in " ".join(out.split())

    def test_columns_of_other_names(self, finished: Path, texts: Path, tmp_path: Path, capsys: Capture) -> None:
        rows = [line.rsplit(",", 1) for line in texts.read_text().splitlines()[1:]]
        other = write_rows(tmp_path / "other.csv", ("body", "mood"), [tuple(row) for row in rows])
        arguments = ("eval", str(finished), "--data", str(other), "--columns", "text=body,label=mood")
        same = report_of(capsys, "eval", str(finished), "--data", str(texts))
        assert report_of(capsys, *arguments)["accuracy"] == same["accuracy"]

    def test_the_data_that_it_was_trained_on(
        self, network: Network, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def load_set(name: str, **options: Any) -> Any:
            asked.append((name, options["columns"].labels))
            raise KeyboardInterrupt

        monkeypatch.setattr("model.data.catalog.load", load_set)
        named = dataclasses.replace(network, provenance={**network.provenance, "dataset": "tweets"})
        write_network(named, tmp_path / "n.safetensors")
        assert cli.main(["eval", str(tmp_path / "n.safetensors")]) == 130
        assert asked == [("tweets", ("bad", "good"))]


class TestText:
    def test_json(self, finished: Path, network: Network, capsys: Capture) -> None:
        text = "a lovely and clever film"
        report = report_of(capsys, "eval", str(finished), "--text", text)
        found = IntegerNetwork(network).run(encode_texts(network, [text]).ids)
        assert report["label"] == ("bad", "good")[report["class"]]
        assert report["class"] == found.predictions[0]
        assert report["totals"] == found.totals[0].tolist()
        assert [member["logits"] for member in report["members"]] == found.logits[:, 0].tolist()
        assert report["members_run"] == found.members_run[0]
        assert report["cut"] is False

    def test_a_table(self, finished: Path, network: Network, capsys: Capture) -> None:
        assert cli.main(["eval", str(finished), "--text", "a lovely [bold]film[/bold]"]) == 0
        out, err = capsys.readouterr()
        assert out.splitlines()[0] in ("bad", "good")
        assert "member0" in out
        assert f"of {len(network.members)} members" in out
        assert err == ""

    @pytest.mark.parametrize("text", ["x", "film " * 20_000, "é" * 100_000, "[SEP] [PAD]", "\U0001f600", "a\tb\nc"])
    def test_any_text(self, text: str, finished: Path, network: Network, capsys: Capture) -> None:
        report = report_of(capsys, "eval", str(finished), "--text", text)
        assert 2 < report["pieces"] <= network.limit
        assert report["cut"] == text.startswith("film film")

    def test_a_pair(self, finished: Path, network: Network, capsys: Capture) -> None:
        report = report_of(capsys, "eval", str(finished), "--text", "a film", "--text2", "lovely")
        encoded = encode_texts(network, ["a film"], ["lovely"])
        assert report["totals"] == IntegerNetwork(network).run(encoded.ids, encoded.types).totals[0].tolist()

    def test_a_score(self, network: Network, tmp_path: Path, capsys: Capture, scored: Path) -> None:
        report = report_of(capsys, "eval", str(scored), "--text", "a lovely film")
        assert (report["class"], report["label"]) == (None, None)
        assert report["score"] == report["totals"][0] / 2**16
        assert cli.main(["eval", str(scored), "--text", "a lovely film"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == str(report["score"])

    @pytest.fixture(scope="class")
    @classmethod
    def scored(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A network that gives scores."""
        from model.data.wordpiece import train_tokenizer
        from model.lowering import Calibration, export_ensemble
        from model.member import Member
        from model.shape import Shape

        tokenizer = train_tokenizer(["the quick brown fox jumps over a lazy dog and a lovely film"] * 3, 100)
        member = Member(Shape(tokenizer.size, 1, layers=1, hidden=16, heads=2, positions=12))
        ids = torch.randint(0, tokenizer.size, (8, 9))
        member.train()
        member(ids, torch.ones_like(ids, dtype=torch.bool))
        network = export_ensemble([member], calibration=Calibration(ids.tolist()), tokenizer=tokenizer.to_bytes())
        path = tmp_path_factory.mktemp("scored") / "n.safetensors"
        write_network(network, path)
        return path


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "text: must be a text with at least one letter or sign, not ''"),
            ("  \n", "text: must be a text with at least one letter or sign, not '  \\n'"),
            ("x" * 100_001, "text: must be at most 100000 characters, not 100001; cut it first"),
            ("a\0b", "text: must be text that UTF-8 can hold, without NUL, not U+0000 at character 2"),
            ("a\udc80", "text: must be text that UTF-8 can hold, without NUL, not U+DC80 at character 2"),
        ],
        ids=lambda value: repr(value[:20]),
    )
    def test_a_text(self, text: str, message: str, finished: Path, refusal: Refusal) -> None:
        assert refusal("eval", str(finished), "--text", text) == message
        second = refusal("eval", str(finished), "--text", "x", "--text2", text)
        assert second == message.replace("text:", "second text:", 1)

    def test_default_where_none_is_shipped(
        self, refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shipped, "NETWORK_FOLDER", tmp_path / "no")
        expected = "network 'default' must come with the package, and this version has none; train one: "
        assert refusal("eval", "default") == f"{expected}tallybert train --config ci"
        assert (
            refusal("eval", "deflt") == "network must be a file or the folder of a run, not 'deflt', which is missing"
        )

    def test_a_name_that_is_nearly_right(
        self, refusal: Refusal, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "default.safetensors").write_bytes((finished / "network.safetensors").read_bytes())
        monkeypatch.setattr(shipped, "NETWORK_FOLDER", tmp_path)
        expected = (
            "network must be a file, the folder of a run, or one of default, not 'defualt'; did you mean 'default'?"
        )
        assert refusal("eval", "defualt") == expected

    def test_a_folder_without_a_network(self, refusal: Refusal, tmp_path: Path) -> None:
        expected = f"{tmp_path}: must be the folder of a finished run, with network.safetensors, not without"
        assert refusal("eval", str(tmp_path)) == expected

    def test_a_file_that_is_cut_short(self, refusal: Refusal, finished: Path, tmp_path: Path) -> None:
        data, path = (finished / "network.safetensors").read_bytes(), tmp_path / "cut.safetensors"
        for length in (0, 5, 100, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:length])
            assert refusal("eval", str(path), "--text", "x").startswith(f"{path}: ")

    def test_a_checkpoint_is_no_network(self, refusal: Refusal, finished: Path) -> None:
        path = finished / "stages" / "float.safetensors"
        assert refusal("eval", str(path), "--text", "x").startswith(f"{path}: ")

    def test_a_network_that_reads_no_text(self, refusal: Refusal, tmp_path: Path) -> None:
        path = tmp_path / "layer.safetensors"
        write_network(Network.chain((random_layer(8, 4, "signed", 1),)), path)
        message = refusal("eval", str(path), "--text", "x")
        assert message == f"{path}: network: must be one with members and a tokenizer, to read text, not without"
        expected = f"--data must be given for {path}, which does not say what it was trained on"
        assert refusal("eval", str(path)) == expected

    def test_data_must_be_named_for_a_users_file(self, refusal: Refusal, finished: Path) -> None:
        path = finished / "network.safetensors"
        assert refusal("eval", str(finished)) == f"--data must be given for {path}, which was trained on texts, a file"

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([("a film", "good"), ("a plot", "awful")], "must be one of 'bad, good', not 'awful'"),
            ([("a film", "1"), ("a plot", "2")], "must be one of 'bad, good', not '1'"),
        ],
    )
    def test_other_classes(
        self, rows: list[tuple[str, str]], message: str, refusal: Refusal, finished: Path, tmp_path: Path
    ) -> None:
        path = write_rows(tmp_path / "other.csv", ("text", "label"), rows * 20)
        assert message in refusal("eval", str(finished), "--data", str(path))

    def test_classes_of_a_packaged_set(
        self, refusal: Refusal, finished: Path, texts: Path, monkeypatch: pytest.MonkeyPatch, network: Network
    ) -> None:
        dataset = load(str(texts))
        task = dataclasses.replace(dataset.task, labels=("no", "yes"))
        monkeypatch.setattr("model.data.catalog.load", lambda name, **options: dataclasses.replace(dataset, task=task))
        message = refusal("eval", str(finished), "--data", "rt")
        assert message == f"--data must have the classes of {finished / 'network.safetensors'}, bad, good, not no, yes"

    def test_scores_for_classes(
        self, refusal: Refusal, finished: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dataset = load(str(texts))
        scores = dataclasses.replace(dataset.task, labels=(), metrics=("pearson",), score_range=(0.0, 1.0))
        splits = {
            name: dataclasses.replace(split, labels=np.zeros(len(split), np.float32))
            for name, split in dataset.splits.items()
        }
        other = dataclasses.replace(dataset, task=scores, **splits)
        monkeypatch.setattr("model.data.catalog.load", lambda name, **options: other)
        message = refusal("eval", str(finished), "--data", "rt")
        assert message == f"--data must be of classes, as {finished / 'network.safetensors'} gives, not of scores: 'rt'"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--text2", "x"), "--text must be given with --text2"),
            (("--text", "x", "--data", "rt"), "--data must be left out with --text, which is read by itself"),
            (
                ("--data", "rt", "--columns", "text"),
                "--columns must be like text=body,label=verdict, not 'text'; give a name",
            ),
            (
                ("--data", "rt", "--columns", "txt=a"),
                "--columns must be like text=body,label=verdict, not 'txt=a'; did you mean 'text'?",
            ),
            (("--split", "train"), "--split: must be one of test, dev, not 'train'"),
            (("--threads", "1000"), "--threads: must be an integer from 1 to 256, not 1000"),
        ],
    )
    def test_arguments(self, arguments: tuple[str, ...], message: str, refusal: Refusal, finished: Path) -> None:
        assert refusal("eval", str(finished), *arguments) == message


def test_columns() -> None:
    assert training.read_columns("text=body,pair=b2,label=l,group=g") == {
        "text": "body",
        "pair": "b2",
        "label": "l",
        "group": "g",
    }
