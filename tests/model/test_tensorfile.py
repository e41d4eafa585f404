"""Files that are no network: each is refused with one line that names the file and the field."""

import gzip
import json
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from model import tensorfile
from model.network import Network, NetworkError, read_network

FOREIGN = "file: must be a network in safetensors layout, not {}; export the model first"

NUMPY = b"\x93NUMPY\x01\x00v\x00"
STRICT = "header: must be strict JSON, not text in which "
CHECKPOINT = "; is this file a network or a checkpoint?"


def refused(tmp_path, data):
    """Return the message about a file with this content."""
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(NetworkError) as error:
        read_network(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 500
    return message.removeprefix(f"{path}: ")


def length(number):
    return number.to_bytes(8, "little")


def zipped(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02.")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "file: must be at least 10 bytes, not 0"),
        (length(2) + b"{", "file: must be at least 10 bytes, not 9"),
        (length(0) + b"{}", "header length: must be from 2 to 4194304, not 0"),
        (length(1) + b"{}", "header length: must be from 2 to 4194304, not 1"),
        (length(1 << 63) + b"{}", "header length: must be from 2 to 4194304, not 9223372036854775808"),
        (length((1 << 64) - 1) + b"{}", "header length: must be from 2 to 4194304, not 18446744073709551615"),
        (length((4 << 20) + 1) + b"{}", "header length: must be from 2 to 4194304, not 4194305"),
        (length(3) + b"{}", "header length: must be at most the 2 bytes that follow it, not 3"),
        (length(2) + b"[]", "header: must be JSON that starts with '{', not b'['"),
        (length(3) + b" {}", "header: must be JSON that starts with '{', not b' '"),
        (length(3) + b"{\xff}", "header: must be UTF-8, not byte 0xff at 1"),
        (length(2) + b"{}", "__metadata__: must be an object of texts, not None" + CHECKPOINT),
        (b"PK\x03\x04" + bytes(30), FOREIGN.format("a zip archive")),
        (pickle.dumps({"weight": [1.0]}), FOREIGN.format("a pickle")),
        (b"\x80\x02}q\x00.", FOREIGN.format("a pickle")),
        (gzip.compress(b"x" * 100, mtime=0), FOREIGN.format("gzip data")),
        (b"\x89HDF\r\n\x1a\n" + bytes(30), FOREIGN.format("an HDF5 file")),
        (NUMPY, f"header length: must be from 2 to 4194304, not {int.from_bytes(NUMPY[:8], 'little')}"),
    ],
)
def test_what_is_no_file_of_ours(tmp_path, data, message):
    assert refused(tmp_path, data) == message


def test_a_torch_checkpoint_is_a_zip_archive(tmp_path):
    assert refused(tmp_path, zipped(tmp_path / "checkpoint")) == FOREIGN.format("a zip archive")


