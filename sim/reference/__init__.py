"""The integer reference: the one executable definition of docs/arithmetic.md, slow and obvious."""

from sim.reference.integers import WidthError
from sim.reference.layer import LayerError, binarize, sums
from sim.reference.network import Evaluation, InputError, evaluate, evaluate_codes

__all__ = [
    "Evaluation",
    "InputError",
    "LayerError",
    "WidthError",
    "binarize",
    "evaluate",
    "evaluate_codes",
    "sums",
]
