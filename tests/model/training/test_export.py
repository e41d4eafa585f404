"""Another vote for a network that is there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.checks import NetworkError
from model.data.catalog import load
from model.data.wordpiece import Encoded
from model.integer import IntegerNetwork
from model.network import Network, read_network
from model.reading import encode_texts
from model.training import ballots, pipeline, results
from model.training.ballots import VoteOptions, revote
from model.training.checks import TrainingError
from model.training.export import export_again
from model.training.pipeline import Machine, train
from model.training.recipe import Recipe
from model.training.run import REPORT, RunFolder
from tests.model.training.recipes import WORDS, tiny_recipe

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def data(texts: Path) -> dict[str, Any]:
    recipe = tiny_recipe(texts)
    for section in (*recipe["chain"], recipe["ensemble"]):
        section |= {"epochs": 1, "batch": 40}
    recipe["ensemble"] |= {"members": 3, "method": "seeds", "start": "fresh"}
    return recipe


@pytest.fixture(scope="module")
def finished(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of three members."""
    path = tmp_path_factory.mktemp("export") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "draw_curves", lambda *arguments: b"picture")
        patch.setattr(results, "beside_words", lambda *given: WORDS)
        with RunFolder(path, Recipe.from_dict(data), resume=False) as folder:
            train(folder, Machine())
    return path


@pytest.fixture(scope="module")
def network(finished: Path) -> Network:
    return read_network(finished / "network.safetensors")


@pytest.fixture(scope="module")
def sentences(network: Network, texts: Path) -> Encoded:
    return encode_texts(network, load(str(texts)).train.texts[:40])


def again(finished: Path, data: dict[str, Any], options: VoteOptions | None) -> Network:
    with RunFolder(finished, Recipe.from_dict(data), resume=True) as folder:
        return export_again(folder, options)[0]


class TestRun:
    def test_without_options_it_is_the_same(self, finished: Path, data: dict[str, Any], network: Network) -> None:
        assert again(finished, data, None).digest == network.digest

    def test_the_same_vote_gives_the_same_network(self, finished: Path, data: dict[str, Any], network: Network) -> None:
        assert again(finished, data, VoteOptions("soft")).digest == network.digest

    def test_a_run_that_is_not_finished(self, data: dict[str, Any], tmp_path: Path, refused: Refused) -> None:
        with RunFolder(tmp_path, Recipe.from_dict(data), resume=False) as folder:
            message = refused(TrainingError, export_again, folder, None)
        assert message == f"{tmp_path}: must be a finished run, not one under way; go on with train --resume"

    def test_a_report_without_weights(self, finished: Path, data: dict[str, Any], refused: Refused) -> None:
        path = finished / REPORT
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"member_weights", b"member_wieghts"))
        message = refused(TrainingError, again, finished, data, VoteOptions("hard"))
        path.write_bytes(whole)
        numbers = "3 numbers of at least 0, the first above 0"
        assert message == f"{path}: member_weights: must be {numbers}, not None; delete it and resume the run"

    @pytest.mark.parametrize(
        "weights", [3, [1, 2], [1, 2, "x"], [1, True, 1], [0, 1, 1], [1, -1, 1], [1, float("nan"), 1], [1e999, 1, 1]]
    )
    def test_weights_that_no_run_gave(
        self, weights: Any, finished: Path, data: dict[str, Any], refused: Refused
    ) -> None:
        path = finished / REPORT
        whole = path.read_bytes()
        path.write_text(json.dumps(json.loads(whole) | {"member_weights": weights}))
        message = refused(TrainingError, again, finished, data, VoteOptions("hard"))
        path.write_bytes(whole)
        assert message.startswith(f"{path}: member_weights: must be 3 numbers of at least 0, the first above 0, not ")


