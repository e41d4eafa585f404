"""The error of the value model, apart from it because several modules raise it."""


class MachineError(ValueError):
    """A program that the machine must not be given; the message names the instruction and what is wrong with it."""
