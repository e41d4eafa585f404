"""From a torch layer to hardware: train a binary block, export it as integers, run it on the nano accelerator.

The problem is made up: points in 8 noisy clouds. Of the block's output bits, each class has 6, and the class with the
most bits set wins. Training takes seconds. At the end, the bits that torch computes and the bits that the simulated
accelerator computes from the same activations are compared one by one.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hw.config import load_accelerator
from model.binary import BinaryBlock, BinaryLinear, ElasticBinarizer
from model.export import export_network
from model.network import BinaryLayer, read_network, write_network
from sim.memory import MemoryProfile
from tallybert import flow
from tallybert.report import show_simulation

INPUTS, CLASSES, BITS_PER_CLASS = 64, 8, 6
NOISE = 1.5
STEPS, BATCH = 300, 128
ROWS = 16


def train(centres: Tensor) -> BinaryBlock:
    """Return a block that was trained to tell the clouds apart."""
    outputs = CLASSES * BITS_PER_CLASS
    block = BinaryBlock(
        ElasticBinarizer("signed", channels=INPUTS),
        BinaryLinear(INPUTS, outputs),
        ElasticBinarizer("signed", channels=outputs),
    )
    optimizer = torch.optim.Adam(block.parameters(), lr=0.01)
    for step in range(STEPS):
        points, classes = draw(centres, BATCH)
        loss = cross_entropy(votes(block(points)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    return block.eval()


def draw(centres: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return points [count, INPUTS] and the classes [count] of the clouds that they were drawn from."""
    classes = torch.randint(CLASSES, (count,))
    return centres[classes] + NOISE * torch.randn(count, INPUTS), classes


def votes(outputs: Tensor) -> Tensor:
    """Return how the output bits of each class vote: [rows, CLASSES]."""
    return outputs.reshape(-1, CLASSES, BITS_PER_CLASS).sum(-1)


@torch.no_grad()
def accuracy(block: BinaryBlock, centres: Tensor) -> float:
    """Return the share of new points whose class the block's bits vote for."""
    points, classes = draw(centres, 2000)
    return (votes(block(points)).argmax(1) == classes).float().mean().item()


@torch.no_grad()
def different_bits(block: BinaryBlock, layer: BinaryLayer, points: Tensor) -> int:
    """Simulate an exported block on the nano accelerator; return how many output bits are not those of torch."""
    activations = (block.source.units(points) > 0).to(torch.uint8).numpy()
    expected = (block.units(points) > 0).to(torch.uint8).numpy()
    accelerator, memory = load_accelerator("nano"), MemoryProfile()
    work = flow.Workload(layer, activations)
    done = flow.run_simulation(accelerator, work, memory, print)
    show_simulation(flow.simulation_report(accelerator, work, memory, done))
    return int((done.outputs != expected).sum())


def main() -> int:
    """Train, export, read back, simulate, compare; exit code 1 if a bit differs."""
    folder: Path = arguments().out
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    centres = torch.randn(CLASSES, INPUTS)
    block = train(centres)
    print(f"accuracy on new points: {100 * accuracy(block, centres):.1f} %, by chance {100 / CLASSES:.1f} %")

    # The network file holds integers only: packed weights, and a threshold and a polarity for each output.
    path = folder / "network.safetensors"
    write_network(export_network({"layer": block}, {"source": "examples/train_to_rtl.py"}), path)
    (layer,) = read_network(path).layers

    different = different_bits(block, layer, draw(centres, ROWS)[0])
    print(f"torch against the accelerator: {different} of {ROWS * layer.outputs} output bits different")
    print(f"the same layer on the RTL: tallybert verify nano --network {shlex.quote(str(path))} --rows {ROWS}")
    return 1 if different else 0


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Train a binary block and run it on the nano accelerator.")
    parser.add_argument("--out", type=Path, default=Path("out/train"), metavar="DIR", help="for the network file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
