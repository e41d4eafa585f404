"""The tables of docs/machine.md and docs/machine-network.md state what hw.isa and hw.arch have."""

import itertools
import re
from enum import IntEnum
from pathlib import Path

import pytest

from hw.arch import Accelerator
from hw.isa import (
    FIELDS,
    OPCODE,
    OWN_WAITS,
    SIGNAL,
    STATE_NAMES,
    TOKEN_UNITS,
    UNIT_NAMES,
    UNIT_OF,
    WAIT,
    Buffer,
    Destination,
    Opcode,
    Source,
    SumsDestination,
    Unit,
    Vote,
)

DOCS = Path(__file__).parents[2] / "docs"
MACHINE, NETWORK = ((DOCS / name).read_text() for name in ("machine.md", "machine-network.md"))
SECOND = (Opcode.SOFTMAX, Opcode.MEAN, Opcode.CLASSIFY, Opcode.EXIT, Opcode.TABLE)
"""The opcodes that the second document has; the others are in the first."""

NAMED: dict[tuple[Opcode, str], type[IntEnum]] = {
    (Opcode.LOAD, "buffer"): Buffer,
    (Opcode.BINARIZE, "destination"): Destination,
    (Opcode.SUMS, "destination"): SumsDestination,
    (Opcode.VECTOR, "source"): Source,
    (Opcode.CLASSIFY, "vote"): Vote,
}
Cells = dict[Opcode, tuple[str, str]]


def cells(text: str) -> Cells:
    """Return the unit and the operands, as they are written, of each opcode in the tables of a document."""
    rows = re.findall(r"^\| (\d+) (\w+) \| (\w+) \| (.*) \|$", text, re.MULTILINE)
    found = {Opcode(int(number)): (unit, cell) for number, _, unit, cell in rows}
    assert [opcode.name for opcode in found] == [name for _, name, _, _ in rows]
    return found


def place(item: str) -> tuple[str, tuple[int, int]]:
    """Return name, offset and width of an operand such as `rows 3.16-22`, `epsilon 7` or `swing 6.0-31 and 7.0-5`."""
    match = re.fullmatch(r"\s*(\w+) (\d)(?:\.(\d+)(?:-(\d+))?)?(?: and (\d)\.0-(\d+))?\s*", item)
    assert match, item
    word, first = int(match[2]), int(match[3] or 0)
    last = int(match[4] or match[3] or 31)
    if match[5]:
        assert (last, int(match[5])) == (31, word + 1), item
        last += int(match[6]) + 1
    return match[1], (32 * word + first, last - first + 1)


CELLS = cells(MACHINE) | cells(NETWORK)


def test_each_opcode_stands_in_one_table() -> None:
    assert list(cells(MACHINE)) == [opcode for opcode in Opcode if opcode not in SECOND]
    assert tuple(cells(NETWORK)) == SECOND
    assert f"\n| {SECOND[0]} to {SECOND[-1]} | | docs/machine-network.md |\n" in MACHINE


@pytest.mark.parametrize("opcode", Opcode, ids=lambda opcode: opcode.name.lower())
def test_the_same_fields(opcode: Opcode) -> None:
    unit, cell = CELLS[opcode]
    assert unit.lower() == UNIT_OF[opcode].name.lower()
    items = re.sub(r"\([^)]*\)", "", cell).split(",")
    places = {} if items[0] == "none" else dict(place(item) for item in items)
    assert places == {field.name: (field.offset, field.width) for field in FIELDS[opcode]}


@pytest.mark.parametrize("opcode", Opcode, ids=lambda opcode: opcode.name.lower())
def test_the_same_numbers_of_what_an_operand_names(opcode: Opcode) -> None:
    stated = {
        name: [(int(number), word.lower()) for number, word in re.findall(r"(\d) (\w+)", words)]
        for name, words in re.findall(r"(\w+) [\d.-]+ \(([^)]*)\)", CELLS[opcode][1])
    }
    expected = {operand: names for (of, operand), names in NAMED.items() if of is opcode}
    assert stated == {
        operand: [(member.value, member.name.lower()) for member in names] for operand, names in expected.items()
    }


