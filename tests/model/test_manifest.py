"""Files in good layout whose manifest, hashes or values are wrong: a chain of two layers."""

import pytest

from model.network import Network, NetworkError
from model.operation import OPERATIONS

KEYS = "op, name, sources, inputs, outputs"
OPS = ", ".join(OPERATIONS)
BEFORE = "the input or an operation before"
TOP_KEYS = "input, operations, members, vote, labels, fraction, provenance, tensors"
MEMBER = {"name": "a", "output": "down.bits", "multiplier": 1, "shift": 0, "bound": 1}
METADATA = "__metadata__: must be an object with the keys format, manifest, manifest_sha256, not "
FORMAT = "__metadata__.format: must be 'tallybert-network-2', not '{}'; is this file a network or a checkpoint?"


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
    (first(op="softmax"), f"operations[0].op: must be one of {OPS}, not 'softmax'"),
    (first(op="matmull"), f"operations[0].op: must be one of {OPS}, not 'matmull'; did you mean 'matmul'?"),
    (
        first(op="binary_linear"),
        f"operations[0].op: must be one of {OPS}, not 'binary_linear'; did you mean 'binarize'?",
    ),
    (first(op=["matmul"]), f"operations[0].op: must be one of {OPS}, not ['matmul']"),
    (first(op=1), f"operations[0].op: must be one of {OPS}, not 1"),
    (lambda m: m["operations"][0].pop("op"), f"operations[0].op: must be one of {OPS}, not None"),
    (first(op="scores"), "operations[0]: must be an object with the keys op, name, sources, heads, not 'inputs'"),
    (
        lambda m: m["operations"][0].pop("outputs"),
        f"operations[0]: must be an object with the keys {KEYS}, not without outputs",
    ),
    (first(extra=[1]), f"operations[0]: must be an object with the keys {KEYS}, not 'extra'"),
    (
        first(source="signed"),
        f"operations[0]: must be an object with the keys {KEYS}, not 'source'; did you mean 'sources'?",
    ),
    (first(name="up/1"), "operations[0].name: must be 1 to 189 letters, digits, '_' or '.', not 'up/1'"),
    (first(name=None), "operations[0].name: must be 1 to 189 letters, digits, '_' or '.', not None"),
    (first(name="input"), "input.weights: must be a tensor of the file for operations[0], not absent"),
    (first(name="left"), "left.weights: must be a tensor of the file for operations[0], not absent"),
    (first(sources="input"), "operations[0].sources: must be a list of names, not 'input'"),
    (first(sources=[]), "operations[0]: up.sources: must be 1 name, not ()"),
    (first(sources=[1]), "operations[0]: up.sources: must be 1 name, not (1,)"),
    (
        first(sources=["down"]),
        "up.sources[0]: must be the input or an operation before, not 'down'; an operation stands after what it reads",
    ),
    (
        second(sources=["upp"]),
        "up.bits.sources[0]: must be the input or an operation before, not 'upp'; did you mean 'up'?",
    ),
    (
        second(sources=["input"]),
        "up.bits.sources[0]: must be fixed or sums, not the signed 1-bit codes [n, 20] of 'input'",
    ),
    (first(inputs=0), "operations[0]: up.inputs: must be an integer from 1 to 65535, not 0"),
    (first(inputs=65536), "operations[0]: up.inputs: must be an integer from 1 to 65535, not 65536"),
    (first(inputs=True), "operations[0]: up.inputs: must be an integer from 1 to 65535, not True"),
    (first(inputs=1 << 64), f"operations[0]: up.inputs: must be an integer from 1 to 65535, not {1 << 64}"),
    (first(inputs=25), "operations[0]: up.weights: must be uint8 [9, 4], not uint8 [9, 3]"),
    (first(inputs=21), "up.sources[0]: must be of 21 channels, not the signed 1-bit codes [n, 20] of 'input'"),
    (first(outputs=8), "operations[0]: up.weights: must be uint8 [8, 3], not uint8 [9, 3]"),
    (first(outputs="9"), "operations[0]: up.outputs: must be an integer from 1 to 65535, not '9'"),
    (second(set=1), "operations[1]: up.bits.set: must be one of signed, unsigned, not 1"),
    (
        second(set="sined"),
        "operations[1]: up.bits.set: must be one of signed, unsigned, not 'sined'; did you mean 'signed'?",
    ),
    (
        lambda m: m["operations"][2].update(name="up"),
        "operations[2]: up.weights: must be uint8 [5, 2], not uint8 [9, 3]",
    ),
    (lambda m: m["operations"].append(m["operations"][0]), "operations: must be of different names, not 'up'"),
    (top(operations=[]), "operations: must be a list of operations, not []"),
    (top(operations={"a": 1}), "operations: must be a list of operations, not {'a': 1}"),
    (top(operations=[3]), "operations[0]: must be an object, not 3"),
    (lambda m: m["operations"].pop(), "down.bits.polarity: must be a tensor that an operation uses, not one too many"),
    (
        lambda m: m["operations"].reverse(),
        f"down.bits.sources[0]: must be {BEFORE}, not 'down'; an operation stands after what it reads",
    ),
    (top(input={"kind": "tokens", "rows": 5}), "up.sources[0]: must be codes, not the tokens [n] of 'input'"),
    (top(input=[]), "input: must be an object, not []"),
    (top(members=[3]), "members[0]: must be an object with the keys name, output, multiplier, shift, bound, not 3"),
    (top(members=[MEMBER]), "vote: must be one of soft, hard, mean, not None"),
    (top(members=[MEMBER], vote="soft"), "a.output: must be the name of logits, not 'down.bits'"),
    (top(members=[{**MEMBER, "output": []}], vote="soft"), "a.output: must be the name of logits, not []"),
    (top(vote="soft"), "vote: must be None without members, not 'soft'"),
    (top(labels=["a"]), "labels: must be one for each of 0 classes, or none, not 1"),
    (top(labels=None), "labels: must be a list of texts, not None"),
    (top(fraction=None), "fraction: must be an integer from 0 to 0, not None"),
    (
        top(output="up"),
        f"manifest: must be an object with the keys {TOP_KEYS}, not 'output'",
    ),
    (
        top(inputs="up"),
        f"manifest: must be an object with the keys {TOP_KEYS}, not 'inputs'; did you mean 'input'?",
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
            {"format": "tallybert-network-1"},
            FORMAT.format("tallybert-network-1"),
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


@pytest.mark.parametrize("name", ["up.weights", "down.bits.thresholds", "up.bits.polarity"])
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
        ("up.bits.thresholds", 0, b"\x16\0\0\0", "up.bits.thresholds[0]: must be from -20 to 21, not 22"),
        ("up.bits.thresholds", 32, b"\xeb\xff\xff\xff", "up.bits.thresholds[8]: must be from -20 to 21, not -21"),
        ("down.bits.polarity", 4, 2, "operations[3]: down.bits.polarity[4]: must be 0 or 1, not 2"),
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
    forge.header["up.bits.thresholds"].update(dtype="U8", shape=[36])
    assert refused(forge.build()) == "operations[1]: up.bits.thresholds: must be int32 [channels], not uint8 [36]"


def test_layers_that_do_not_follow_one_another(forge):
    forge.manifest["operations"][2]["inputs"] = 10
    forge.seal()
    found = refused(forge.build())
    assert found == "down.sources[0]: must be of 10 channels, not the unsigned 1-bit codes [n, 9] of 'up.bits'"
