"""The members of a finished run are those that were exported, whatever stages they went through."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.training.corpus import encode_split
from model.training.finished import read_finished
from model.training.recipe import Recipe
from model.training.run import RunFolder
from model.training.scoring import score_logits
from model.training.stage import predict

Run = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("together", [None, {"epochs": 2, "share": 0.5}])
def test_they_do_what_the_run_recorded(
    together: dict[str, Any] | None, shared: bool, taught: dict[str, Any], run: Run, short: None, tmp_path: Path
) -> None:
    taught["ensemble"] |= {"losses": {"logits": 1, "sentence": 1}, "method": "seeds", "shared_embedding": shared}
    taught["ensemble"]["together"] = together
    report = run(taught)
    with RunFolder(tmp_path / "run", Recipe.from_dict(taught), resume=True) as folder:
        found = read_finished(folder)
    test = encode_split(found.tokenizer, found.dataset.test, found.limit)
    scores = [score_logits(found.dataset.task, predict(member, test), test.labels) for member in found.members]
    assert scores == report["float_member_accuracy"]
    assert len(found.members) == 2
    words = [member.embedding.words.weight for member in found.members]
    assert bool((words[0] == words[1]).all()) == shared
