import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model import export
from model.binary import BinaryBlock, BinaryLinear, ElasticBinarizer
from model.bits import unpack
from model.export import export_layer, export_network, float_form
from model.fold import Fold, FoldError
from model.network import NetworkError, read_network, write_network

ROOT = Path(__file__).parents[2]
SCRIPT = """
import torch
from model.binary import BinaryBlock, BinaryLinear, ElasticBinarizer
from model.export import export_network
from model.network import write_network
torch.manual_seed(9)
block = BinaryBlock(ElasticBinarizer(alpha=0.5), BinaryLinear(40, 24), ElasticBinarizer(channels=24, alpha=0.5))
write_network(export_network({"block": block}, {"b": "2", "a": "1"}), sys.argv[1])
"""


def chain():
    """Return two blocks that share a binarizer, after a batch that sets every alpha."""
    torch.manual_seed(5)
    first, hidden, last = ElasticBinarizer(channels=20), ElasticBinarizer("unsigned", channels=33), ElasticBinarizer()
    up = BinaryBlock(first, BinaryLinear(20, 33), hidden, relu=True)
    down = BinaryBlock(hidden, BinaryLinear(33, 10, weight_scale="channel"), last)
    for parameter in (first.beta, hidden.beta, up.linear.bias, down.linear.bias):
        torch.nn.init.normal_(parameter, std=0.05)
    down(up.values(torch.randn(64, 20)))
    return up.eval(), down.eval()


def run(layer, bits):
    values = 2 * bits.astype(np.int64) - 1 if layer.input_set == "signed" else bits.astype(np.int64)
    sums = values @ (2 * layer.weight_bits.astype(np.int64) - 1).T
    return (sums >= layer.thresholds).astype(np.uint8) ^ layer.polarity


def test_chain_of_blocks_gives_the_bits_of_torch_after_a_round_trip(tmp_path):
    up, down = chain()
    network = export_network({"up": up, "down": down}, {"seed": "5"})
    write_network(network, tmp_path / "network")
    read = read_network(tmp_path / "network")
    assert read == network
    assert [layer.input_set for layer in read.layers] == ["signed", "unsigned"]
    x = torch.randn(500, 20)
    bits = (up.source.units(x) > 0).numpy().astype(np.uint8)
    for layer in read.layers:
        bits = run(layer, bits)
    assert np.array_equal(bits, (down.units(up.values(x)) > 0).numpy())
    assert 0.1 < bits.mean() < 0.9


def test_layer_holds_the_signs_of_the_weights():
    up, _ = chain()
    layer = export_layer("up", up)
    assert (layer.name, layer.inputs, layer.outputs) == ("up", 20, 33)
    assert np.array_equal(unpack(layer.weights, 20), (up.linear.signs() > 0).numpy())


def test_constant_channels_are_exported():
    block = BinaryBlock(ElasticBinarizer(alpha=1.0), BinaryLinear(3, 2), ElasticBinarizer(channels=2, alpha=1.0))
    with torch.no_grad():
        block.linear.weight.zero_()
        block.target.beta.copy_(torch.tensor([0.0, 1.0]))
    assert export_layer("layer", block).thresholds.tolist() == [-3, 4]


def test_export_proves_the_fold(monkeypatch):
    up, _ = chain()
    honest = export.fold(float_form(up))
    monkeypatch.setattr(export, "fold", lambda form: Fold(honest.thresholds + 2, honest.polarity))
    with pytest.raises(FoldError, match=r"^the fold of channel 0 must give bit 1 at the sum "):
        export_layer("up", up)


def test_export_refuses_blocks_that_do_not_share_a_binarizer():
    up, down = chain()
    other = BinaryBlock(ElasticBinarizer("unsigned", alpha=1.0), down.linear, down.target)
    with pytest.raises(NetworkError) as error:
        export_network({"up": up, "down": other})
    assert str(error.value) == "down.source: must be the target of up, not another binarizer"


def test_export_refuses_alpha_that_is_not_set():
    block = BinaryBlock(ElasticBinarizer(alpha=1.0), BinaryLinear(2, 2), ElasticBinarizer())
    with pytest.raises(NetworkError, match=r"^alpha: must be set before export, not left to the first batch$"):
        export_layer("layer", block)


def test_export_refuses_other_precisions():
    block = BinaryBlock(ElasticBinarizer(alpha=1.0), BinaryLinear(2, 2), ElasticBinarizer(alpha=1.0)).double()
    with pytest.raises(NetworkError, match=r"^scale: must be float32, not float64$"):
        export_layer("layer", block)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("linear.weight", "scale of channel 0 must be finite, not nan"),
        ("linear.bias", "bias of channel 0 must be finite, not nan"),
        ("source.alpha", "scale of channel 0 must be finite, not nan"),
        ("target.alpha", "alpha must be finite and above 0, not nan"),
        ("target.beta", "shift of channel 0 must be finite, not nan"),
    ],
)
def test_export_refuses_parameters_that_diverged(part, message):
    block = BinaryBlock(ElasticBinarizer(alpha=1.0), BinaryLinear(2, 2), ElasticBinarizer(alpha=1.0))
    with torch.no_grad():
        block.get_parameter(part).fill_(float("nan"))
    with pytest.raises(FoldError) as error:
        export_layer("layer", block)
    assert str(error.value) == message


def test_export_does_not_depend_on_the_hash_seed(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    exec(SCRIPT, {"sys": SimpleNamespace(argv=["", str(here)])})
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", "import sys\n" + SCRIPT, str(there)], env=environment, check=True)
    assert here.read_bytes() == there.read_bytes()
