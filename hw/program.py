"""A program: instructions and the memory image they run on, as an object and as a folder of two files.

The folder holds `program.json` (what it is, where its regions are, the hash of the image) and `image.bin` (the memory
from address 0 before the run, the encoded instructions included).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.arch import FIELDS, SECTIONS, Accelerator, AcceleratorError
from hw.arch import FORMAT as ACCELERATOR_FORMAT
from hw.files import FileError, read_bytes, read_json, sha256, write_atomic, write_json
from hw.isa import INSTRUCTION_BYTES, Instruction, InstructionError, decode
from hw.messages import shown, suggestion

FORMAT = "tallybert-program-1"
MAX_IMAGE_BYTES = 1 << 30
ACCESSES = ("program", "read", "write")


class ProgramError(ValueError):
    """A program that is not well formed; the message says what and where."""


@dataclass(frozen=True)
class Region:
    """A named piece of memory and what the program does with it."""

    name: str
    address: int
    size: int
    access: str

    @property
    def end(self) -> int:
        """The first address after the region."""
        return self.address + self.size


@dataclass(frozen=True)
class Program:
    """Instructions at `address` in a memory `image` that starts at address 0."""

    accelerator: Accelerator
    instructions: tuple[Instruction, ...]
    address: int
    regions: tuple[Region, ...]
    image: bytes

    def __post_init__(self) -> None:
        code = b"".join(instruction.encode() for instruction in self.instructions)
        if not self.instructions:
            raise ProgramError("program: instructions must be at least 1, not 0")
        if self.address < 0 or self.address % INSTRUCTION_BYTES:
            raise ProgramError(f"program: address must be a multiple of {INSTRUCTION_BYTES}, not {self.address}")
        if self.image[self.address : self.address + len(code)] != code:
            raise ProgramError(f"program: image must hold the encoded instructions at {self.address:#x}")
        names: set[str] = set()
        for region in self.regions:
            _check_region(region, len(self.image))
            if region.name in names:
                raise ProgramError(f"region {region.name}: name must be given once, not twice")
            names.add(region.name)

    def region(self, name: str) -> Region:
        """Return the region of that name."""
        for region in self.regions:
            if region.name == name:
                return region
        raise ProgramError(f"program: region must be one of {shown([r.name for r in self.regions])}, not {shown(name)}")

    def save(self, folder: Path) -> None:
        """Write the program as a folder; the manifest is written last, so a half-written folder does not load."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "image.bin", self.image)
        write_json(folder / "program.json", self.manifest())

    def manifest(self) -> dict[str, Any]:
        """Return what `program.json` holds."""
        return {
            "format": FORMAT,
            "accelerator": self.accelerator.to_dict(),
            "address": self.address,
            "length": len(self.instructions),
            "regions": [
                {"name": r.name, "address": r.address, "size": r.size, "access": r.access} for r in self.regions
            ],
            "image": {"size": len(self.image), "sha256": sha256(self.image)},
        }


