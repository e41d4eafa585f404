import pytest

from model.data.errors import DataError
from model.data.records import read_records


def records(path, text, kind=".csv"):
    file = path / f"data{kind}"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_records(file))


@pytest.fixture
def wrong(tmp_path, refused):
    """Return a function that gives the message about a file with this content, from the name of the file on."""

    def message(text, kind=".csv"):
        return refused(DataError, records, tmp_path, text, kind).removeprefix(f"{tmp_path}/")

    return message


def test_csv_quotes_as_spreadsheets_do(tmp_path):
    text = 'text,label\r\n"one, ""two""",a\r\n\r\n"line\nbreak",b\r\nlast,c'
    assert records(tmp_path, text) == [
        (2, {"text": 'one, "two"', "label": "a"}),
        (4, {"text": "line\nbreak", "label": "b"}),
        (6, {"text": "last", "label": "c"}),
    ]


def test_tsv_does_not_quote(tmp_path):
    text = 'text\tlabel\r\n"one\ta\n\n\u2028\x0b"two"\t"b"\n'
    assert records(tmp_path, text, ".TSV") == [
        (2, {"text": '"one', "label": "a"}),
        (4, {"text": '\u2028\x0b"two"', "label": '"b"'}),
    ]


def test_json_lines_are_objects(tmp_path):
    text = '{"text": "one\\ntwo", "label": 1}\n\n{"label": "b", "text": "\\u00e9", "more": [1.5]}\n'
    assert records(tmp_path, text, ".jsonl") == [
        (1, {"text": "one\ntwo", "label": 1}),
        (3, {"text": "\u00e9", "label": "b", "more": [1.5]}),
    ]


def test_a_mark_at_the_start_is_no_letter(tmp_path):
    assert records(tmp_path, b"\xef\xbb\xbftext\na\n") == [(2, {"text": "a"})]
    assert records(tmp_path, b'\xef\xbb\xbf{"a": 1}', ".jsonl") == [(1, {"a": 1})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "data.csv: must be a file with examples, not empty"),
        (b" \r\n \n", "data.csv: must be a file with examples, not empty"),
        (b"text\n\xff\n", "data.csv: line 2: must be UTF-8, not byte 0xff; save the file as UTF-8"),
        (b"text\na\n\xc3", "data.csv: line 3: must be UTF-8, not byte 0xc3; save the file as UTF-8"),
        (b"text\na\nb\0c\n", "data.csv: line 3: must be text, not a line with a NUL character"),
        ("a,b\n1,2,3\n", "data.csv: line 2: must be 2 columns, as the header, not 3; is a quotation mark missing?"),
        ("a,b\n1,2\n3\n", "data.csv: line 3: must be 2 columns, as the header, not 1; is a quotation mark missing?"),
        ("a,b,a\n1,2,3\n", "data.csv: line 1: must be a header of different names, not ['a', 'b', 'a']"),
        ('a,b\n"1",2\n"3', "data.csv: line 3: must be CSV, not a record with: unexpected end of data"),
        ('a\n"1"2\n', "data.csv: line 2: must be CSV, not a record with: ',' expected after '\"'"),
        (
            f"a\n{'x' * 131073}\n",
            "data.csv: line 2: must be CSV, not a record with: field larger than field limit (131072)",
        ),
    ],
)
def test_what_is_no_csv_is_refused(wrong, text, message):
    assert wrong(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n1\n", "data.tsv: line 2: must be 2 columns, as the header, not 1"),
        ("a\tb\n1\t2\t\n", "data.tsv: line 2: must be 2 columns, as the header, not 3"),
        ("\n\na\ta\n1\t2\n", "data.tsv: line 3: must be a header of different names, not ['a', 'a']"),
    ],
)
def test_what_is_no_tsv_is_refused(wrong, text, message):
    assert wrong(text, ".tsv") == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n[1]\n", "data.jsonl: line 2: must be a JSON object, not list"),
        ("null\n", "data.jsonl: line 1: must be a JSON object, not NoneType"),
        ('{"a": 1', "data.jsonl: line 1: must be a JSON object, not text with: Expecting ',' delimiter at character 8"),
        ('{"a": 1, "a": 2}', "data.jsonl: line 1: must be an object with different names, not 'a'"),
        ('{"b": {"a": 1, "a": 2}}', "data.jsonl: line 1: must be an object with different names, not 'a'"),
        ("[" * 100_000, "data.jsonl: line 1: must be a JSON object, not one that is nested too deep"),
    ],
)
def test_what_is_no_json_is_refused(wrong, text, message):
    assert wrong(text, ".jsonl") == message


@pytest.mark.parametrize(("kind", "found"), [(".xlsx", "'.xlsx'"), ("", "one without an end")])
def test_other_kinds_are_refused(wrong, kind, found):
    assert wrong("a\n1\n", kind) == f"data{kind}: must be a file that ends in .csv, .tsv, .jsonl, not {found}"


def test_what_cannot_be_read_is_refused(tmp_path, refused):
    file = tmp_path / "data.csv"
    assert (
        refused(DataError, read_records, file) == f"{file}: must be readable, not fail with: No such file or directory"
    )
    file.mkdir()
    assert refused(DataError, read_records, file) == f"{file}: must be a regular file, not a folder"


def test_a_device_is_not_read(refused, tmp_path):
    file = tmp_path / "zero.csv"
    file.symlink_to("/dev/zero")
    assert refused(DataError, read_records, file) == f"{file}: must be a regular file, not a device or pipe"


def test_an_odd_name_is_quoted(refused, tmp_path):
    file = tmp_path / "a\nb.csv"
    file.write_text("a\nb\n\n")
    assert len(list(read_records(file))) == 1
    file.write_text("")
    assert refused(DataError, read_records, file).endswith("a\\nb.csv': must be a file with examples, not empty")
