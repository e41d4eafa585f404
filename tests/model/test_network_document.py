"""docs/network-format.md names every operation, field and limit as the code declares them."""

import re
from pathlib import Path

import pytest

from model import manifest, network, tensorfile, values, vote
from model.fields import Choice, Integer, Size, attributes, specification, tensors
from model.operation import OPERATIONS

TEXT = (Path(__file__).parents[2] / "docs" / "network-format.md").read_text()


def rows(section):
    """Return the cells of the table rows of a section."""
    body = re.search(rf"^## {section}\. .*?(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line[:1] == "|"]


def table(section, first):
    """Return the rows whose first cell is code, by that code, of the table with this head."""
    found = rows(section)
    start = next(index for index, cells in enumerate(found) if cells[0] == first)
    named = {}
    for cells in found[start + 2 :]:
        if not cells[0].startswith("`"):
            break
        named[cells[0].strip("`")] = cells
    return named


def test_every_operation_has_its_attributes():
    found = table(4, "`op`")
    assert set(OPERATIONS) == set(found)
    for op, kind in OPERATIONS.items():
        assert tuple(re.findall(r"`(\w+)`", found[op][3])) == attributes(kind), op
        for source in {form for forms in kind.accepts for form in forms.split(" or ")}:
            assert source in found[op][1], op


def test_attributes_have_their_ranges():
    found = table(4, "`op`")
    for op, kind in OPERATIONS.items():
        for name, entry in specification(kind).items():
            if isinstance(entry, Integer) and (entry.low, entry.high) != (0, 31):
                high = "2^31 - 1" if entry.high == (1 << 31) - 1 else str(entry.high)
                assert f"{entry.low} to {high}" in found[op][3], (op, name)
            if isinstance(entry, Choice) and name == "bits":
                assert ", ".join(map(str, entry.choices[:-1])) + f" or {entry.choices[-1]}" in found[op][3], op


def test_every_tensor_has_its_row():
    found = table(4, "tensor")
    declared = {f"{op}.{part}": entry for op, kind in OPERATIONS.items() for part, entry in tensors(kind).items()}
    assert set(found) == set(declared)
    for name, entry in declared.items():
        axes = [axis.name if isinstance(axis, Size) else str(axis) for axis in entry.shape]
        if entry.packed:
            axes[-1] = f"ceil({axes[-1]} / 8)"
        shape = "[" + ", ".join(axes).replace("levels", "2^bits - 1") + "]"
        assert found[name][1:3] == [entry.dtype, shape], name
        if entry.high is not None:
            assert str(entry.high) in found[name][3].replace("2^21", str(1 << 21)), name


def test_the_manifest_and_the_members():
    assert list(table(2, "key")) == [*network._KEYS, "tensors"]
    assert list(table(5, "key")) == ["name", "output", *attributes(vote.Member)]
    assert f"`{manifest.FORMAT}`" in TEXT and "tallybert-network-1" not in TEXT
    assert list(table(3, "`kind`")) == list(values._INPUT_KEYS)


@pytest.mark.parametrize(
    "number",
    [
        f"{tensorfile.MAX_HEADER_BYTES:,}",
        f"{tensorfile.MAX_TENSORS:,}",
        f"1 to {network.MAX_TOKENIZER:,}",
        f"at most {vote.MAX_MEMBERS} members",
        f"1 to {vote.MAX_LABEL} printable",
        f"{network.MAX_PROVENANCE} texts",
        f"one of {', '.join(tensorfile.DTYPES)}",
        f"`rows` is from 1 to {values.MAX_ROWS}",
    ],
)
def test_the_limits(number):
    assert number in TEXT
