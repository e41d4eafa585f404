"""The mapper of whole networks: one program for all sentences of so many tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.arch import Accelerator
from hw.program import Program
from mapping.checker import check
from mapping.errors import MappingError
from mapping.whole.context import Context
from mapping.whole.embedding import TOKENS
from mapping.whole.emitter import emit
from mapping.whole.image import ALIGNMENT, Image
from mapping.whole.lowering import lower
from mapping.whole.schedule import Schedule
from model.network import Network
from model.operations import Embed

LOGITS, PARAMETERS = "logits", "parameters"


@dataclass(frozen=True)
class MappedNetwork:
    """A program for all sentences with these types, one for each token; ids are filled in for each.

    `names` says what each of its instructions belongs to: an operation of the network, or what is loaded for it.
    """

    network: Network
    program: Program
    types: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Tokens of a sentence."""
        return len(self.types)

    def with_ids(self, ids: Sequence[int]) -> Program:
        """Return the program for one sentence."""
        if len(ids) != self.rows:
            raise MappingError(f"ids must be {self.rows}, as the program is made for, not {len(ids)}")
        vocabulary = min(o.sizes["vocabulary"] for o in _embeds(self.network))
        for index, number in enumerate(ids):
            if not 0 <= number < vocabulary:
                raise MappingError(f"ids[{index}] must be from 0 to {vocabulary - 1}, not {number}")
        region, image = self.program.region(TOKENS), bytearray(self.program.image)
        data = np.asarray(ids, "<u2").tobytes()
        image[region.address : region.address + len(data)] = data
        p = self.program
        return Program(p.accelerator, p.instructions, p.address, p.regions, bytes(image))

    def logits(self, memory: np.ndarray, members: int) -> np.ndarray:
        """Return the logits of the members that have run, int32 [member, class], from the memory after the run."""
        region, classes = self.program.region(LOGITS), self.network.classes
        size = self.program.accelerator.output_line_bits // 8
        data = np.frombuffer(bytes(memory[region.address : region.end]), np.uint8).reshape(-1, classes, size)
        return data[:members, :, :4].copy().view("<i4")[..., 0]


def map_network(accelerator: Accelerator, network: Network, types: Sequence[int]) -> MappedNetwork:
    """Return a checked program that runs a network on sentences with tokens of these types.

    Raises MappingError where the network does not fit the accelerator, or no unit can do one of its operations.
    """
    if not 1 <= len(types) <= network.limit:
        raise MappingError(f"tokens must be 1 to {network.limit}, not {len(types)}")
    _check_types(network, types)
    image, a = Image(), accelerator
    line_ids = a.token_line_bits // 16
    tokens = image.region(TOKENS, -(-len(types) // line_ids) * a.token_line_bits // 8, "read")
    size = len(network.members) * network.classes * a.output_line_bits // 8
    logits = image.region(LOGITS, size, "write")
    c = Context(network, accelerator, tuple(types), tokens.address, logits.address, image)
    start = image.place(b"", ALIGNMENT)
    lower(c)
    image.close(PARAMETERS, start, a.beat_bytes)
    instructions, names = emit(c, Schedule(c))
    program = image.program(accelerator, instructions)
    check(program, vocabulary=min(o.sizes["vocabulary"] for o in _embeds(network)))
    return MappedNetwork(network, program, tuple(types), names)


def _embeds(network: Network) -> list[Embed]:
    return [o for o in network.operations if isinstance(o, Embed)]


def _check_types(network: Network, types: Sequence[int]) -> None:
    for embed in _embeds(network):
        count = embed.sizes["types"]
        for index, kind in enumerate(types):
            if not 0 <= kind < count:
                raise MappingError(f"types[{index}] must be from 0 to {count - 1}, not {kind}")
