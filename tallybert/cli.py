"""The command: what all verbs have in common. Each verb is a module of `tallybert.commands`.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 done and the answer is no, 2 wrong input (one
line on stderr says what), 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from hw.messages import MAX_SHOWN, shown, suggestion
from tallybert import __version__
from tallybert.commands import (
    check,
    counts,
    demo,
    evaluate,
    explain,
    export,
    models,
    picture,
    robustness,
    rtl,
    run,
    sim,
    study,
    train,
    verify,
)

VERBS = (
    demo,
    train,
    evaluate,
    robustness,
    study,
    export,
    models,
    counts,
    picture,
    rtl,
    run,
    sim,
    verify,
    explain,
    check,
)
DISAGREEMENT, WRONG_INPUT, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
MAX_LINE = 1000
OUR_PACKAGES = ("hw", "sim", "model", "mapping", "tallybert")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line in our words."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_INPUT, _error_line(_reworded(message)))


def build_parser() -> Parser:
    """Return the parser of the whole command."""
    parser = Parser(
        prog="tallybert",
        description="From a binary BERT to a verified accelerator.",
        epilog="example: tallybert verify edge --layer 128x768x768\n\n`tallybert VERB --help` explains a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tallybert {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _settle_stdout()
        return BROKEN_PIPE
    except OSError as error:
        _settle_stdout()
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except Exception as error:
        if not _is_ours(error):
            raise
        return _fail(str(error), DISAGREEMENT if isinstance(error, AssertionError) else WRONG_INPUT)


def _run(arguments: Sequence[str] | None) -> int:
    parser = build_parser()
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        known = re.findall(r"--[a-z][a-z0-9-]*", args.parser.format_usage())
        fix = suggestion(unknown[0].partition("=")[0], known)
        parser.error(f"{args.verb} has no argument {shown(unknown[0])}{fix}")
    code: int = args.run(args)
    return code


def _is_ours(error: Exception) -> bool:
    """Return whether an error is one that our packages state, with a message for the user; all others are bugs."""
    return any(kind.__module__.partition(".")[0] in OUR_PACKAGES for kind in type(error).__mro__)


def _reworded(message: str) -> str:
    """Put an error of argparse into the words that all our errors have."""
    message = re.sub(r"^argument ", "", message)
    message = re.sub(r"^the following arguments are required: (.*)", r"\1 must be given", message)
    message = re.sub(r": expected one argument$", " must have a value, not nothing", message)
    message = re.sub(r": not allowed with argument (.*)$", r" must not be given together with \1: choose one", message)
    if choices := re.fullmatch(r"one of the arguments (.+) (\S+) is required", message):
        message = f"{choices[1].replace(' ', ', ')} or {choices[2]} must be given"
    choice = re.search(r"invalid choice: (.*) \(choose from (.*)\)$", message, re.DOTALL)
    if not choice:
        return message
    known = choice[2].replace("'", "").split(", ")
    fix = suggestion(choice[1].strip("'"), known)
    wrong = choice[1] if len(choice[1]) <= MAX_SHOWN else f"{choice[1][:MAX_SHOWN]}..."
    return f"{message[: choice.start()]}must be one of {', '.join(known)}, not {wrong}{fix}"


def _error_line(message: str) -> str:
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in message[:MAX_LINE])
    return f"tallybert: error: {text}{'...' if len(message) > MAX_LINE else ''}\n"


def _fail(message: str, code: int = WRONG_INPUT) -> int:
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(_error_line(message))
            sys.stderr.flush()
    return code


def _settle_stdout() -> None:
    """Write what stdout still holds; if that fails, drop it, so that Python does not fail on it again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
