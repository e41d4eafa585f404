"""The memory of a mapped network: parameters one after the other, the ids of a sentence, and the logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw.arch import Accelerator
from hw.isa import INSTRUCTION_BYTES, Instruction
from hw.program import MAX_IMAGE_BYTES, Program, Region
from mapping.errors import MappingError

ALIGNMENT = 4096
"""Regions start at the boundary that no burst crosses."""


class Image:
    """Bytes that are placed from address 0 on; regions are named as they are closed."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.regions: list[Region] = []

    def place(self, data: bytes | np.ndarray, alignment: int) -> int:
        """Append bytes at the next multiple of `alignment`; return their address."""
        raw = data.tobytes() if isinstance(data, np.ndarray) else data
        address = self._aligned(alignment)
        self._data += bytes(address - len(self._data)) + raw
        return address

    def region(self, name: str, size: int, access: str) -> Region:
        """Append an empty region of its own."""
        address = self._aligned(ALIGNMENT)
        self._data += bytes(address + size - len(self._data))
        self.regions.append(Region(name, address, size, access))
        return self.regions[-1]

    def close(self, name: str, start: int, beat_bytes: int) -> None:
        """Make a region for reading of everything from `start` on."""
        self._data += bytes(-len(self._data) % beat_bytes)
        self.regions.append(Region(name, start, len(self._data) - start, "read"))

    def program(self, accelerator: Accelerator, instructions: Sequence[Instruction]) -> Program:
        """Append the instructions and return the program."""
        address = self._aligned(ALIGNMENT)
        size = len(instructions) * INSTRUCTION_BYTES
        code = b"".join(instruction.encode() for instruction in instructions)
        region = Region("program", address, size, "program")
        image = bytes(self._data) + bytes(address - len(self._data)) + code
        return Program(accelerator, tuple(instructions), address, (*self.regions, region), image)

    def _aligned(self, alignment: int) -> int:
        address = -(-len(self._data) // alignment) * alignment
        if address > MAX_IMAGE_BYTES:
            raise MappingError(f"network: image must be at most {MAX_IMAGE_BYTES} bytes, not {address} or more")
        return address
