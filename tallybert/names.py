"""The names of instructions: the piece of work of the network that each belongs to, and the file that keeps them.

A program has no names of its own. Of a whole network the mapper's work has them; they are kept beside the program as
`names.json`, with the hash of the encoded instructions that they belong to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hw.files import FileError, read_json, sha256, write_json
from hw.messages import shown

if TYPE_CHECKING:
    from hw.program import Program

FORMAT = "tallybert-names-1"
NAMES_FILE = "names.json"
MAX_BYTES, MAX_LETTERS = 1 << 26, 200


def write_names(folder: Path, program: Program, names: tuple[str, ...]) -> None:
    """Write the names beside a program, or remove those of another one where there are none."""
    path = folder / NAMES_FILE
    if not names:
        path.unlink(missing_ok=True)
        return
    write_json(path, {"format": FORMAT, "instructions_sha256": _digest(program), "names": list(names)}, indent=None)


def read_names(folder: Path, program: Program) -> tuple[str, ...]:
    """Return the names that stand beside a program, none where there is no such file; trust nothing in it."""
    path = folder / NAMES_FILE
    if not path.exists():
        return ()
    value = read_json(path, MAX_BYTES)
    if set(value) != {"format", "instructions_sha256", "names"} or value["format"] != FORMAT:
        raise FileError(f"{path}: must be of format {FORMAT} with the keys format, instructions_sha256, names")
    digest, names = _digest(program), value["names"]
    if value["instructions_sha256"] != digest:
        expected, found = f"{digest}, that of the program", shown(value["instructions_sha256"])
        raise FileError(f"{path}: instructions_sha256: must be {expected}, not {found}: delete the file")
    count = len(program.instructions)
    if not isinstance(names, list) or len(names) != count:
        found = f"{len(names)}" if isinstance(names, list) else shown(names)
        raise FileError(f"{path}: names: must be a list of {count}, one for each instruction, not {found}")
    for number, name in enumerate(names):
        if not isinstance(name, str) or len(name) > MAX_LETTERS or not name.isprintable():
            expected = f"must be at most {MAX_LETTERS} printable characters"
            raise FileError(f"{path}: names[{number}]: {expected}, not {shown(name)}")
    return tuple(names)


def _digest(program: Program) -> str:
    return sha256(b"".join(instruction.encode() for instruction in program.instructions))
