"""One case of a random network as data: what it is made of, what is wrong with it, and the JSON that holds it.

The same point gives the same network, program and memory on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hw.arch import Accelerator, AcceleratorError
from hw.files import MAX_JSON_BYTES, FileError, read_bytes, write_json
from hw.messages import shown, suggestion
from hw.program import accelerator_from_dict
from model.checks import NetworkError, strict_object
from model.synthetic_network import FEED_FORWARDS, Sketch
from sim.memory import MemoryProfile, MemoryProfileError

FORMAT = "tallybert-network-case-1"
KEYS = ("format", "seed", "sketch", "ids", "types", "memory", "accelerator")
MAX_SEED = (1 << 63) - 1

COUNTS = {
    "layers": (0, 64),
    "width": (1, 4096),
    "heads": (1, 64),
    "inner": (1, 4096),
    "stack": (1, 64),
    "members": (1, 64),
    "classes": (1, 1024),
    "vocabulary": (1, 65535),
    "types": (1, 64),
    "limit": (1, 1024),
}
"""The fields of a sketch that count something, each with its lowest and its highest value."""

CHOICES: dict[str, tuple[Any, ...]] = {
    "bits": (1, 2, 4, 8),
    "attention_bits": (1, 2, 4, 8),
    "attention": ("head", "row"),
    "feed_forward": FEED_FORWARDS,
    "ternary": (False, True),
    "shared": (True, False),
    "vote": ("hard", "soft", "mean"),
    "pooling": ("first", "mean"),
    "pooler": (False, True),
}
"""The fields of a sketch that are one of a few things, the one that asks for the fewest operations first."""


class CaseError(ValueError):
    """A case that is not what it should be; one line: what must hold, what was found, and what to do about it."""


@dataclass(frozen=True)
class NetworkPoint:
    """A made-up network of a seed and a sketch, a sentence, a memory and an accelerator; never out of range."""

    seed: int
    sketch: Sketch
    ids: tuple[int, ...]
    types: tuple[int, ...]
    memory: MemoryProfile
    accelerator: Accelerator

    def __post_init__(self) -> None:
        _check_integer("seed", self.seed, 0, MAX_SEED)
        _check_sketch(self.sketch)
        if not 1 <= len(self.ids) <= self.sketch.limit:
            raise CaseError(
                f"ids must be 1 to {self.sketch.limit} as sketch.limit says, not {len(self.ids)}: "
                "leave some out or raise the limit"
            )
        if len(self.types) != len(self.ids):
            raise CaseError(f"types must be {len(self.ids)}, one for each of ids, not {len(self.types)}: match them")
        for name, numbers, count in (
            ("ids", self.ids, self.sketch.vocabulary),
            ("types", self.types, self.sketch.types),
        ):
            for index, number in enumerate(numbers):
                _check_integer(f"{name}[{index}]", number, 0, count - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return what the JSON holds."""
        return {
            "format": FORMAT,
            "seed": self.seed,
            "sketch": asdict(self.sketch),
            "ids": list(self.ids),
            "types": list(self.types),
            "memory": self.memory.to_dict(),
            "accelerator": self.accelerator.to_dict(),
        }

    def to_json(self) -> str:
        """Return the case as one line of JSON."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def save(self, path: Path) -> None:
        """Write the case as a file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.to_dict())


def read_point(text: str) -> NetworkPoint:
    """Return the case that a command line gives: the path of a file, or the JSON itself."""
    if text.lstrip().startswith("{"):
        return point_of(_parsed(text))
    try:
        data = read_bytes(Path(text), MAX_JSON_BYTES).decode()
    except (FileError, UnicodeDecodeError) as error:
        reason = str(error).removeprefix(f"{text}: ")
        raise CaseError(
            f"case must be a text file or a JSON object, not {shown(text)} ({reason}): "
            "name another file, or begin with '{'"
        ) from None
    return point_of(_parsed(data))


def point_of(value: Mapping[str, Any]) -> NetworkPoint:
    """Return the case that a JSON object holds; it has every key, and no other."""
    _check_keys("case", value, KEYS)
    if value["format"] != FORMAT:
        raise CaseError(f"format must be {FORMAT}, not {shown(value['format'])}: make the case again")
    _check_keys("sketch", value["sketch"], [field.name for field in fields(Sketch)])
    _check_keys("memory", value["memory"], [field.name for field in fields(MemoryProfile)])
    for name in ("ids", "types"):
        if not isinstance(value[name], list):
            raise CaseError(f"{name} must be a list of integers, not {shown(value[name])}: write [0] for one token")
    return NetworkPoint(
        value["seed"],
        Sketch(**value["sketch"]),
        tuple(value["ids"]),
        tuple(value["types"]),
        _memory(value["memory"]),
        _accelerator(value["accelerator"]),
    )


def _parsed(text: str) -> dict[str, Any]:
    try:
        return strict_object("case", text)
    except NetworkError as error:
        raise CaseError(f"{str(error).replace('case: ', 'case ', 1)}: copy the whole case, in single quotes") from None


def _memory(value: dict[str, Any]) -> MemoryProfile:
    try:
        return MemoryProfile(**value)
    except MemoryProfileError as error:
        raise CaseError(f"{error}: change it to one of these") from None


def _accelerator(value: Any) -> Accelerator:
    try:
        return accelerator_from_dict(value)
    except AcceleratorError as error:
        raise CaseError(f"accelerator: {error}: correct it, or take the accelerator of another case") from None


def _check_sketch(sketch: Sketch) -> None:
    for name, (low, high) in COUNTS.items():
        _check_integer(f"sketch.{name}", getattr(sketch, name), low, high)
    for name, choices in CHOICES.items():
        _check_choice(f"sketch.{name}", getattr(sketch, name), choices)
    if sketch.width % sketch.heads:
        below = sketch.width // sketch.heads * sketch.heads or sketch.heads
        raise CaseError(
            f"sketch.width must be a multiple of sketch.heads ({sketch.heads}), not {sketch.width}: write {below}"
        )
    if (sketch.classes == 1) != (sketch.vote == "mean"):
        expected, fix = ("1", "write 1") if sketch.vote == "mean" else ("2 or more", "write 2")
        raise CaseError(f"sketch.classes must be {expected} with this vote, not {sketch.classes}: {fix}")


def _check_integer(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        nearest = min(max(value, low), high) if isinstance(value, int) else low
        raise CaseError(f"{name} must be an integer from {low} to {high}, not {shown(value)}: write {int(nearest)}")


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if type(value) is not type(choices[0]) or value not in choices:
        names = ", ".join(json.dumps(choice) for choice in choices)
        raise CaseError(f"{name} must be one of {names}, not {shown(value)}: write {json.dumps(choices[0])}")


def _check_keys(name: str, value: Any, keys: Collection[str]) -> None:
    expected = f"{name} must be an object with the keys {', '.join(keys)}"
    if not isinstance(value, Mapping):
        raise CaseError(f"{expected}, not {shown(value)}: copy it from another case")
    for key in value:
        if key not in keys:
            raise CaseError(f"{expected}, not {shown(key)}: remove it{suggestion(key, keys)}")
    missing = [key for key in keys if key not in value]
    if missing:
        raise CaseError(f"{expected}, not an object without {missing[0]}: add it")
