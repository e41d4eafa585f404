"""The errors of this package."""


class MappingError(ValueError):
    """A layer that cannot be mapped; the message says what does not fit, and what would."""


class CheckError(MappingError):
    """A program that is not proved legal; the message names the instruction and the rule."""
