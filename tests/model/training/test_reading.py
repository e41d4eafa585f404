"""Reading a corpus with a module: in parts, killed, and gone on with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.member import Member
from model.shape import Precision, Shape
from model.training.checkpoint import Checkpoint
from model.training.corpus import Corpus
from model.training.reading import BATCH, Reading, Readings
from model.training.recipe import Recipe
from model.training.run import RunFolder
from model.training.runner import Runner
from model.training.stage import outputs


class TestReading:
    """What a module says of a corpus: a killed reading goes on, to the same bits."""

    @pytest.fixture
    def corpus(self) -> Corpus:
        generator = np.random.default_rng(4)
        ids = [generator.integers(0, 30, size).astype(np.int32) for size in generator.integers(3, 9, 700)]
        return Corpus(ids, [np.zeros_like(row) for row in ids], np.zeros(700, np.int64))

    @pytest.fixture
    def module(self) -> Member:
        torch.manual_seed(3)
        precision = Precision.uniform(32, 32, 32)
        return Member(Shape(30, 2, precision=precision, layers=1, hidden=8, heads=2, positions=8))

    def test_it_goes_on_where_it_was_killed(
        self, corpus: Corpus, module: Member, tmp_path: Path, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe, names = Recipe.from_dict(plain), ("logits", "pooled")
        parts = {"first": corpus, "second": Corpus(corpus.ids[:300], corpus.types[:300], corpus.labels[:300])}
        whole = {part: outputs(module, read, names) for part, read in parts.items()}
        step, steps, deaths = Reading.step, [0], [2, 7]  # six batches of the first part, three of the second

        def counted(reading: Reading) -> None:
            if deaths and steps[0] == deaths[0]:
                deaths.pop(0)
                raise KeyboardInterrupt
            steps[0] += 1
            step(reading)

        monkeypatch.setattr(Reading, "step", counted)

        def compute() -> dict[str, Any]:
            with RunFolder(tmp_path / "run", recipe, resume=True) as folder:
                runner = Runner(folder, save_every=0)

                def make() -> dict[str, Any]:
                    found = {part: runner.outputs(part, module, read, names) for part, read in parts.items()}
                    return {f"{part}-{name}": found[part][name] for part in found for name in names}

                return runner.compute("labels", [f"{part}-{name}" for part in parts for name in names], make)

        with RunFolder(tmp_path / "run", recipe, resume=True) as folder:
            folder.save(Checkpoint({"of": torch.ones(1)}, {"stage": "float"}))
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                compute()
            assert (tmp_path / "run" / "reading.safetensors").exists()
        found = compute()
        assert steps[0] == 6 + 3
        for part in parts:
            assert all(np.array_equal(found[f"{part}-{name}"], whole[part][name]) for name in names)
        assert not (tmp_path / "run" / "reading.safetensors").exists()
        with RunFolder(tmp_path / "run", recipe, resume=True) as folder:
            assert folder.load("float")[0] is not None, "checkpoints of training are left alone"

    def test_rows_are_in_the_order_of_the_corpus(self, corpus: Corpus, module: Member) -> None:
        reading, alone = Reading(module, corpus, ("logits",)), []
        for batch in range(6):
            assert (reading.sentences, reading.finished) == (batch * BATCH, False)
            reading.step()
        for ids in corpus.ids[:20]:
            words = torch.from_numpy(ids).long()[None]
            alone.append(module(words, torch.ones_like(words, dtype=torch.bool)).logits.detach()[0])
        assert np.allclose(reading.rows["logits"][:20], torch.stack(alone), atol=1e-6)
        assert (reading.sentences, reading.finished) == (len(corpus), True)

    def test_a_part_that_is_not_asked_for_yet_is_kept(self, corpus: Corpus, module: Member) -> None:
        def halfway(names: tuple[str, ...]) -> Reading:
            reading = Reading(module, corpus, names)
            for _ in range(2):
                reading.step()
            return reading

        first = Readings("labels", None)
        for part, names in (("one", ("logits",)), ("two", ("logits", "pooled"))):
            first.add(part, halfway(names))
        saved, again = first.checkpoint(2.5), Readings("labels", first.checkpoint(2.5))
        assert saved.data == {"stage": "labels", "batches": {"one": 2, "two": 2}, "seconds": 2.5}
        assert (first.seconds, again.seconds) == (0.0, 2.5)
        one = Reading(module, corpus, ("logits",))
        again.add("one", one)
        assert one.batches == 2
        one.step()
        later = again.checkpoint(4.0)
        assert later.data == {"stage": "labels", "batches": {"one": 3, "two": 2}, "seconds": 4.0}
        assert {*later.tensors} == {"one/logits", "two/logits", "two/pooled"}
        for name in ("two/logits", "two/pooled"):
            assert torch.equal(later.tensors[name], saved.tensors[name])
        assert torch.equal(later.tensors["one/logits"], torch.from_numpy(one.rows["logits"]))

    @pytest.mark.parametrize("data", [{}, {"seconds": "1", "batches": [2]}, {"seconds": None, "batches": {"one": "2"}}])
    def test_what_no_run_wrote_is_read_again(self, data: dict[str, Any], corpus: Corpus, module: Member) -> None:
        readings = Readings("labels", Checkpoint({"one/logits": torch.zeros(len(corpus), 2)}, data))
        reading = Reading(module, corpus, ("logits",))
        readings.add("one", reading)
        assert (readings.seconds, reading.batches, reading.rows) == (0.0, 0, {})

    def test_a_stage_costs_what_killed_runs_spent_and_what_is_read_behind_it_is_no_part_of_it(
        self, corpus: Corpus, module: Member, tmp_path: Path, plain: dict[str, Any]
    ) -> None:
        with RunFolder(tmp_path / "run", Recipe.from_dict(plain), resume=True) as folder:
            folder.save_reading(Checkpoint({}, {"stage": "labels", "batches": {}, "seconds": 500.0}))
            runner = Runner(folder, save_every=0)
            runner.compute("labels", ["logits"], lambda: runner.outputs("part", module, corpus, ["logits"]))
            assert 500 < folder.costs()["labels"] < 900
            runner.outputs("later", module, corpus, ["logits"])
            assert not (tmp_path / "run" / "reading.safetensors").exists()

    def test_what_another_reading_left_is_not_used(self, corpus: Corpus, module: Member) -> None:
        reading = Reading(module, corpus, ("logits",))
        reading.step()
        rows = {name: torch.from_numpy(values) for name, values in reading.rows.items()}
        fewer = Corpus(corpus.ids[1:], corpus.types[1:], corpus.labels[1:])
        assert Reading(module, corpus, ("logits",)).restore(rows, 1)
        assert not Reading(module, corpus, ("pooled",)).restore(rows, 1)
        assert not Reading(module, fewer, ("logits",)).restore(rows, 1)
        for batches in (0, 7, "1", None):
            assert not Reading(module, corpus, ("logits",)).restore(rows, batches)

    def test_a_damaged_reading_is_read_again(self, tmp_path: Path, plain: dict[str, Any]) -> None:
        with RunFolder(tmp_path / "run", Recipe.from_dict(plain), resume=True) as folder:
            folder.save_reading(Checkpoint({"part/logits": torch.ones(3, 2)}, {"stage": "labels"}))
            assert folder.load_reading("labels")[0] is not None
            assert folder.load_reading("words") == (None, "")
            path = tmp_path / "run" / "reading.safetensors"
            path.write_bytes(path.read_bytes()[:-1])
            found, note = folder.load_reading("labels")
            assert found is None
            assert note.endswith("removed; it is read again")
