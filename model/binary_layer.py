"""The binary layer: a matmul of 1-bit codes and the binarize after it, as one thing that the mapper takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from model.bits import unpack
from model.checks import MAX_SIZE, SETS
from model.fields import Choice, Integer, Record, Size, Tensor

_INPUTS, _OUTPUTS = Size("inputs"), Size("outputs")


@dataclass(frozen=True, eq=False)
class BinaryLayer(Record):
    """One binary linear layer with everything up to the next bit folded in.

    Output bit n = (D[n] >= thresholds[n]) XOR polarity[n], where D[n] is the sum over the `inputs` bits of activation x
    weight. Weight bit 1 means +1 and 0 means -1; activation bits mean the same in the signed set and 1, 0 in the
    unsigned one. `weights` is packed, [outputs, ceil(inputs / 8)]. Arrays are read-only.
    """

    inputs: Annotated[int, Integer(1, MAX_SIZE)]
    outputs: Annotated[int, Integer(1, MAX_SIZE)]
    input_set: Annotated[str, Choice(SETS)]
    weights: Annotated[NDArray[np.uint8], Tensor("U8", (_OUTPUTS, _INPUTS), "weights", packed=True)]
    thresholds: Annotated[NDArray[np.int32], Tensor("I32", (_OUTPUTS,), "thresholds")]
    polarity: Annotated[NDArray[np.uint8], Tensor("U8", (_OUTPUTS,), "thresholds", 0, 1)]

    def check(self) -> None:
        """Check that the thresholds are among the sums, or one above them."""
        self.refuse_outside("thresholds", -self.inputs, self.inputs + 1)

    @property
    def weight_bits(self) -> NDArray[np.uint8]:
        """The weights as 0s and 1s, [outputs, inputs]."""
        return unpack(self.weights, self.inputs)
