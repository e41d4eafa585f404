"""hw.config: reading, defaults, and every wrong value with its whole message."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.arch import FIELDS, Accelerator
from hw.config import PRESET_FOLDER, find_accelerator, load_accelerator, presets
from hw.files import FileError

Refused = Callable[..., str]
HEAD = "format: tallybert-accelerator-1\nname: x\n"
ARRAY_KEYS = "rows, columns, word_bits, pipeline, sum_bits, drain_rows, code_bits"
BUFFER_KEYS = "activation_lines, weight_lines, key_lines, threshold_lines, output_lines"
TOP_KEYS = "format, name, array, buffers, vector, attention, text, memory, queues, implementation"
ROWS = "array.rows: must be an integer from 1 to 64, not"
COLUMNS = "array.columns: must be a power of two from 1 to 64, not"
COUNTERS = "implementation.counters: must be true or false, not"
NAME = "name: must be 1 to 64 letters, digits, '_' or '-', starting with a letter, not"

# What the file holds, and the whole message after the path.
WRONG_FILES = {
    "no mapping": ("64\n", ":1: must hold sections such as 'array:', not 64"),
    "a list": ("- a\n", ":1: must hold sections such as 'array:', not a list"),
    "no format": ("name: x\n", ": format: must be given, as in 'format: tallybert-accelerator-1', not left out"),
    "no name": (
        "format: tallybert-accelerator-1\n",
        ": name: must be given, as in 'name: my-accelerator', not left out",
    ),
    "other format": (
        "name: x\nformat: tallybert-accelerator-2\n",
        ":2: format: must be tallybert-accelerator-1, not tallybert-accelerator-2",
    ),
    "format is a list": ("name: x\nformat: [1]\n", ":2: format: must be a word, not a list"),
    "unknown section": (
        HEAD + "arrays:\n  rows: 2\n",
        f":3: key must be one of {TOP_KEYS}, not 'arrays'; did you mean 'array'?",
    ),
    "unknown key": (
        HEAD + "array:\n  row: 2\n",
        f":4: array: key must be one of {ARRAY_KEYS}, not 'row'; did you mean 'rows'?",
    ),
    "nothing like it": (HEAD + "array:\n  zzz: 2\n", f":4: array: key must be one of {ARRAY_KEYS}, not 'zzz'"),
    "key at the top": (
        HEAD + "rows: 2\n",
        f":3: key must be one of {TOP_KEYS}, not 'rows'; move it to the section 'array'",
    ),
    "key in another section": (
        HEAD + "array:\n  port_bits: 8\n",
        f":4: array: key must be one of {ARRAY_KEYS}, not 'port_bits'; move it to the section 'memory'",
    ),
    "name in a section": (
        HEAD + "array:\n  name: x\n",
        f":4: array: key must be one of {ARRAY_KEYS}, not 'name'; move it to the top level",
    ),
    "key with a newline": (
        HEAD + 'array: {"ro\\nws": 2}\n',
        f":3: array: key must be one of {ARRAY_KEYS}, not 'ro\\nws'; did you mean 'rows'?",
    ),
    "section is a number": (
        HEAD + "array: 4\n",
        ":3: array: must be a section with keys of its own, not 4; give it keys such as 'rows'",
    ),
    "section is a list": (
        HEAD + "array:\n  - rows\n",
        ":4: array: must be a section with keys of its own, not a list; give it keys such as 'rows'",
    ),
    "section is empty": (
        HEAD + "array:\n",
        ":3: array: must be a section with keys of its own, not nothing; give it keys or remove the line",
    ),
    "duplicate key": (
        HEAD + "array:\n  rows: 2\n  rows: 2\n",
        ":5: must have each key once, not 'rows' twice; line 4 has it too",
    ),
    "relation": (
        HEAD + "array:\n  rows: 4\n  drain_rows: 8\n",
        ":5: array.drain_rows: must be at most array.rows (4), not 8",
    ),
    "relation with a default": (
        HEAD + "array:\n  rows: 2\n  drain_rows: 4\n",
        ":5: array.drain_rows: must be at most array.rows (2), not 4",
    ),
    "relation with a key buffer": (
        HEAD + "array:\n  drain_rows: 4\n  columns: 2\nbuffers:\n  key_lines: 8\n",
        ":4: array.drain_rows: must be at most array.columns (2) where there is a key buffer, not 4",
    ),
    "a key buffer of one line": (
        HEAD + "buffers:\n  key_lines: 1\n",
        ":4: buffers.key_lines: must be 0 (no key buffer) or at least 2, not 1",
    ),
    "lanes that are no power of two": (
        HEAD + "vector:\n  vector_lanes: 12\n",
        ":4: vector.vector_lanes: must be 0 (no vector unit) or a power of two, not 12",
    ),
    "row lanes that are no power of two": (
        HEAD + "attention:\n  row_lanes: 12\n",
        ":4: attention.row_lanes: must be 0 (no row unit) or a power of two, not 12",
    ),
    "a token buffer of one line": (
        HEAD + "vector:\n  vector_lanes: 4\ntext:\n  token_lines: 1\n",
        ":6: text.token_lines: must be 0 (no embedding) or at least 2, not 1",
    ),
    "tokens without vector lanes": (
        HEAD + "vector:\n  vector_lanes: 0\ntext:\n  token_lines: 8\n",
        ":6: text.token_lines: must be 0 where vector.vector_lanes is 0, not 8",
    ),
    "classes without vector lanes": (
        HEAD + "text:\n  classes: 2\n",
        ":4: text.classes: must be 0 where vector.vector_lanes is 0, not 2",
    ),
    "score lines among the buffers": (
        HEAD + "buffers:\n  score_lines: 8\n",
        f":4: buffers: key must be one of {BUFFER_KEYS}, not 'score_lines'; move it to the section 'attention'",
    ),
    "relation of a key left out": (
        HEAD + "array:\n  word_bits: 128\n  sum_bits: 8\n",
        ":5: array.sum_bits: must be at least 9 to hold one word of 128 bits, not 8",
    ),
}

WRONG_INTEGERS = {
    "0x10": f"{ROWS} 0x10; write 16",
    "0b11": f"{ROWS} 0b11; write 3",
    "0o17": f"{ROWS} 0o17; write 15",
    "017": f"{ROWS} 017; write it without leading zeros",
    "00": f"{ROWS} 00; write it without leading zeros",
    "1_0": f"{ROWS} 1_0; write 10",
    "1e1": f"{ROWS} 1e1; write 10",
    "1e3": f"{ROWS} 1e3; the nearest is 64",
    "8.0": f"{ROWS} 8.0; write 8",
    "8.": f"{ROWS} 8.; write 8",
    "8.5": f"{ROWS} 8.5; write a whole number in decimal",
    "+4": f"{ROWS} +4; write 4",
    "1:30": f"{ROWS} 1:30; write a whole number in decimal",
    "'64'": f"{ROWS} '64'; write 64 without quotes",
    '"64"': f"{ROWS} '64'; write 64 without quotes",
    "'1,000'": f"{ROWS} '1,000'; the nearest is 64",
    "'４'": f"{ROWS} '４'; write 4 without quotes",
    ".inf": f"{ROWS} .inf; write a whole number in decimal",
    "-.inf": f"{ROWS} -.inf; write a whole number in decimal",
    ".nan": f"{ROWS} .nan; write a whole number in decimal",
    "1e999": f"{ROWS} 1e999; write a whole number in decimal",
    "1e99": f"{ROWS} 1e99; the nearest is 64",
    "true": f"{ROWS} true; write a whole number in decimal",
    "yes": f"{ROWS} yes; write a whole number in decimal",
    "null": f"{ROWS} null; write a whole number in decimal",
    "": f"{ROWS} nothing; write a number or remove the line",
    "''": f"{ROWS} ''; write a number or remove the line",
    "2001-01-01": f"{ROWS} 2001-01-01; write a whole number in decimal",
    "[2]": f"{ROWS} a list; write one number",
    "{a: 2}": f"{ROWS} a section with keys of its own; write one number",
    "0": f"{ROWS} 0; the nearest is 1",
    "-0": f"{ROWS} -0; the nearest is 1",
    "65": f"{ROWS} 65; the nearest is 64",
    "-5": f"{ROWS} -5; the nearest is 1",
    "9" * 18: f"{ROWS} {'9' * 18}; the nearest is 64",
    "9" * 5000: f"{ROWS} 99999999999999999999... (5000 characters); the nearest is 64",
    "-" + "9" * 5000: f"{ROWS} -9999999999999999999... (5001 characters); write a whole number in decimal",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.yaml"


class TestRefusals:
    @pytest.mark.parametrize("case", WRONG_FILES)
    def test_wrong_file(self, case: str, path: Path, refused: Refused) -> None:
        text, message = WRONG_FILES[case]
        path.write_text(text)
        assert refused(FileError, load_accelerator, path) == f"{path}{message}"

    @pytest.mark.parametrize("written", WRONG_INTEGERS, ids=lambda text: text[:10])
    def test_wrong_integer(self, written: str, path: Path, refused: Refused) -> None:
        path.write_text(f"{HEAD}array:\n  rows: {written}\n")
        assert refused(FileError, load_accelerator, path) == f"{path}:4: {WRONG_INTEGERS[written]}"

    @pytest.mark.parametrize(("written", "nearest"), [("48", 32), ("3", 2), ("0", 1), ("128", 64), ("-1", 1)])
    def test_no_power_of_two(self, written: str, nearest: int, path: Path, refused: Refused) -> None:
        path.write_text(f"{HEAD}array:\n  columns: {written}\n")
        assert refused(FileError, load_accelerator, path) == f"{path}:4: {COLUMNS} {written}; the nearest is {nearest}"

    @pytest.mark.parametrize(
        ("written", "rest"),
        [
            ("yes", "yes; write true"),
            ("Off", "Off; write false"),
            ("'true'", "'true'; write it without quotes"),
            ("True", "True; write true"),
            ("1", "1"),
            ("", "nothing"),
            ("[true]", "a list"),
        ],
    )
    def test_wrong_counters(self, written: str, rest: str, path: Path, refused: Refused) -> None:
        path.write_text(f"{HEAD}implementation:\n  counters: {written}\n")
        assert refused(FileError, load_accelerator, path) == f"{path}:4: {COUNTERS} {rest}"

    @pytest.mark.parametrize(
        ("written", "message"),
        [
            ("a b", f"{NAME} 'a b'"),
            ("12", f"{NAME} '12'"),
            ("'a\\0'", f"{NAME} 'a\\\\0'"),
            ("true", "name: must be a word, not true; choose another one"),
            ("~", "name: must be a word, not ~; choose another one"),
            ("", "name: must be a word, not nothing; choose another one"),
            ("{a: 1}", "name: must be a word, not a section with keys of its own"),
        ],
    )
    def test_wrong_name(self, written: str, message: str, path: Path, refused: Refused) -> None:
        path.write_text(f"format: tallybert-accelerator-1\nname: {written}\n")
        assert refused(FileError, load_accelerator, path) == f"{path}:2: {message}"

    @pytest.mark.parametrize("key", FIELDS)
    def test_every_number_is_checked_in_its_section(self, key: str, path: Path, refused: Refused) -> None:
        path.write_text(f"{HEAD}{FIELDS[key].section}:\n  {key}: -1\n")
        start = f"{path}:4: {FIELDS[key].section}.{key}: must be "
        assert refused(FileError, load_accelerator, path).startswith(start)

    def test_binary_data(self, path: Path, refused: Refused) -> None:
        path.write_bytes(bytes(range(256)) * 100)
        assert refused(FileError, load_accelerator, path).startswith(f"{path}:2: must be UTF-8 text, ")

    @given(st.text("0123456789_-+.eExXobnaif,' ", min_size=1, max_size=12))
    def test_any_number_is_read_as_decimal_or_refused(
        self, tmp_path_factory: pytest.TempPathFactory, written: str
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "number.yaml"
        path.write_text(f"{HEAD}array:\n  rows: {written}\n")
        try:
            assert str(load_accelerator(path).rows) == written.strip()
        except FileError as error:
            assert str(error).isprintable()


class TestWhereItIs:
    def test_unknown_preset(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
        monkeypatch.chdir(tmp_path)
        start = "accelerator must be a YAML file or one of nano, edge, big, stream, not"
        assert refused(FileError, load_accelerator, "egde") == f"{start} 'egde'; did you mean 'edge'?"
        assert refused(FileError, load_accelerator, "zzz") == f"{start} 'zzz'"
        assert refused(FileError, load_accelerator, "n" * 5000).startswith(start)
        assert refused(FileError, load_accelerator, "a\nb").startswith(start)
        assert refused(FileError, load_accelerator, "") == ".: must be a file, not a folder"

    def test_missing_file(self, tmp_path: Path, refused: Refused) -> None:
        for path in (tmp_path / "no.yaml", tmp_path / "no"):
            expected = f"{path}: must be a file, but it does not exist"
            assert refused(FileError, load_accelerator, path) == expected
            assert refused(FileError, load_accelerator, str(path)) == expected

    def test_a_folder(self, tmp_path: Path, refused: Refused) -> None:
        assert refused(FileError, load_accelerator, tmp_path) == f"{tmp_path}: must be a file, not a folder"

    def test_a_preset_goes_before_a_file_of_its_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("edge").write_text(HEAD)
        assert find_accelerator("edge") == PRESET_FOLDER / "edge.yaml"
        assert load_accelerator("./edge").name == "x"
        assert load_accelerator(Path("edge")).name == "x"


class TestReading:
    def test_what_is_left_out_has_its_default(self, path: Path) -> None:
        path.write_text(HEAD)
        assert load_accelerator(path) == Accelerator(name="x")
        path.write_text(f"{HEAD}array:\n  rows: 8\nimplementation:\n  counters: false\n")
        assert load_accelerator(str(path)) == Accelerator(name="x", rows=8, counters=False)

    def test_every_accelerator_can_be_written_and_read(self, path: Path) -> None:
        changed = Accelerator(name="y", rows=8, columns=16, port_bits=64, clock_mhz=77, counters=False)
        changed = changed.replace(code_bits=4, key_lines=32, vector_lanes=2, sum_lines=7)
        changed = changed.replace(row_lanes=4, score_slots=3, token_lines=9, classes=5)
        for accelerator in (Accelerator(name="x"), changed, *map(load_accelerator, presets())):
            lines = []
            for key, value in accelerator.to_dict().items():
                inner = value.items() if isinstance(value, dict) else ()
                lines += [f"{key}:" if inner else f"{key}: {value}", *(f"  {k}: {str(v).lower()}" for k, v in inner)]
            path.write_text("\n".join(lines))
            assert load_accelerator(path) == accelerator
