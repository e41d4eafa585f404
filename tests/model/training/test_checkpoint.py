"""Checkpoints: whole or not at all, and nothing else is read."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from model import atomic
from model.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_into,
    read_checkpoint,
    to_bytes,
    write_bytes,
    write_checkpoint,
)

Refused = Callable[..., str]


@pytest.fixture
def example() -> Checkpoint:
    tensors = {
        "module.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "module.flag": torch.tensor(True),
        "optimizer.0.step": torch.tensor(7.0),
        "random.cpu": torch.arange(5, dtype=torch.uint8),
        "empty": torch.zeros(0, 4),
    }
    return Checkpoint(tensors, {"stage": "float", "step": 7, "best_score": None, "averages": {"total": 0.1 + 0.2}})


class TestRoundTrip:
    def test_everything_comes_back_to_the_bit(self, example: Checkpoint, tmp_path: Path) -> None:
        write_checkpoint(tmp_path / "c", example)
        found = read_checkpoint(tmp_path / "c")
        assert found.data == example.data
        assert set(found.tensors) == set(example.tensors)
        for name, tensor in example.tensors.items():
            assert found.tensors[name].dtype == tensor.dtype
            assert torch.equal(found.tensors[name], tensor)

    def test_equal_checkpoints_have_equal_bytes(self, example: Checkpoint) -> None:
        other = Checkpoint(dict(reversed(example.tensors.items())), dict(reversed(example.data.items())))
        assert to_bytes(other) == to_bytes(example)

    def test_nothing_else_is_left_in_the_folder(self, example: Checkpoint, tmp_path: Path) -> None:
        write_checkpoint(tmp_path / "c", example)
        write_checkpoint(tmp_path / "c", example)
        assert [path.name for path in tmp_path.iterdir()] == ["c"]

    def test_a_view_is_written_as_what_it_shows(self, tmp_path: Path) -> None:
        base = torch.arange(12.0).reshape(3, 4)
        write_checkpoint(tmp_path / "c", Checkpoint({"view": base.T, "other": base[:, 1]}))
        found = read_checkpoint(tmp_path / "c").tensors
        assert torch.equal(found["view"], base.T)
        assert torch.equal(found["other"], base[:, 1])


class TestDamage:
    def test_every_cut_is_seen(self, example: Checkpoint, tmp_path: Path, refused: Refused) -> None:
        data, path = to_bytes(example), tmp_path / "c"
        for length in [*range(12), *range(12, len(data), 29), len(data) - 1]:
            path.write_bytes(data[:length])
            message = refused(CheckpointError, read_checkpoint, path)
            assert message.startswith(f"{path}: must be a whole checkpoint, not damaged (")
            assert message.endswith("); delete it")

    def test_every_flipped_bit_is_seen(self, example: Checkpoint, tmp_path: Path, refused: Refused) -> None:
        data, path = to_bytes(example), tmp_path / "c"
        for place in range(0, len(data), 7):
            torn = bytearray(data)
            torn[place] ^= 1 << place % 8
            path.write_bytes(torn)
            assert refused(CheckpointError, read_checkpoint, path).startswith(f"{path}: must ")

    def test_zeros_at_the_end(self, example: Checkpoint, tmp_path: Path, refused: Refused) -> None:
        data, path = to_bytes(example), tmp_path / "c"
        path.write_bytes(data[:-5] + bytes(5))
        assert "must have the content that its SHA-256 says" in refused(CheckpointError, read_checkpoint, path)

    def test_missing(self, tmp_path: Path, refused: Refused) -> None:
        message = refused(CheckpointError, read_checkpoint, tmp_path / "no")
        assert message == f"{tmp_path / 'no'}: must be a readable file, not fail with: No such file or directory"

    @pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "tallybert-network-1"}])
    def test_another_format(self, metadata: dict[str, str] | None, tmp_path: Path, refused: Refused) -> None:
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(2)}, tmp_path / "c", metadata)
        message = refused(CheckpointError, read_checkpoint, tmp_path / "c")
        expected = "must be of format tallybert-checkpoint-1, not another; is it a network?"
        assert message == f"{tmp_path / 'c'}: {expected}"

    def test_a_pickle_is_not_read(self, tmp_path: Path, refused: Refused) -> None:
        torch.save({"a": torch.zeros(2)}, tmp_path / "c")
        assert "must be a whole checkpoint" in refused(CheckpointError, read_checkpoint, tmp_path / "c")


class TestWriting:
    @pytest.mark.parametrize("call", ["fsync", "replace", "open"])
    @pytest.mark.parametrize(
        ("number", "text"), [(errno.ENOSPC, "No space left on device"), (errno.EIO, "Input/output")]
    )
    def test_a_failure_leaves_the_old_file(
        self, call: str, number: int, text: str, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "c"
        path.write_bytes(b"old")

        def fail(*arguments: object, **named: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(*(atomic, call) if call == "open" else (os, call), fail, raising=False)
        message = refused(CheckpointError, write_bytes, path, b"new")
        monkeypatch.undo()
        assert message.startswith(f"{path}: must be written, not fail with: {text}")
        assert path.read_bytes() == b"old"
        assert [found.name for found in tmp_path.iterdir()] == ["c"]

    def test_a_folder_that_is_gone(self, tmp_path: Path, refused: Refused) -> None:
        message = refused(CheckpointError, write_bytes, tmp_path / "no" / "c", b"new")
        assert message.endswith("c: must be written, not fail with: No such file or directory")


class TestLoadInto:
    def test_the_state_is_taken(self) -> None:
        one, other = nn.Linear(3, 2), nn.Linear(3, 2)
        load_into(one, other.state_dict(), "here")
        assert torch.equal(one.weight, other.weight)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"weight": None}, "here: weight: must be there, not missing; was it made for another shape?"),
            (
                {"weight": torch.zeros(2, 4)},
                "here: weight: must be [2, 3], not [2, 4]; was it made for another shape?",
            ),
            ({"more": torch.zeros(1)}, "here: more: must be a tensor of the module, not one too many"),
        ],
    )
    def test_another_shape(self, change: dict[str, torch.Tensor | None], message: str, refused: Refused) -> None:
        module = nn.Linear(3, 2)
        before = module.weight.detach().clone()
        given = {name: tensor for name, tensor in (module.state_dict() | change).items() if tensor is not None}
        assert refused(CheckpointError, load_into, module, given, "here") == message
        assert torch.equal(module.weight, before)