def load(folder: Path) -> Program:
    """Read a program folder, trusting nothing in it."""
    path = folder / "program.json"
    manifest = read_json(path)
    _expect_keys(path, "program", manifest, ("format", "accelerator", "address", "length", "regions", "image"))
    _expect(path, "format", manifest["format"] == FORMAT, FORMAT, manifest["format"])
    try:
        accelerator = accelerator_from_dict(manifest["accelerator"])
    except AcceleratorError as error:
        raise FileError(f"{path}: accelerator: {error}") from None
    image = _read_image(folder, path, manifest["image"])
    address = _number(path, "address", manifest["address"], len(image))
    length = _number(path, "length", manifest["length"], (len(image) - address) // INSTRUCTION_BYTES)
    instructions = tuple(_decode_at(path, image, address, index) for index in range(length))
    try:
        return Program(accelerator, instructions, address, _regions(path, manifest["regions"]), image)
    except ProgramError as error:
        raise FileError(f"{path}: {error}") from None


def accelerator_from_dict(value: Any) -> Accelerator:
    """Build an accelerator from the sections of `Accelerator.to_dict`, all of them present."""
    _check_keys("", value, ("format", "name", *SECTIONS))
    if value["format"] != ACCELERATOR_FORMAT:
        raise AcceleratorError(f"format must be {ACCELERATOR_FORMAT}, not {shown(value['format'])}")
    flat: dict[str, Any] = {"name": value["name"]}
    for section in SECTIONS:
        names = tuple(n for n, f in FIELDS.items() if f.section == section)
        names += ("counters",) if section == "implementation" else ()
        _check_keys(f"{section}: ", value[section], names)
        flat |= value[section]
    return Accelerator(**flat)


def _read_image(folder: Path, path: Path, entry: Any) -> bytes:
    _expect_keys(path, "image", entry, ("size", "sha256"))
    image = read_bytes(folder / "image.bin", MAX_IMAGE_BYTES)
    size = _number(path, "image.size", entry["size"], MAX_IMAGE_BYTES)
    _expect(path, "image.size", size == len(image), f"{len(image)} as image.bin has", size)
    digest = sha256(image)
    _expect(path, "image.sha256", entry["sha256"] == digest, f"{digest} as image.bin has", entry["sha256"])
    return image


def _decode_at(path: Path, image: bytes, address: int, index: int) -> Instruction:
    start = address + index * INSTRUCTION_BYTES
    try:
        return decode(image[start : start + INSTRUCTION_BYTES])
    except InstructionError as error:
        raise FileError(f"{path}: instruction {index} at {start:#x}: {error}") from None


def _regions(path: Path, entries: Any) -> tuple[Region, ...]:
    _expect(path, "regions", isinstance(entries, list), "a list", entries)
    for index, entry in enumerate(entries):
        _expect_keys(path, f"regions[{index}]", entry, ("name", "address", "size", "access"))
    return tuple(Region(**entry) for entry in entries)


def _check_region(region: Region, image_size: int) -> None:
    numbers = (region.address, region.size)
    if not isinstance(region.name, str) or not 1 <= len(region.name) <= 200 or not region.name.isprintable():
        raise ProgramError(f"region name must be 1 to 200 printable characters, not {shown(region.name)}")
    if region.access not in ACCESSES:
        expected = f"access must be one of {', '.join(ACCESSES)}"
        raise ProgramError(f"region {region.name}: {expected}, not {shown(region.access)}")
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in numbers) or region.end > image_size:
        expected = f"address and size must lie in the image of {image_size} bytes"
        raise ProgramError(f"region {region.name}: {expected}, not {shown(numbers)}")


def _number(path: Path, field: str, value: Any, high: int) -> int:
    legal = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high
    _expect(path, field, legal, f"an integer from 0 to {high}", value)
    return int(value)


def _expect(path: Path, field: str, holds: bool, expected: Any, found: Any) -> None:
    if not holds:
        raise FileError(f"{path}: {field}: must be {expected}, not {shown(found)}")


def _expect_keys(path: Path, field: str, value: Any, keys: tuple[str, ...]) -> None:
    if problem := _key_problem(value, keys):
        raise FileError(f"{path}: {field}: {problem}")


def _check_keys(prefix: str, value: Any, keys: tuple[str, ...]) -> None:
    if problem := _key_problem(value, keys):
        raise AcceleratorError(f"{prefix}{problem}")


def _key_problem(value: Any, keys: tuple[str, ...]) -> str:
    """Say what is wrong with the keys of a JSON object that must have exactly these; nothing if they are right."""
    if not isinstance(value, dict):
        return f"must be an object with the keys {', '.join(keys)}, not {shown(value)}"
    for key in value:
        if key not in keys:
            return f"key must be one of {', '.join(keys)}, not {shown(key)}{suggestion(key, keys)}"
    missing = [key for key in keys if key not in value]
    return f"{missing[0]} must be given, not left out" if missing else ""
