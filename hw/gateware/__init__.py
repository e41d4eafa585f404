"""The machine in Amaranth, parameterised by an `Accelerator` alone."""
