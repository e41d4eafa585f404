"""Embeddings: the buffers of words and of what is added, each read twice in a cycle, and the sum of a channel."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from hw.arch import Accelerator
from hw.gateware.buffers import LoadBuffer
from hw.gateware.interfaces import BeatWrite, LineRead

#: Bits of a sum of a scale, a place and a type.
TEXT_BITS = 18


class CopiedBuffer(wiring.Component):
    """One bank of lines with two read ports: two copies that are written alike.

    A beat written in cycle t can be read from t+1; a line read in t is on that port's `data` from t+1.
    """

    def __init__(self, buffer: str, *, lines: int, line_bits: int, port_bits: int) -> None:
        self._buffer = buffer
        self._sizes = {"banks": 1, "lines": lines, "line_bits": line_bits, "port_bits": port_bits}
        read = In(LineRead(1, line_bits))
        super().__init__({"write": In(BeatWrite(port_bits)), "first": read, "second": read})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, read in (("first", self.first), ("second", self.second)):
            m.submodules[name] = copy = LoadBuffer(self._buffer, **self._sizes)
            connect(m, flipped(read), copy.read)
            m.d.comb += [
                getattr(copy.write, field).eq(getattr(self.write, field))
                for field in ("enable", "bank", "line", "lane", "data")
            ]
        return m


def add_text_buffers(m: Module, a: Accelerator, load: wiring.Component, vector: wiring.Component) -> None:
    """Put the buffers of tokens, words and embeddings between the load unit, which reads ids, and the vector unit."""
    m.submodules.ids = ids = LoadBuffer(
        "token", banks=1, lines=a.token_lines, line_bits=a.token_line_bits, port_bits=a.port_bits
    )
    connect(m, load.token, ids.write)
    connect(m, load.ids, ids.read)
    for name, lines, line_bits, readers in (
        ("word", a.word_lines, a.word_line_bits, (vector.word_scale, vector.word_bits)),
        ("embedding", a.embedding_lines, a.embedding_line_bits, (vector.place, vector.kind)),
    ):
        buffer = CopiedBuffer(name, lines=lines, line_bits=line_bits, port_bits=a.port_bits)
        m.submodules[f"{name}s"] = buffer
        connect(m, getattr(load, name), buffer.write)
        connect(m, readers[0], buffer.first)
        connect(m, readers[1], buffer.second)


def text_sum(m: Module, *, bit: Value, scale: Value, place: Value, kind: Value) -> Signal:
    """Return +scale or -scale, by the word's bit, and what place and type add: unsigned 16 bits and two signed ones."""
    total = Signal(signed(TEXT_BITS))
    m.d.comb += total.eq(Mux(bit, scale, -scale) + (place.as_signed() + kind.as_signed()))
    return total