@pytest.mark.parametrize("second", [False, True], ids=["machine", "network"])
def test_the_same_counts(second: bool) -> None:
    text = re.search(r"^((?:`\w+`,?\s(?:and )?)+)are counts and\s", NETWORK if second else MACHINE, re.MULTILINE)
    assert text
    fields = [field for opcode in Opcode if (opcode in SECOND) == second for field in FIELDS[opcode]]
    assert set(re.findall(r"`(\w+)`", text[1])) == {field.name for field in fields if field.count}


def test_the_same_header() -> None:
    text = " ".join(MACHINE.split())
    assert "bits 0-7 opcode, 8-15 wait mask, 16-23 signal mask" in text
    assert [(field.offset, field.width) for field in (OPCODE, WAIT, SIGNAL)] == [(0, 8), (8, 8), (16, 8)]
    stated = re.search(r"Bit u of a mask names unit u: (.*?)\.", text)
    assert stated
    assert stated[1] == ", ".join(f"{unit.value} {unit.name}" for unit in TOKEN_UNITS)
    assert "A unit's own bit is legal in the wait masks of LOAD and of VECTOR's instructions only." in text
    assert OWN_WAITS == (Unit.LOAD, Unit.VECTOR)
    assert f"ROW is unit {Unit.ROW} of the masks." in NETWORK


def test_the_same_counters() -> None:
    units, states = ", ".join(UNIT_NAMES), ", ".join(STATE_NAMES)
    assert f"| cycles of unit u ({units}) in state s ({states}); 0 if built without counters |" in MACHINE
    table = MACHINE.partition("### 3.11")[2].partition("\n## ")[0]
    header, *rows = re.findall(r"^\| (\w+) \| .* \|$", table, re.MULTILINE)
    assert header == "unit"
    assert sorted(row.lower() for row in rows) == sorted(UNIT_NAMES)
    assert f"u = 0 {', '.join(UNIT_NAMES[:-1])}, {Unit.SEQUENCER} sequencer." in NETWORK


# --- buffers -----------------------------------------------------------------------------------------------------


def buffer_rows(text: str, columns: int) -> dict[str, list[str]]:
    """Return, by buffer, the other cells of the document's table of buffers."""
    table = re.search(r"^\| buffer \| banks .*\n\|[-|]+\|\n((?:\|.*\|\n)+)", text, re.MULTILINE)
    assert table
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[1].splitlines()]
    assert {len(row) for row in rows} == {columns}
    return {name: row[1:] for row in rows for name in row[0].split(", ")}


def test_every_buffer_is_described_once() -> None:
    first, second = buffer_rows(MACHINE, 4), buffer_rows(NETWORK, 5)
    assert not set(first) & set(second)
    loaded = {buffer.name.lower() for buffer in Buffer}
    assert set(first) | set(second) == loaded | {"key", "sums", "fixed", "output", "score"}
    numbers = {name: int(row[3]) for name, row in second.items() if row[3]}
    assert numbers == {b.name.lower(): b.value for b in (Buffer.TABLE, Buffer.TOKEN, Buffer.WORD, Buffer.EMBEDDING)}


def test_the_number_of_lines_is_a_parameter() -> None:
    parameters = set(vars(Accelerator()))
    for row in (*buffer_rows(MACHINE, 4).values(), *buffer_rows(NETWORK, 5).values()):
        names = re.findall(r"`(\w+)`", row[2])
        assert names
        assert set(names) <= parameters


def test_a_line_is_as_wide_as_the_table_says() -> None:
    """Each `name` = max(...) of the second document's buffers is evaluated, and is the property of that name."""
    rows = buffer_rows(NETWORK, 5)
    stated = dict(found for row in rows.values() for found in re.findall(r"`(\w+)` = (max\([\w *,]+\))", row[1]))
    assert len(stated) == len(rows)
    for port_bits, columns, vector_lanes, row_lanes in itertools.product((8, 32, 256), (1, 8), (1, 4, 128), (1, 64)):
        accelerator = Accelerator(port_bits=port_bits, columns=columns, vector_lanes=vector_lanes, row_lanes=row_lanes)
        for name, formula in stated.items():
            assert getattr(accelerator, name) == eval(formula, {"max": max}, vars(accelerator)), name
