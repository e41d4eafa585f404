"""Files in good layout whose manifest, hashes or values are wrong: a whole network."""

import pytest

from model.network import Network, NetworkError
from tests.model.forge import Forge
from tests.model.small import whole

BEFORE = "the input or an operation before"


def refused(data):
    with pytest.raises(NetworkError) as error:
        Network.from_bytes(data)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def whole_forge():
    return Forge(whole().to_bytes())


def test_the_forge_alone_changes_nothing_of_a_whole_network(whole_forge):
    whole_forge.rehash()
    whole_forge.seal()
    assert Network.from_bytes(whole_forge.build()) == whole()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "I8"}, "tokenizer: must be uint8 [bytes], not int8 [12]"),
        ({"dtype": "I16", "shape": [6]}, "tokenizer: must be uint8 [bytes], not int16 [6]"),
        ({"shape": [3, 4]}, "tokenizer: must be uint8 [bytes], not uint8 [3, 4]"),
    ],
)
def test_a_tokenizer_that_is_no_text(whole_forge, change, message):
    whole_forge.header["tokenizer"].update(change)
    assert refused(whole_forge.build()) == message


def test_a_tokenizer_that_was_changed(whole_forge):
    whole_forge.tensor("tokenizer")[0] ^= 1
    assert refused(whole_forge.build()).startswith("tensors.tokenizer: must be ")


WHOLE_CASES = [
    (lambda m: m["members"].clear(), "vote: must be None without members, not 'soft'"),
    (lambda m: m["members"].pop(), None),
    (lambda m: m["members"][1].update(name="one"), "members: must be of different names, not 'one'"),
    (
        lambda m: m["members"][1].update(bound=0),
        "members[1]: two.bound: must be an integer from 1 to 1073741824, not 0",
    ),
    (lambda m: m.update(vote="mean"), "one.output: must be of 1 class with this vote, not 3"),
    (lambda m: m["labels"].pop(), "labels: must be one for each of 3 classes, or none, not 2"),
    (lambda m: m["labels"].append([]), "labels: must be one for each of 3 classes, or none, not 4"),
    (
        lambda m: m.update(labels=["a", "b", ["c"]]),
        "labels[2]: must be a text of 1 to 100 printable characters, not ['c']",
    ),
    (
        lambda m: m["input"].update(rows=5),
        "embed.positions: must be at least 5, the rows of the network's input, not 4",
    ),
    (lambda m: m["input"].update(rows=3), None),
    (
        lambda m: m["operations"][-1].update(sources=["wide"]),
        "one row, as first or mean gives it, not the fixed [n, 9] with 8 fraction bits of 'wide'",
    ),
    (
        lambda m: m["operations"][1].update(sources=["classify"]),
        f"normalise.sources[0]: must be {BEFORE}, not 'classify'; an operation stands after what it reads",
    ),
    (
        lambda m: next(at for at in m["operations"] if at["op"] == "maximum").update(op="add"),
        None,
    ),
    (
        lambda m: next(at for at in m["operations"] if at["op"] == "quantize").update(op="requantise"),
        "must be an object with the keys op, name, sources, fraction, shift, not 'bits'",
    ),
    (
        lambda m: next(at for at in m["operations"] if at["op"] == "scores").update(heads=1 << 70),
        "scores.heads: must be an integer from 1 to 256, not 1180591620717411303424",
    ),
]


@pytest.mark.parametrize(("change", "message"), WHOLE_CASES, ids=range(len(WHOLE_CASES)))
def test_whole_networks_that_do_not_fit(whole_forge, change, message):
    change(whole_forge.manifest)
    whole_forge.seal()
    if message is None:
        assert Network.from_bytes(whole_forge.build()) != whole()
    else:
        assert refused(whole_forge.build()).endswith(message)


def test_damage_anywhere_in_a_whole_network_is_refused():
    data = bytearray(whole().to_bytes())
    for position in range(0, len(data), 61):
        data[position] ^= 1 << position % 8
        refused(bytes(data))
        data[position] ^= 1 << position % 8
        refused(bytes(data[:position]))
