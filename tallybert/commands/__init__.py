"""The verbs of the command, one module each: `add_parser` says what a verb takes, `run` does it."""
