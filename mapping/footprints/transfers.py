"""Footprints of LOAD and STORE."""

from __future__ import annotations

from hw.isa import Buffer
from mapping.footprints.base import Box, Footprint, Put, Segments, Sizes, Where, tiles

ADDRESSES = 1 << 32
MAX_PITCH_BITS = 12


def load(sizes: Sizes, where: Where) -> Footprint:
    """Return what a LOAD touches. Of a gather only the segment of id 0 is known; see `Storage` for the others."""
    number = where["buffer"]
    if number not in sizes.loaded:
        there = ", ".join(f"{name} ({n})" for n, name in sizes.loaded.items())
        raise where.error(f"buffer must be one that there is, {there}, not {number}")
    name = sizes.loaded[number]
    beats, row = sizes.line_beats[name], where["row_beats"]
    where.require(row % beats == 0, "row_beats", f"a multiple of the {beats} beats of a line", row)
    boxes = tiles(where["line"], row // beats, row // beats, _row_count(where), sizes.banks[name])
    sizes.inside(where, name, boxes)
    writes = tuple([Put(name, box) for box in boxes])
    if not where["gather"]:
        where.zero("token", "without gather")
        return Footprint(writes=writes, memory=_segments(sizes, where))
    where.require("token" in sizes.line_beats, "gather", "0 where there is no token buffer", 1)
    # Ids that are replaced while they are read are no program's need.
    where.require(number != Buffer.TOKEN, "buffer", f"other than token ({number}) with gather", number)
    ids = sizes.accelerator.token_line_bits // 16
    first, last = where["token"] // ids, (where["token"] + where["segments"] - 1) // ids
    read = Box(1, first, last - first + 1)
    sizes.inside(where, "token", (read,))
    return Footprint((("token", read),), writes, _gathered(sizes, where), gather=True)


def store(sizes: Sizes, where: Where) -> Footprint:
    """Return what a STORE touches."""
    lines_of_a_row = -(-where["row_beats"] // sizes.accelerator.output_line_beats)
    boxes = tiles(where["line"], lines_of_a_row, lines_of_a_row, _row_count(where), sizes.banks["output"])
    sizes.inside(where, "output", boxes)
    memory = _segments(sizes, where)
    apart, size = memory.number == 1 or memory.stride >= memory.size, memory.size
    where.require(apart, "stride", f"at least the {size} bytes of a segment", where["stride"])
    return Footprint(reads=tuple([("output", box) for box in boxes]), memory=memory)


def _row_count(where: Where) -> int:
    beats, row = where["segments"] * where["segment_beats"], where["row_beats"]
    where.require(beats % row == 0, "segments x segment_beats", f"a multiple of row_beats ({row})", beats)
    return beats // row


def _segments(sizes: Sizes, where: Where) -> Segments:
    """Return the memory segments of a transfer, aligned and inside the address space; one if they follow each other."""
    beat = sizes.accelerator.beat_bytes
    address, count, stride, size = where["address"], where["segments"], where["stride"], where["segment_beats"] * beat
    for name in ("address", "stride") if count > 1 else ("address",):
        where.require(where[name] % beat == 0, name, f"a multiple of the {beat} bytes of a beat", where[name])
    found = Segments(address, size, count, stride if count > 1 else 0)
    where.require(found.end <= ADDRESSES, "end of the last segment", f"at most {ADDRESSES:#x}", f"{found.end:#x}")
    if count > 1 and stride == size:
        return Segments(address, count * size, 1, 0)
    return found


def _gathered(sizes: Sizes, where: Where) -> Segments:
    """Return the segment of id 0; `stride` is the pitch of the table."""
    beat = sizes.accelerator.beat_bytes
    where.at_most("stride", MAX_PITCH_BITS)
    pitch, size, address = 1 << where["stride"], where["segment_beats"] * beat, where["address"]
    where.require(size <= pitch, "segment", f"at most the {pitch} bytes of 2^stride", size)
    where.require(address % pitch == 0, "address", f"a multiple of 2^stride ({pitch})", address)
    where.require(address % beat == 0, "address", f"a multiple of the {beat} bytes of a beat", address)
    end = address + size
    where.require(end <= ADDRESSES, "end of the first segment", f"at most {ADDRESSES:#x}", f"{end:#x}")
    return Segments(address, size, 1, pitch)