class TestRevote:
    def test_hard(self, network: Network, sentences: Encoded) -> None:
        made = revote(network, [1.0, 2.0, 4.0], sentences, VoteOptions("hard"))
        assert made.vote == "hard"
        assert [member.multiplier for member in made.members] == [64, 128, 255]
        assert made.operations == network.operations

    def test_fewer_members_leave_their_operations_behind(self, network: Network, sentences: Encoded) -> None:
        made = revote(network, [1.0] * 3, sentences, VoteOptions(members=2))
        assert [member.name for member in made.members] == ["member0", "member1"]
        names = {operation.name for operation in made.operations}
        expected = {op.name for name in ("member0", "member1") for op in network.member_operations(name)}
        assert names == expected
        own, other = IntegerNetwork(made), IntegerNetwork(network)
        logits = own.run(sentences.ids[:9]).logits
        assert np.array_equal(logits, other.run(sentences.ids[:9]).logits[:2])

    def test_the_order_never_changes_a_class(self, network: Network, sentences: Encoded) -> None:
        plain = revote(network, [1.0, 2.0, 4.0], sentences, VoteOptions())
        ordered = revote(network, [1.0, 2.0, 4.0], sentences, VoteOptions(order=True))
        assert {member.name for member in ordered.members} == {member.name for member in network.members}
        one, two = (IntegerNetwork(made).run(sentences.ids) for made in (plain, ordered))
        assert np.array_equal(one.predictions, two.predictions)
        assert two.members_run.mean() <= one.members_run.mean()
        fractions = dict(
            zip([m.name for m in network.members], network.provenance["logit_fractions"].split(), strict=True)
        )
        assert ordered.provenance["logit_fractions"].split() == [fractions[m.name] for m in ordered.members]

    def test_a_share_lowers_bounds(self, network: Network, sentences: Encoded) -> None:
        free, bound = (revote(network, [1.0] * 3, sentences, VoteOptions(share=share)) for share in (0.0, 0.4))
        pairs = zip(free.members, bound.members, strict=True)
        assert all(one.bound >= other.bound for one, other in pairs)
        runs = [IntegerNetwork(made).run(sentences.ids).members_run.mean() for made in (free, bound)]
        assert runs[1] <= runs[0]

    @pytest.mark.parametrize("members", [0, 4, -1])
    def test_a_wrong_number_of_members(
        self, members: int, network: Network, sentences: Encoded, refused: Refused
    ) -> None:
        message = refused(NetworkError, revote, network, [1.0] * 3, sentences, VoteOptions(members=members))
        assert message == f"members: must be from 1 to 3, not {members}"

    def test_a_network_that_does_not_state_its_logits(
        self, network: Network, sentences: Encoded, refused: Refused
    ) -> None:
        import dataclasses

        silent = dataclasses.replace(network, provenance={})
        message = refused(NetworkError, revote, silent, [1.0] * 3, sentences, VoteOptions())
        expected = "of an export, which states its logits, not one without provenance.logit_fractions"
        assert message == f"network: must be {expected}"

    @pytest.mark.parametrize(
        "text", ["", "x", "1 2", "1 2 3 4", "1 2 x", "1 2 3.5", "1  2 3", "1 2 32", "1 2 -32", "1 2 \u0663", "1 2 1e3"]
    )
    def test_fractions_that_are_any_text(
        self, text: str, network: Network, sentences: Encoded, refused: Refused
    ) -> None:
        import dataclasses

        stated = dataclasses.replace(network, provenance={"logit_fractions": text})
        message = refused(NetworkError, revote, stated, [1.0] * 3, sentences, VoteOptions())
        expected = "3 integers between -32 and 32, one for each member"
        assert message == f"provenance.logit_fractions: must be {expected}, not {text!r}"

    @pytest.mark.parametrize("vote", ["soft", "hard"])
    def test_the_widest_fractions(self, vote: Any, network: Network, sentences: Encoded) -> None:
        import dataclasses

        stated = dataclasses.replace(network, provenance={"logit_fractions": "-31 0 31"})
        assert revote(stated, [1.0] * 3, sentences, VoteOptions(vote)).vote == vote

    def test_a_scale_that_no_vote_can_hold(
        self, network: Network, sentences: Encoded, refused: Refused, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*arguments: Any, **named: Any) -> None:
            raise ValueError("fraction must be so small that a scale fits")

        monkeypatch.setattr(ballots, "calibrate", refuse)
        message = refused(NetworkError, revote, network, [1.0] * 3, sentences, VoteOptions())
        assert message == "network: fraction must be so small that a scale fits"
