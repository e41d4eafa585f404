"""Quantizers: what stands between a float value and the codes that a matrix product reads.

Every quantizer gives codes as floats (`units`) and one scale (`positive_alpha`): alpha * unit stands for x. One bit is
the elastic binarizer of `model.binary`; 2, 4 and 8 bits have a learned step; 32 bits pass through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from model.binary import Elastic, ElasticBinarizer
from model.checks import SETS
from model.functions import MINIMUM_ALPHA
from model.uniform import Codes, code_range

BITS = (1, 2, 4, 8, 32)
Quantizer = "ElasticBinarizer | UniformQuantizer | PassThrough"


_codes: Callable[..., Tensor] = Codes.apply


class UniformQuantizer(Elastic):
    """x -> alpha * code, code = clamp(floor((x - beta) / alpha + 1/2)) with a learned step alpha > 0 and shift beta.

    Codes go from -2^(bits-1) to 2^(bits-1) - 1 (signed) or from 0 to 2^bits - 1 (unsigned). The first batch in training
    mode sets alpha to 2 * mean|x - beta| / sqrt(largest code).
    """

    fused = True

    def __init__(self, set: Literal["signed", "unsigned"], bits: int, *, channels: int | None = None) -> None:
        if set not in SETS:
            raise TypeError(f"set must be one of {', '.join(SETS)}, not {set!r}")
        if isinstance(bits, bool) or bits not in (2, 4, 8):
            raise TypeError(f"bits must be 2, 4 or 8, not {bits!r}; 1 bit is an ElasticBinarizer, 32 a PassThrough")
        super().__init__(set, channels)
        self.bits = bits
        self.codes = code_range(set == "signed", bits)
        self.low, self.high = self.codes

    def forward(self, x: Tensor) -> Tensor:
        """Return alpha * code."""
        return self.units(x) * self.positive_alpha()

    def units(self, x: Tensor) -> Tensor:
        """Return the codes, as floats."""
        self.prepare(x)
        return _codes(x, self.positive_alpha(), self.beta, self.codes)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set alpha from data."""
        alpha = 2 * (x - self.beta).abs().mean() / self.high**0.5
        if not torch.isfinite(alpha):
            raise ValueError(f"x must be finite and not empty to set alpha from it, not have a mean of {alpha.item()}")
        self.alpha.copy_(torch.where(alpha == 0, 1.0, alpha.clamp(min=MINIMUM_ALPHA)))
        self.initialised.fill_(True)

    def extra_repr(self) -> str:
        """Return the parameters for print()."""
        return f"set={self.set!r}, bits={self.bits}, channels={self.channels}"


class PassThrough(nn.Module):
    """32 bits: x is its own unit, the scale is 1."""

    bits = 32

    def __init__(self, set: Literal["signed", "unsigned"]) -> None:
        super().__init__()
        self.set = set
        self.one: Tensor
        self.register_buffer("one", torch.tensor(1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def units(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def positive_alpha(self) -> Tensor:
        """Return 1."""
        return self.one


def quantizer(
    set: Literal["signed", "unsigned"], bits: int, *, channels: int | None = None
) -> ElasticBinarizer | UniformQuantizer | PassThrough:
    """Return the quantizer for a number of bits: 1, 2, 4, 8 or 32."""
    if isinstance(bits, bool) or bits not in BITS:
        raise TypeError(f"bits must be one of {', '.join(map(str, BITS))}, not {bits!r}")
    if bits == 1:
        return ElasticBinarizer(set, channels=channels)
    return PassThrough(set) if bits == 32 else UniformQuantizer(set, bits, channels=channels)
