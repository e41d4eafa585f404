"""The machine that an accelerator describes, as a graph: units and buffers, and who writes and reads what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx

from hw.arch import Accelerator

MEMORY, UNIT, BUFFER = "memory", "unit", "buffer"


@dataclass(frozen=True)
class Shape:
    """The banks and lines of a buffer; `copies` of it are there, one for each read port more."""

    banks: int
    line_bits: int
    lines: int
    copies: int = 1

    @property
    def bits(self) -> int:
        """Bits that it holds, copies counted once."""
        return self.banks * self.line_bits * self.lines

    def __str__(self) -> str:
        banks = f"{self.banks} x " if self.banks > 1 else ""
        twice = f", {self.copies} copies" if self.copies > 1 else ""
        return f"{banks}{self.lines:,} lines of {self.line_bits:,} bits{twice}"


def buffers(a: Accelerator) -> dict[str, Shape]:
    """Return the buffers that are there."""
    found = {
        "activation": Shape(a.rows, a.line_bits, a.activation_lines),
        "weight": Shape(a.columns, a.line_bits, a.weight_lines),
        "threshold": Shape(1, a.threshold_line_bits, a.threshold_lines),
        "output": Shape(a.rows, a.output_line_bits, a.output_lines),
    }
    if a.key_lines:
        found["key"] = Shape(a.columns, a.line_bits, a.key_lines)
    if a.vector_lanes:
        found["sums"] = Shape(a.drain_rows, a.sum_line_sums * a.sum_bits, a.sum_lines)
        found["fixed"] = Shape(1, a.vector_lanes * 16, a.fixed_lines, copies=2)
        found["scale"] = Shape(1, a.parameter_line_bits, a.scale_lines)
        found["level"] = Shape(1, a.parameter_line_bits, a.level_lines)
    if a.row_lanes:
        found["score"] = Shape(a.drain_rows, a.score_line_sums * a.sum_bits, a.score_lines)
        found["table"] = Shape(1, a.table_line_bits, a.table_lines, copies=a.row_lanes + 1)
    if a.token_lines:
        found["token"] = Shape(1, a.token_line_bits, a.token_lines)
        found["word"] = Shape(1, a.word_line_bits, a.word_lines, copies=2)
        found["embedding"] = Shape(1, a.embedding_line_bits, a.embedding_lines, copies=2)
    return found


def units(a: Accelerator) -> dict[str, str]:
    """Return the units that are there, each with what it is made of."""
    found = {
        "load": f"{a.reads_in_flight} bursts in flight",
        "array": f"{a.rows} x {a.columns} x {a.word_bits} = {a.lanes:,} lanes",
        "drain": f"{a.drain_rows} of {a.rows} rows in a cycle",
        "store": f"{a.writes_in_flight} bursts in flight",
        "sequencer": f"queues of {a.queue_depth}",
    }
    if a.vector_lanes:
        vote = f", vote of {a.classes} classes" if a.classes else ""
        found["vector"] = f"{a.vector_lanes} lanes{vote}"
    if a.row_lanes:
        found["row"] = f"{a.row_lanes} lanes, {a.score_slots} slots"
    return found


_WRITES = (
    *(("load", name) for name in ("activation", "weight", "threshold", "scale", "level", "table", "token", "word")),
    *(("load", "embedding"), ("drain", "output"), ("drain", "activation"), ("drain", "key"), ("drain", "sums")),
    *(("drain", "score"), ("vector", "fixed"), ("vector", "activation"), ("vector", "output"), ("row", "activation")),
)
_READS = (
    *(("activation", "array"), ("weight", "array"), ("key", "array"), ("threshold", "drain"), ("token", "load")),
    *((name, "vector") for name in ("sums", "fixed", "scale", "level", "word", "embedding")),
    *(("score", "row"), ("table", "row"), ("output", "store")),
)
_BESIDE = (("memory", "load"), ("store", "memory"), ("memory", "sequencer"), ("array", "drain"))


def machine_graph(accelerator: Accelerator) -> Any:
    """Return a directed graph: nodes with `kind`, `text` and, of buffers, `bits`; an edge from what is read or writes.

    What the accelerator leaves out is not in it, nor what would have joined it.
    """
    graph = networkx.DiGraph(name=accelerator.name)
    graph.add_node("memory", kind=MEMORY, text=f"AXI4, {accelerator.port_bits} bits", bits=0)
    for name, text in units(accelerator).items():
        graph.add_node(name, kind=UNIT, text=text, bits=0)
    for name, shape in buffers(accelerator).items():
        graph.add_node(name, kind=BUFFER, text=str(shape), bits=shape.bits)
    if not accelerator.classes:
        joins = [edge for edge in (*_WRITES, *_READS, *_BESIDE) if edge != ("vector", "output")]
    else:
        joins = [*_WRITES, *_READS, *_BESIDE]
    graph.add_edges_from((start, end) for start, end in joins if start in graph and end in graph)
    return graph
