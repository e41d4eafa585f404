"""From a binary ensemble BERT to an accelerator whose simulator and RTL agree to the bit and to the cycle."""

__version__ = "0.1.0"
