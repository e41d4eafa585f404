"""hw.files: strict JSON, bounded reads, atomic writes."""

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import files
from hw.files import MAX_DEPTH, MAX_JSON_BYTES, FileError, read_bytes, read_json, sha256, write_atomic, write_json

Refused = Callable[..., str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.json"


MALFORMED = {
    "empty": (b"", "Expecting value: line 1 column 1 (char 0)"),
    "no JSON": (b"hello", "Expecting value: line 1 column 1 (char 0)"),
    "cut": (b'{"a": 1', "Expecting ',' delimiter: line 1 column 8 (char 7)"),
    "open string": (b'{"a', "Unterminated string starting at: line 1 column 2 (char 1)"),
    "two values": (b"{} {}", "Extra data: line 1 column 4 (char 3)"),
    "comma": (b'{"a": 1,}', ""),
    "comment": (b"{} // x", "Extra data: line 1 column 4 (char 3)"),
    "twice": (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
    "twice inside": (b'{"b": [{"a": 1, "a": 1}]}', "the key 'a' stands twice"),
    "twice by escape": (b'{"a": 1, "\\u0061": 2}', "the key 'a' stands twice"),
    "NaN": (b'{"a": NaN}', "NaN is not a JSON number"),
    "infinity": (b'{"a": [-Infinity]}', "-Infinity is not a JSON number"),
    "Latin-1": (b'{"a": "\xe9"}', "'utf-8' codec can't decode byte 0xe9 in position 7: invalid continuation byte"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    "surrogate": (b'{"a": "\xed\xa0\x80"}', "'utf-8' codec can't decode byte 0xed in position 7"),
    "BOM": (b"\xef\xbb\xbf{}", "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)"),
    "NUL": (b'{"a": "\0"}', "Invalid control character at: line 1 column 8 (char 7)"),
    "newline": (b'{"a": "\n"}', "Invalid control character at: line 1 column 8 (char 7)"),
    "too deep": (b"[" * 17, "nesting must be at most 16 deep"),
    "far too deep": (b"[" * 10**6, "nesting must be at most 16 deep"),
    "deep objects": (b'{"a":' * 17 + b"1" + b"}" * 17, "nesting must be at most 16 deep"),
    "5,000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit (4300 digits)"),
    "hexadecimal": (b'{"a": 0x10}', "Expecting ',' delimiter: line 1 column 8 (char 7)"),
    "single quotes": (b"{'a': 1}", "Expecting property name enclosed in double quotes"),
}


class TestReadJson:
    @pytest.mark.parametrize("case", MALFORMED)
    def test_malformed(self, case: str, path: Path, refused: Refused) -> None:
        data, problem = MALFORMED[case]
        path.write_bytes(data)
        assert refused(FileError, read_json, path).startswith(f"{path}: must be strict JSON: {problem}")

    @pytest.mark.parametrize(("data", "kind"), [("[]", "list"), ("1", "int"), ('"a"', "str"), ("null", "NoneType")])
    def test_no_object(self, data: str, kind: str, path: Path, refused: Refused) -> None:
        path.write_text(data)
        assert refused(FileError, read_json, path) == f"{path}: must hold one JSON object, not {kind}"

    def test_a_long_duplicate_key_is_cut(self, path: Path, refused: Refused) -> None:
        path.write_text(f'{{"{"k" * 10**5}": 1, "{"k" * 10**5}": 1}}')
        assert len(refused(FileError, read_json, path)) < 300

    def test_size(self, path: Path, refused: Refused) -> None:
        path.write_bytes(b"{" + b" " * (MAX_JSON_BYTES - 2) + b"}")
        assert read_json(path) == {}
        path.write_bytes(b"{" + b" " * (MAX_JSON_BYTES - 1) + b"}")
        expected = f"{path}: must be at most {MAX_JSON_BYTES} bytes, not {MAX_JSON_BYTES + 1}"
        assert refused(FileError, read_json, path) == expected

    def test_depth(self, path: Path) -> None:
        path.write_text('{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH)
        assert "a" in read_json(path)
        path.write_text(json.dumps({"a": "]]][[[" * 100, "b": '\\"[[[[[[[[[[[[[[[[[[[['}))
        assert list(read_json(path)) == ["a", "b"]

    def test_many_brackets_are_read_at_once(self, path: Path, refused: Refused) -> None:
        path.write_bytes(b"[" + b"[]," * (MAX_JSON_BYTES // 3 - 2) + b"[]]")
        assert refused(FileError, read_json, path) == f"{path}: must hold one JSON object, not list"

    @given(st.binary(max_size=60))
    def test_any_bytes(self, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
        path = tmp_path_factory.getbasetemp() / "any.json"
        path.write_bytes(data)
        try:
            read_json(path)
        except FileError as error:
            assert str(error).isprintable()


class TestReadBytes:
    def test_reads_up_to_the_limit(self, path: Path, refused: Refused) -> None:
        path.write_bytes(b"abc")
        assert read_bytes(path, 3) == b"abc"
        assert refused(FileError, read_bytes, path, 2) == f"{path}: must be at most 2 bytes, not 3"

    def test_what_is_no_file(self, tmp_path: Path, refused: Refused) -> None:
        assert refused(FileError, read_bytes, tmp_path, 9) == f"{tmp_path}: must be a file, not a folder"
        missing = tmp_path / "missing"
        assert refused(FileError, read_bytes, missing, 9) == f"{missing}: must be a file, but it does not exist"
        below = Path(__file__) / "below"
        assert refused(FileError, read_bytes, below, 9) == f"{below}: must be a file, but it does not exist"
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        assert refused(FileError, read_bytes, pipe, 9) == f"{pipe}: must be a file, not a device or pipe"
        assert refused(FileError, read_bytes, Path("/dev/zero"), 9) == "/dev/zero: must be a file, not a device or pipe"

    def test_links(self, tmp_path: Path, refused: Refused) -> None:
        loop = tmp_path / "loop"
        loop.symlink_to(loop)
        assert refused(FileError, read_bytes, loop, 9) == f"{loop}: must be a file, but it does not exist"

    def test_names(self, tmp_path: Path, refused: Refused) -> None:
        for name in ("a\nb", "a\0b", "a\x1b[31m", "\udcff"):
            assert refused(FileError, read_bytes, Path(name), 9).startswith("path must be of printable characters, not")
        long = tmp_path / ("n" * 300)
        assert refused(FileError, read_bytes, long, 9) == f"{long}: cannot be read: File name too long"


class TestWrite:
    def test_replaces_the_whole_file(self, path: Path) -> None:
        write_atomic(path, b"first, and longer")
        write_atomic(path, b"second")
        assert path.read_bytes() == b"second"
        assert list(path.parent.iterdir()) == [path]
        assert stat.S_IMODE(path.stat().st_mode) == 0o644

    @pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
    def test_a_failed_write_leaves_the_old_file(self, path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_arguments: object, **_named: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        write_atomic(path, b"old")
        monkeypatch.setattr(files.os, call, fail)
        with pytest.raises(OSError, match="No space left on device"):
            write_atomic(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(path.parent.iterdir()) == [path]

    def test_json_has_one_form(self, path: Path) -> None:
        write_json(path, {"b": [1, 2], "a": {"d": True, "c": None}})
        first = path.read_bytes()
        write_json(path, {"a": {"c": None, "d": True}, "b": [1, 2]})
        assert path.read_bytes() == first
        assert read_json(path) == {"a": {"c": None, "d": True}, "b": [1, 2]}


def test_sha256() -> None:
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
