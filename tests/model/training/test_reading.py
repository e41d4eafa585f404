"""Reading a corpus with a module: in parts, killed, and gone on with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.member import Member
from model.shape import Precision, Shape
from model.training.checkpoint import CheckpointError
from model.training.corpus import Corpus
from model.training.reading import Reading
from model.training.recipe import Recipe
from model.training.run import RunFolder
from model.training.runner import Runner
from model.training.stage import outputs

Refused = Callable[..., str]


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
        whole = outputs(module, corpus, names)
        step, steps = Reading.step, []

        def counted(reading: Reading) -> None:
            steps.append(1)
            if len(steps) == 4:
                raise KeyboardInterrupt
            step(reading)

        monkeypatch.setattr(Reading, "step", counted)

        def compute() -> dict[str, Any]:
            with RunFolder(tmp_path / "run", recipe, resume=True) as folder:
                runner = Runner(folder, save_every=0)
                return runner.compute("labels", names, lambda: runner.outputs("reads", module, corpus, names))

        with pytest.raises(KeyboardInterrupt):
            compute()
        assert (tmp_path / "run" / "checkpoint.safetensors").exists()
        found = compute()
        assert len(steps) == 4 + 3
        assert all(np.array_equal(found[name], whole[name]) for name in names)
        assert not (tmp_path / "run" / "checkpoint.safetensors").exists()

    def test_what_another_reading_left_is_not_used(self, corpus: Corpus, module: Member, refused: Refused) -> None:
        reading, other = Reading(module, corpus, ("logits",)), Reading(module, corpus.taught(None), ("pooled",))
        reading.step()
        made = reading.checkpoint("reads")
        message = refused(CheckpointError, other.check_fit, made, "here")
        assert message == "here: must hold pooled of 700 sentences, not what another run has read; delete it"
        Reading(module, corpus, ("logits",)).check_fit(made, "here")
        for batches in (0, 7, "1", None):
            made.data["batches"] = batches
            assert refused(CheckpointError, reading.check_fit, made, "here").startswith("here: must hold logits of 700")
