"""Files in good layout whose manifest, hashes or values are wrong."""

import pytest

from model.network import Network, NetworkError

KEYS = "op, name, input, inputs, outputs, input_set"
TOP_KEYS = "operations, output, provenance, tensors"
METADATA = "__metadata__: must be an object with the keys format, manifest, manifest_sha256, not "
FORMAT = "__metadata__.format: must be 'tallybert-network-1', not '{}'; is this file a network or a checkpoint?"


def refused(data):
    with pytest.raises(NetworkError) as error:
        Network.from_bytes(data)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_forge_alone_changes_nothing(network, forge):
    forge.rehash()
    forge.seal()
    assert Network.from_bytes(forge.build()) == network


def first(**changes):
    return lambda manifest: manifest["operations"][0].update(changes)


def second(**changes):
    return lambda manifest: manifest["operations"][1].update(changes)


def top(**changes):
    return lambda manifest: manifest.update(changes)


MANIFEST_CASES = [
    (first(op="softmax"), "operations[0].op: must be one of binary_linear, not 'softmax'"),
    (
        first(op="binary_linea"),
        "operations[0].op: must be one of binary_linear, not 'binary_linea'; did you mean 'binary_linear'?",
    ),
    (first(op=["binary_linear"]), "operations[0].op: must be one of binary_linear, not ['binary_linear']"),
    (lambda m: m["operations"][0].pop("op"), "operations[0].op: must be one of binary_linear, not None"),
    (
        lambda m: m["operations"][0].pop("outputs"),
        f"operations[0]: must be an object with the keys {KEYS}, not without outputs",
    ),
    (first(scales=[1]), f"operations[0]: must be an object with the keys {KEYS}, not 'scales'"),
    (
        first(input_sets="signed"),
        f"operations[0]: must be an object with the keys {KEYS}, not 'input_sets'; did you mean 'input_set'?",
    ),
    (first(name="up/1"), "operations[0].name: must be 1 to 189 letters, digits, '_' or '.', not 'up/1'"),
    (first(name="input"), "input.weights: must be a tensor of the file for operations[0], not absent"),
    (first(name="left"), "left.weights: must be a tensor of the file for operations[0], not absent"),
    (first(input="down"), "operations[0].input: must be 'input', not 'down'"),
    (second(input="input"), "operations[1].input: must be 'up', not 'input'"),
    (first(inputs=0), "operations[0]: up.inputs: must be an integer from 1 to 65535, not 0"),
    (first(inputs=65536), "operations[0]: up.inputs: must be an integer from 1 to 65535, not 65536"),
    (first(inputs=True), "operations[0]: up.inputs: must be an integer from 1 to 65535, not True"),
    (first(inputs=1 << 64), f"operations[0]: up.inputs: must be an integer from 1 to 65535, not {1 << 64}"),
    (first(inputs=25), "operations[0]: up.weights: must be uint8 [9, 4], not uint8 [9, 3]"),
    (first(outputs=8), "operations[0]: up.weights: must be uint8 [8, 3], not uint8 [9, 3]"),
    (first(outputs="9"), "operations[0]: up.outputs: must be an integer from 1 to 65535, not '9'"),
    (first(input_set=1), "operations[0]: up.input_set: must be one of signed, unsigned, not 1"),
    (
        first(input_set="sined"),
        "operations[0]: up.input_set: must be one of signed, unsigned, not 'sined'; did you mean 'signed'?",
    ),
    (second(name="up", input="up"), "operations[1]: up.weights: must be uint8 [5, 2], not uint8 [9, 3]"),
    (top(operations=[]), "operations: must be a list of operations, not []"),
    (top(operations={"a": 1}), "operations: must be a list of operations, not {'a': 1}"),
    (top(operations=[3]), "operations[0]: must be an object, not 3"),
    (lambda m: m["operations"].pop(), "down.polarity: must be a tensor that an operation uses, not one too many"),
    (top(output="up"), "output: must be 'down', not 'up'"),
    (top(output=None), "output: must be 'down', not None"),
    (
        top(outputs="up"),
        f"manifest: must be an object with the keys {TOP_KEYS}, not 'outputs'; did you mean 'output'?",
    ),
    (
        lambda m: m.pop("provenance"),
        f"manifest: must be an object with the keys {TOP_KEYS}, not without provenance",
    ),
    (top(provenance=[]), "provenance: must be an object of texts, not []"),
    (top(provenance={"a": None}), "provenance.a: must be a text of at most 1000 printable characters, not None"),
    (
        top(provenance={"a": "\ud800"}),
        "provenance.a: must be a text of at most 1000 printable characters, not '\\ud800'",
    ),
    (
        top(provenance={"a": "x" * 1001}),
        f"provenance.a: must be a text of at most 1000 printable characters, not '{'x' * 76}...",
    ),
    (top(tensors=[]), "tensors: must be an object of SHA-256 texts, not []"),
    (
        lambda m: m["tensors"].update({"up.weight": "0"}),
        "tensors: must be the names of the file's tensors, not 'up.weight'; did you mean 'up.weights'?",
    ),
]


