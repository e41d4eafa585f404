"""Files that are written whole or not at all: in which order they reach the disk, and the names on the way."""

import errno
import os
from pathlib import Path

import pytest

from model.atomic import TEMPORARY, temporary_name, write_atomic
from tests.model.disk import Disk

LONGEST = 255


def test_the_content_is_on_the_disk_before_the_name_and_the_name_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, tmp_path)
    write_atomic(tmp_path / "file", b"content")
    assert disk.steps == [("flush", 7), ("rename", "file"), ("flush", "folder")]
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_alone(
    call: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        write_atomic(path, b"new")
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("file", b"old")]


class TestTemporaryName:
    @pytest.mark.parametrize("letter", ["n", "é", "語", "🎬"])
    @pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
    def test_as_long_as_disks_allow(self, letter: str, before: str, tmp_path: Path) -> None:
        room = LONGEST - len(before)
        path = tmp_path / (before + letter * (room // len(letter.encode())))
        made = temporary_name(path)
        assert made.parent == tmp_path
        assert len(os.fsencode(made.name)) <= LONGEST
        assert made.name.startswith(f".{path.name[:50]}") and made.name.endswith(TEMPORARY)
        write_atomic(path, b"content")
        assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [(path.name, b"content")]

    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / os.fsdecode(b"a\xffb" * 80)
        assert temporary_name(path).name.startswith(".abab")

    def test_two_of_a_file_are_different(self, tmp_path: Path) -> None:
        assert temporary_name(tmp_path / "file") != temporary_name(tmp_path / "file")