def test_a_header_length_that_begins_like_a_pickle_is_fine(network, tmp_path):
    """A length of 0x..80 has the first byte of a pickle, and one of 0x..4b50 the first two of a zip archive."""
    data = network.to_bytes()
    old = int.from_bytes(data[:8], "little")
    for new in (-(-old // 256) * 256 + 0x80, 0x14B50):
        header = data[8 : 8 + old].ljust(new)
        (tmp_path / "file").write_bytes(length(new) + header + data[8 + old :])
        assert read_network(tmp_path / "file") == network


JSON_CASES = [
    ('{"a":1,"a":2}', STRICT + "the key 'a' stands twice"),
    ('{"a":{"b":1,"b":1}}', STRICT + "the key 'b' stands twice"),
    ('{"a":NaN}', STRICT + "'NaN' is not a number"),
    ('{"a":-Infinity}', STRICT + "'-Infinity' is not a number"),
    ('{"a":1.0}', STRICT + "'1.0' is not an integer"),
    ('{"a":1e999}', STRICT + "'1e999' is not an integer"),
    ('{"a":' + "[" * 16 + "]" * 16 + "}", STRICT + "nesting is more than 16 levels deep"),
    ('{"a":' + "[" * 100_000, STRICT + "nesting is more than 16 levels deep"),
    ('{"a":' * 17, STRICT + "nesting is more than 16 levels deep"),
    ('{"__metadata__":[]}', "__metadata__: must be an object of texts, not []" + CHECKPOINT),
    ('{"__metadata__":{"a":1}}', "__metadata__: must be an object of texts, not {'a': 1}" + CHECKPOINT),
    ('{"__metadata__":{}}', "__metadata__.format: must be 'tallybert-network-2', not None" + CHECKPOINT),
]


@pytest.mark.parametrize(("text", "message"), JSON_CASES, ids=range(len(JSON_CASES)))
def test_headers_that_are_not_strict_json(tmp_path, text, message):
    raw = text.encode()
    assert refused(tmp_path, length(len(raw)) + raw) == message


@pytest.mark.parametrize(
    "text",
    [
        "{ ",
        '{"a":1}x',
        '{"a\n":1}',
        '{"a":' + "9" * 5000 + "}",
        "{" + '\\"' * 400_000,
        '{"a":1,}',
        '{"a":01}',
        "{'a':1}",
    ],
    ids=range(8),
)
def test_headers_that_are_not_json(tmp_path, text):
    """The rest of the message is Python's own."""
    raw = text.encode()
    assert refused(tmp_path, length(len(raw)) + raw).startswith(STRICT)


def test_sixteen_levels_are_fine(tmp_path):
    raw = ('{"__metadata__":{"format":"x"},"a":' + "[" * 15 + "]" * 15 + "}").encode()
    assert refused(tmp_path, length(len(raw)) + raw).startswith(
        "a: must be an object with the keys dtype, shape, data_off"
    )


def up(**changes):
    """Return a change of the entry of up.weights, which is uint8 [9, 3] the last 27 of 107 bytes."""
    return lambda header: header["up.weights"].update(changes)


def without(key):
    return lambda header: header["up.weights"].pop(key)


def renamed(name):
    return lambda header: header.update({name: header.pop("up.weights")})


WEIGHTS = [80, 107]
ENTRY = "up.weights: must be an object with the keys dtype, shape, data_offsets, not "
HEADER_CASES = [
    (up(dtype="F32"), "up.weights.dtype: must be one of I32, I16, U16, I8, U8, not 'F32'"),
    (up(dtype="I64"), "up.weights.dtype: must be one of I32, I16, U16, I8, U8, not 'I64'"),
    (up(dtype="U16"), "up.weights.data_offsets: must be 54 bytes as the shape says, not 27"),
    (up(dtype=8), "up.weights.dtype: must be one of I32, I16, U16, I8, U8, not 8"),
    (up(dtype=None), "up.weights.dtype: must be one of I32, I16, U16, I8, U8, not None"),
    (up(dtype=["U8"]), "up.weights.dtype: must be one of I32, I16, U16, I8, U8, not ['U8']"),
    (up(shape=[]), "up.weights.shape: must be 1 to 4 sizes, not []"),
    (up(shape=27), "up.weights.shape: must be 1 to 4 sizes, not 27"),
    (up(shape="27"), "up.weights.shape: must be 1 to 4 sizes, not '27'"),
    (up(shape=[27, 1, 1, 1, 1]), "up.weights.shape: must be 1 to 4 sizes, not [27, 1, 1, 1, 1]"),
    (up(shape=[0, 3]), "up.weights.shape[0]: must be an integer from 1 to 2147483647, not 0"),
    (up(shape=[9, -3]), "up.weights.shape[1]: must be an integer from 1 to 2147483647, not -3"),
    (up(shape=[27, True]), "up.weights.shape[1]: must be an integer from 1 to 2147483647, not True"),
    (up(shape=[27, "1"]), "up.weights.shape[1]: must be an integer from 1 to 2147483647, not '1'"),
    (up(shape=[1 << 31]), "up.weights.shape[0]: must be an integer from 1 to 2147483647, not 2147483648"),
    (up(shape=[10**4000]), f"up.weights.shape[0]: must be an integer from 1 to 2147483647, not 1{'0' * 76}..."),
    (
        up(shape=[2147483647] * 4),
        f"up.weights.data_offsets: must be {2147483647**4} bytes as the shape says, not 27",
    ),
    (up(shape=[9, 2]), "up.weights.data_offsets: must be 18 bytes as the shape says, not 27"),
    (up(dtype="I32"), "up.weights.data_offsets: must be 108 bytes as the shape says, not 27"),
    (up(data_offsets=[80]), "up.weights.data_offsets: must be two offsets, not [80]"),
    (up(data_offsets={"a": 1, "b": 2}), "up.weights.data_offsets: must be two offsets, not {'a': 1, 'b': 2}"),
    (up(data_offsets=[-1, 26]), "up.weights.data_offsets[0]: must be an integer from 0 to 107, not -1"),
    (up(data_offsets=[False, 27]), "up.weights.data_offsets[0]: must be an integer from 0 to 107, not False"),
    (up(data_offsets=[80, 108]), "up.weights.data_offsets[1]: must be an integer from 80 to 107, not 108"),
    (up(data_offsets=[80, 1 << 64]), f"up.weights.data_offsets[1]: must be an integer from 80 to 107, not {1 << 64}"),
    (up(data_offsets=[80, 57]), "up.weights.data_offsets[1]: must be an integer from 80 to 107, not 57"),
    (
        up(data_offsets=[79, 106]),
        "up.weights.data_offsets[0]: must be 80, the end of the tensor before, not 79; two tensors overlap",
    ),
    (
        up(data_offsets=[0, 27]),
        "up.weights.data_offsets[0]: must be 20, the end of the tensor before, not 0; two tensors overlap",
    ),
    (without("dtype"), ENTRY + "without dtype"),
    (without("data_offsets"), ENTRY + "without data_offsets"),
    (up(shapes=[]), ENTRY + "'shapes'; did you mean 'shape'?"),
    (lambda header: header.update({"up.weights": [1]}), ENTRY + "[1]"),
    (renamed("up weights"), "tensor name: must be 1 to 200 letters, digits, '_' or '.', not 'up weights'"),
    (renamed("../up"), "tensor name: must be 1 to 200 letters, digits, '_' or '.', not '../up'"),
    (renamed("up.weights\x00"), "tensor name: must be 1 to 200 letters, digits, '_' or '.', not 'up.weights\\x00'"),
    (renamed(""), "tensor name: must be 1 to 200 letters, digits, '_' or '.', not ''"),
    (renamed("u" * 201), f"tensor name: must be 1 to 200 letters, digits, '_' or '.', not '{'u' * 76}..."),
    (lambda header: header.pop("up.weights"), "data: must be 80 bytes as the header says, not 107"),
]


@pytest.mark.parametrize(("change", "message"), HEADER_CASES, ids=range(len(HEADER_CASES)))
def test_headers_that_do_not_fit(tmp_path, forge, change, message):
    assert forge.header["up.weights"]["data_offsets"] == WEIGHTS
    change(forge.header)
    assert refused(tmp_path, forge.build()) == message


def test_a_product_that_wraps_around_to_no_bytes(tmp_path, forge):
    """The sizes multiply to 2^64, which is 0 in 64 bits, as many bytes as the offsets say."""
    del forge.data[80:]
    forge.header["up.weights"].update(shape=[1 << 30, 1 << 30, 16], data_offsets=[80, 80])
    assert (
        refused(tmp_path, forge.build()) == f"up.weights.data_offsets: must be {1 << 64} bytes as the shape says, not 0"
    )


def test_a_hole(tmp_path, forge):
    forge.data += bytes(1)
    forge.header["up.weights"]["data_offsets"] = [81, 108]
    assert refused(tmp_path, forge.build()) == (
        "up.weights.data_offsets[0]: must be 80, the end of the tensor before, not 81; "
        "the bytes between belong to no tensor"
    )


def test_bytes_after_the_last_tensor(tmp_path, forge):
    forge.data += b"x"
    assert refused(tmp_path, forge.build()) == "data: must be 107 bytes as the header says, not 108"


def test_every_truncation_is_refused(tmp_path, network):
    data = network.to_bytes()
    for size in range(len(data)):
        with pytest.raises(NetworkError, match=r"^[a-z_0-9.\[\] ]+: must be "):
            tensorfile.decode(data[:size])


def test_every_single_bit_error_is_refused(network):
    data = bytearray(network.to_bytes())
    for position in range(len(data)):
        data[position] ^= 1 << position % 8
        with pytest.raises(NetworkError, match=r"^[^\n]+: must be [^\n]+$"):
            Network.from_bytes(bytes(data))
        data[position] ^= 1 << position % 8


def test_too_many_tensors(tmp_path):
    entry = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    header = {"__metadata__": {}, **{f"t{index}": entry for index in range(20_001)}}
    raw = json.dumps(header).encode()
    assert refused(tmp_path, length(len(raw)) + raw) == "header: must be at most 20000 tensors, not 20001"


def test_the_writer_refuses_what_the_reader_would(monkeypatch, network):
    monkeypatch.setattr(tensorfile, "MAX_TENSORS", 5)
    with pytest.raises(NetworkError, match=r"^header: must be at most 5 tensors, not 6$"):
        network.to_bytes()
    monkeypatch.setattr(tensorfile, "MAX_TENSORS", 6)
    monkeypatch.setattr(tensorfile, "MAX_HEADER_BYTES", 100)
    with pytest.raises(NetworkError, match=r"^header: must be at most 100 bytes, not "):
        network.to_bytes()
    monkeypatch.setattr(tensorfile, "MAX_HEADER_BYTES", 4 << 20)
    monkeypatch.setattr(tensorfile, "MAX_FILE_BYTES", 100)
    with pytest.raises(NetworkError, match=r"^file: must be at most 100 bytes, not "):
        network.to_bytes()


def test_files_that_are_too_big_or_no_files(tmp_path):
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate((1 << 30) + 1)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, message in [
        ("big", "file: must be at most 1073741824 bytes, not 1073741825"),
        ("", "file: must be a regular file, not a folder"),
        ("pipe", "file: must be a regular file, not a device or pipe"),
        ("link", "file: must be readable, not fail with: No such file or directory"),
        ("none", "file: must be readable, not fail with: No such file or directory"),
    ]:
        with pytest.raises(NetworkError) as error:
            read_network(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name}: {message}"


def test_a_huge_shape_allocates_nothing(forge):
    forge.header["up.weights"]["shape"] = [1 << 30, 1 << 30]
    data = forge.build()
    tracemalloc.start()
    with pytest.raises(NetworkError, match=r"^up\.weights\.data_offsets: must be "):
        tensorfile.decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_layout_of_the_data(network):
    """Widest elements first, then by name; the data starts at a multiple of 8 bytes."""
    data = network.to_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    names = list(header)
    assert size % 8 == 0
    assert names[1:] == [
        "down.bits.thresholds",
        "up.bits.thresholds",
        "down.bits.polarity",
        "down.weights",
        "up.bits.polarity",
        "up.weights",
    ]
    up_thresholds = header["up.bits.thresholds"]
    assert up_thresholds == {"dtype": "I32", "shape": [9], "data_offsets": [20, 56]}
    assert np.frombuffer(data, "<i4", 9, 8 + size + 20).tolist() == network.layers[0].thresholds.tolist()
