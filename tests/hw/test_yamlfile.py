"""hw.yamlfile: the part of YAML that is read, and everything that is not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hw import yamlfile
from hw.files import FileError
from hw.yamlfile import MAX_BYTES, MAX_NODES, Mapping, Scalar, Sequence, plain_data, read_yaml

Refused = Callable[..., str]
# Ten lists, each of nine times the one before it: 3,486,784,401 words if it were expanded.
BOMB = "a: &a [x]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)

# What the file holds, the line of the message or None, and the message itself.
MALFORMED: dict[str, tuple[str | bytes, int | None, str]] = {
    "empty": ("", None, "must hold settings, not nothing"),
    "comment only": ("# nothing\n\n", None, "must hold settings, not nothing"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "must hold one document, not several; remove the line '---'"),
    "alias": ("a: 1\nb: *a\n", 2, "must have no alias, not '*a'; write the value out"),
    "alias as the key": ("*a : 1\n", 1, "must have no alias, not '*a'; write the value out"),
    "anchor": ("a: 1\nb: &b 2\n", 2, "must have no anchor, not '&b'; remove it"),
    "anchored section": ("a: &a\n  b: 1\n", 1, "must have no anchor, not '&a'; remove it"),
    "anchored list": ("a: &a [1]\n", 1, "must have no anchor, not '&a'; remove it"),
    "anchored key": ("&a a: 1\n", 1, "must have no anchor, not '&a'; remove it"),
    "alias bomb": (BOMB, 1, "must have no anchor, not '&a'; remove it"),
    "alias of itself": ("a: &a [*a]\n", 1, "must have no anchor, not '&a'; remove it"),
    "merge key": ("a:\n  <<: {b: 1}\n", 2, "must have no merge key '<<'; write the values out"),
    "tag": ("a: !!int 4\n", 1, "must have no tag, not '!!int'; remove it"),
    "local tag": ("a: !mine 4\n", 1, "must have no tag, not '!mine'; remove it"),
    "bare tag": ("a: ! 4\n", 1, "must have no tag, not '!'; remove it"),
    "tagged section": ("a: !!map\n  b: 1\n", 1, "must have no tag, not '!!map'; remove it"),
    "code": ("!!python/object/apply:os.system [id]\n", 1, "must have no tag, not '!!python/object/apply:os.system'"),
    "YAML directive": ("%YAML 1.1\n---\na: 1\n", 1, "must have no directive; remove the line that starts with '%'"),
    "TAG directive": ("%TAG ! tag:x,1:\n---\na: 1\n", 1, "must have no directive; remove the line that starts"),
    "twice": ("a: 1\nb: 2\na: 1\n", 3, "must have each key once, not 'a' twice; line 1 has it too"),
    "twice inside": ("a:\n  b: 1\n  b: 2\n", 3, "must have each key once, not 'b' twice; line 2 has it too"),
    "twice in braces": ("a: {b: 1, 'b': 2}\n", 1, "must have each key once, not 'b' twice; line 1 has it too"),
    "a list as the key": ("? [a]\n: 1\n", 1, "must have a name as the key, not a list"),
    "a section as the key": ("{{a: 1}: 2}\n", 1, "must have a name as the key, not a section with keys of its own"),
    "too deep": ("a: " + "[" * 16 + "]" * 16, 1, "must be nested at most 16 deep, not deeper"),
    "far too deep": ("[" * 10**6, 1, "must be nested at most 16 deep, not deeper"),
    "deep in braces": ("{a: " * 10**5, 1, "must be nested at most 16 deep, not deeper"),
    "deep by dashes": ("- " * 10**5, 1, "must be nested at most 16 deep, not deeper"),
    "deep by question marks": ("? " * 10**5, 1, "must be nested at most 16 deep, not deeper"),
    "tab": ("a:\n\tb: 1\n", 2, "must be indented with spaces, not with a tab"),
    "nothing but a tab": ("a: 1\n\t\n", 2, "must be indented with spaces, not with a tab"),
    "tab after spaces": ("a:\n  \tb: 1\n", 2, "must be indented with spaces, not with a tab"),
    "open bracket": ("a: [1\n", 2, "must be YAML, but did not find expected ',' or ']'"),
    "open quote": ("a: 'b\n", 2, "must be YAML, but found unexpected end of stream"),
    "two colons": ("a: b: c\n", 1, "must be YAML, but mapping values are not allowed in this context"),
    "wrong indentation": ("a:\n  b: 1\n c: 2\n", 3, "must be YAML, but did not find expected key"),
    "escape": ('a: "\\U12345678"\n', 1, "must be YAML, but found invalid Unicode character escape code"),
    "garbage after the end": ("a: 1\n...\n]\n", 3, "must be YAML, but did not find expected <document start>"),
    "Latin-1": (b"a: 1\n# caf\xe9\n", 2, "must be UTF-8 text, not the byte 0xe9; save the file as UTF-8"),
    "UTF-16": ("a: 1\n".encode("utf-16"), 1, "must be UTF-8 text, not the byte 0xff; save the file as UTF-8"),
    "UTF-8 of a surrogate": (b"a: \xed\xa0\x80\n", 1, "must be UTF-8 text, not the byte 0xed; save the file as UTF-8"),
    "NUL": ("a: 1\n\0", 2, "must be text, not the control character 0x00"),
    "escape sequence": ("a: \x1b[31m\n", 1, "must be text, not the control character 0x1b"),
    "zip": (b"PK\x03\x04....", None, "must be a YAML text file, not a zip archive"),
    "gzip": (b"\x1f\x8b\x08\0", None, "must be a YAML text file, not a gzip archive"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", None, "must be a YAML text file, not an HDF5 file"),
    "pickle": (b"\x80\x04K\x01.", None, "must be a YAML text file, not a pickle"),
    "many keys": (
        "".join(f"k{i}: 1\n" for i in range(50000)),
        1000,
        "must hold at most 2000 keys and values, not more",
    ),
    "long list": ("a: [" + "1," * 50000 + "]", 1, "must hold at most 2000 keys and values, not more"),
    "huge": ("#" * (MAX_BYTES + 1), None, f"must be at most {MAX_BYTES} bytes, not {MAX_BYTES + 1}"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.yaml"


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case: str, path: Path, refused: Refused) -> None:
    data, line, message = MALFORMED[case]
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    place = f"{path}:{line}" if line else f"{path}"
    assert refused(FileError, read_yaml, path).startswith(f"{place}: {message}")


class TestWhatIsRead:
    def read(self, path: Path, text: str) -> object:
        path.write_text(text)
        return read_yaml(path)

    def test_nodes_know_their_lines(self, path: Path) -> None:
        root = self.read(path, "# hi\na: 1\nb:\n  c: [1, 2]\n  d: 'x'\n")
        ones = (Scalar(4, "1", True), Scalar(4, "2", True))
        inner = Mapping(4, {"c": Sequence(4, ones), "d": Scalar(5, "x", False)}, {"c": 4, "d": 5})
        assert root == Mapping(2, {"a": Scalar(2, "1", True), "b": inner}, {"a": 2, "b": 3})

    def test_plain_data_has_numbers_truth_and_texts(self, path: Path) -> None:
        text = "a: [1, -2.5, 1e-3, true, null, 'true', '7', word, 1-1-2, 0x10, .inf, ~]\nb:\n  c: {d: .5}\n"
        found = plain_data(self.read(path, text))
        listed = [1, -2.5, 0.001, True, None, "true", "7", "word", "1-1-2", "0x10", ".inf", "~"]
        assert found == {"a": listed, "b": {"c": {"d": 0.5}}}
        assert plain_data(self.read(path, f"a: {'9' * 41}\n")) == {"a": "9" * 41}

    def test_values_stay_text(self, path: Path) -> None:
        for text in ("1", "0x10", "true", "~", "1e3", "2001-01-01", ".inf"):
            assert self.read(path, text) == Scalar(1, text, True)
        assert self.read(path, "'1'") == Scalar(1, "1", False)

    @pytest.mark.parametrize("text", ["a: 1\n", "a: 1", "---\na: 1\n...\n", "\ufeffa: 1\n", "a: 1\r\n", "{a: 1}"])
    def test_forms_of_one_document(self, text: str, path: Path) -> None:
        root = self.read(path, text)
        assert isinstance(root, Mapping)
        assert root.entries["a"].text == "1"

    def test_limits_are_reached(self, path: Path) -> None:
        assert self.read(path, "a: " + "[" * 15 + "]" * 15) is not None
        keys = self.read(path, "".join(f"k{i}: 1\n" for i in range((MAX_NODES - 1) // 2)))
        assert isinstance(keys, Mapping)
        assert self.read(path, "a: 1\n#" + "x" * (MAX_BYTES - 6)) is not None

    def test_tabs_where_yaml_allows_them(self, path: Path) -> None:
        assert self.read(path, "a: 1\t# one\n") is not None


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        (Scalar(1, "", True), "nothing"),
        (Scalar(1, "", False), "''"),
        (Scalar(1, "abc", True), "abc"),
        (Scalar(1, "abc", False), "'abc'"),
        (Scalar(1, "a\nb", True), r"'a\nb'"),
        (Scalar(1, "9" * 5000, True), "99999999999999999999... (5000 characters)"),
    ],
)
def test_a_scalar_shows_itself(scalar: Scalar, text: str) -> None:
    assert str(scalar) == text


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@given(data=st.binary(max_size=40) | st.text("ab:-?[]{}&*!|>'\"%@#, \n\t0", max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes, loader: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    before, yamlfile._LOADER = yamlfile._LOADER, loader
    try:
        read_yaml(path)
    except FileError as error:
        assert str(error).isprintable()
    finally:
        yamlfile._LOADER = before
