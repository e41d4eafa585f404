"""The container of a network: safetensors layout, written in one canonical form and read without trust.

    8 bytes   length of the header, unsigned, little-endian
    header    JSON: "__metadata__" (texts) and, for each tensor, dtype, shape and its bytes within the data
    data      the tensors without gaps

The reader checks every size against the file before it uses it; the arrays that it returns are views of the file's
bytes.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.atomic import write_atomic
from model.checks import (
    NetworkError,
    refuse,
    require,
    require_integer,
    require_keys,
    require_name,
    strict_object,
)

MAX_FILE_BYTES = 1 << 30
MAX_HEADER_BYTES = 4 << 20
MAX_TENSORS = 20_000
MAX_RANK = 4
MAX_LENGTH = (1 << 31) - 1
DTYPES: dict[str, np.dtype[Any]] = {
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
METADATA = "__metadata__"

_FOREIGN = {
    b"PK": "a zip archive",
    b"\x80": "a pickle",
    b"\x1f\x8b": "gzip data",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
}

Tensor = NDArray[Any]


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a file: widest elements first, then by name, the header padded to 8 bytes with spaces."""
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    codes = {dtype: code for code, dtype in DTYPES.items()}
    header: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))}
    position = 0
    for name in names:
        tensor = tensors[name]
        offsets = [position, position + tensor.nbytes]
        header[name] = {"dtype": codes[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        position += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    _check_limits(len(text), len(names), 8 + len(text) + position)
    return b"".join([len(text).to_bytes(8, "little"), text, *(tensors[name].tobytes() for name in names)])


def decode(data: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a file."""
    _refuse_foreign(data[:9])
    length = _header_length(data)
    header = strict_object("header", _header_text(data[8 : 8 + length]))
    metadata = _metadata(header.pop(METADATA, None))
    require(len(header) <= MAX_TENSORS, "header", f"at most {MAX_TENSORS} tensors", len(header))
    start = 8 + length
    spans = {name: _span(name, entry, len(data) - start) for name, entry in header.items()}
    _check_coverage(spans, len(data) - start)
    tensors = {}
    for name, entry in header.items():
        begin, end = spans[name]
        flat = np.frombuffer(data, np.uint8, end - begin, start + begin)
        tensors[name] = flat.view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return metadata, tensors


def read_bytes(path: Path) -> bytes:
    """Return the content of a network file, which must be a regular file (or a link to one)."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            refuse("file", "a regular file", "a folder" if stat.S_ISDIR(mode) else "a device or pipe")
        with open(path, "rb") as file:
            _refuse_foreign(file.read(9))
            size = os.fstat(file.fileno()).st_size
            require(size <= MAX_FILE_BYTES, "file", f"at most {MAX_FILE_BYTES} bytes", size)
            file.seek(0)
            return file.read(size)
    except OSError as error:
        raise NetworkError(f"file: must be readable, not fail with: {error.strerror}") from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise NetworkError(f"file: must be writable, not fail with: {error.strerror}") from None


def _refuse_foreign(head: bytes) -> None:
    # A header length may happen to begin with one of these bytes, so a file that goes on like ours is left alone.
    if head[3:9] == b"\0\0\0\0\0{":
        return
    for magic, kind in _FOREIGN.items():
        if head.startswith(magic):
            refuse("file", "a network in safetensors layout", kind, "; export the model first")


def _check_limits(header: int, tensors: int, size: int) -> None:
    require(tensors <= MAX_TENSORS, "header", f"at most {MAX_TENSORS} tensors", tensors)
    require(header <= MAX_HEADER_BYTES, "header", f"at most {MAX_HEADER_BYTES} bytes", header)
    require(size <= MAX_FILE_BYTES, "file", f"at most {MAX_FILE_BYTES} bytes", size)


def _header_length(data: bytes) -> int:
    require(len(data) >= 10, "file", "at least 10 bytes", len(data))
    length = int.from_bytes(data[:8], "little")
    require(2 <= length <= MAX_HEADER_BYTES, "header length", f"from 2 to {MAX_HEADER_BYTES}", length)
    inside = len(data) - 8
    require(length <= inside, "header length", f"at most the {inside} bytes that follow it", length)
    return length


def _header_text(raw: bytes) -> str:
    require(raw[:1] == b"{", "header", "JSON that starts with '{'", raw[:1])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NetworkError(f"header: must be UTF-8, not byte {raw[error.start]:#04x} at {error.start}") from None


def _metadata(value: Any) -> dict[str, str]:
    legal = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    require(legal, METADATA, "an object of texts", value, "; is this file a network or a checkpoint?")
    return dict(value)


def _span(name: str, entry: Any, available: int) -> tuple[int, int]:
    require_name("tensor name", name)
    require_keys(name, entry, ("dtype", "shape", "data_offsets"))
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    require(isinstance(dtype, str) and dtype in DTYPES, f"{name}.dtype", f"one of {', '.join(DTYPES)}", dtype)
    require(isinstance(shape, list) and 1 <= len(shape) <= MAX_RANK, f"{name}.shape", f"1 to {MAX_RANK} sizes", shape)
    count = 1
    for index, length in enumerate(shape):
        count *= require_integer(f"{name}.shape[{index}]", length, 1, MAX_LENGTH)
    require(isinstance(offsets, list) and len(offsets) == 2, f"{name}.data_offsets", "two offsets", offsets)
    begin = require_integer(f"{name}.data_offsets[0]", offsets[0], 0, available)
    end = require_integer(f"{name}.data_offsets[1]", offsets[1], begin, available)
    size = count * DTYPES[dtype].itemsize
    require(end - begin == size, f"{name}.data_offsets", f"{size} bytes as the shape says", end - begin)
    return begin, end


def _check_coverage(spans: Mapping[str, tuple[int, int]], size: int) -> None:
    position = 0
    for name, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        fault = "; the bytes between belong to no tensor" if begin > position else "; two tensors overlap"
        require(begin == position, f"{name}.data_offsets[0]", f"{position}, the end of the tensor before", begin, fault)
        position = end
    require(position == size, "data", f"{position} bytes as the header says", size)