@pytest.mark.parametrize(("change", "message"), MANIFEST_CASES, ids=range(len(MANIFEST_CASES)))
def test_manifests_that_do_not_fit(forge, change, message):
    change(forge.manifest)
    forge.seal()
    assert refused(forge.build()) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "manifest: must be strict JSON, not text in which Expecting value at 0"),
        ("[]", "manifest: must be a JSON object, not []"),
        (
            '{"tensors":{},"tensors":{}}',
            "manifest: must be strict JSON, not text in which the key 'tensors' stands twice",
        ),
        ('{"tensors":NaN}', "manifest: must be strict JSON, not text in which 'NaN' is not a number"),
        ("[" * 17, "manifest: must be strict JSON, not text in which nesting is more than 16 levels deep"),
        ("\ud800", "__metadata__.manifest: must be Unicode text, not half of a surrogate pair"),
    ],
)
def test_manifests_that_are_not_strict_json(forge, text, message):
    forge.seal(text)
    assert refused(forge.build()) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"format": "tallybert-network-2"},
            FORMAT.format("tallybert-network-2"),
        ),
        (
            {"format": "pt"},
            FORMAT.format("pt"),
        ),
        (
            {"manifests": ""},
            METADATA + "'manifests'; did you mean 'manifest'?",
        ),
    ],
)
def test_metadata_that_does_not_fit(forge, change, message):
    forge.metadata.update(change)
    assert refused(forge.build()) == message


def test_missing_metadata(forge):
    del forge.metadata["manifest"]
    assert refused(forge.build()) == (METADATA + "without manifest")


def test_a_manifest_that_was_changed(forge):
    forge.metadata["manifest"] = forge.metadata["manifest"].replace("unsigned", "signed")
    digest = forge.metadata["manifest_sha256"]
    assert refused(forge.build()).endswith(f"as the manifest has, not '{digest}'")


@pytest.mark.parametrize("name", ["up.weights", "down.thresholds", "up.polarity"])
def test_a_tensor_that_was_changed(forge, name):
    digest = forge.manifest["tensors"][name]
    forge.tensor(name)[0] ^= 1
    found = refused(forge.build())
    assert found.startswith(f"tensors.{name}: must be ")
    assert found.endswith(f" as its bytes have, not '{digest}'")


def test_a_hash_that_is_absent_or_no_text(forge):
    name, forge.manifest["tensors"]["up.weights"] = "up.weights", 7
    forge.seal()
    assert refused(forge.build()).endswith(" as its bytes have, not 7")
    del forge.manifest["tensors"][name]
    forge.seal()
    assert refused(forge.build()).endswith(" as its bytes have, not None")


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("up.weights", 5, 0x10, "operations[0]: up.weights[1]: must be 0 in the bits after the first 20, not 16"),
        ("up.thresholds", 0, b"\x16\0\0\0", "operations[0]: up.thresholds[0]: must be from -20 to 21, not 22"),
        ("up.thresholds", 32, b"\xeb\xff\xff\xff", "operations[0]: up.thresholds[8]: must be from -20 to 21, not -21"),
        ("down.polarity", 4, 2, "operations[1]: down.polarity[4]: must be 0 or 1, not 2"),
    ],
)
def test_values_out_of_range(forge, name, place, value, message):
    raw = value if isinstance(value, bytes) else bytes([value])
    forge.tensor(name)[place : place + len(raw)] = raw
    forge.rehash()
    forge.seal()
    assert refused(forge.build()) == message


def test_a_tensor_that_no_operation_uses(forge):
    forge.header["spare"] = {"dtype": "U8", "shape": [1], "data_offsets": [107, 108]}
    forge.data += b"\0"
    forge.rehash()
    forge.seal()
    assert refused(forge.build()) == "spare: must be a tensor that an operation uses, not one too many"


def test_a_tensor_of_the_wrong_dtype(forge):
    """int32 [9] has the bytes of uint8 [36]."""
    forge.header["up.thresholds"].update(dtype="U8", shape=[36])
    assert refused(forge.build()) == "operations[0]: up.thresholds: must be int32 [9], not uint8 [36]"


def test_layers_that_do_not_follow_one_another(forge):
    forge.manifest["operations"][1]["inputs"] = 10
    forge.seal()
    found = refused(forge.build())
    assert found == "down.inputs: must be 9, the outputs of up, not 10"
