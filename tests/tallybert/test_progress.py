"""How a run is shown: bars on a terminal, lines elsewhere."""

import io
import re

import pytest

from tallybert import progress
from tallybert.progress import Bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def a_run(bars: Bars) -> None:
    bars.say("out/x: recipe x")
    bars.begin("float", 1000, 200)
    bars.advance(600, {"loss": 0.51234, "dev": 0.75})
    bars.advance(1000, {"loss": 0.25})
    bars.end("dev 0.7500")
    bars.begin("reads", 10)
    bars.advance(10, {})
    bars.end()


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 100.0, 104.0, 200.0, 200.5])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with Bars() as bars:
        a_run(bars)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "out/x: recipe x",
        "float: dev 0.7500, 800 sentences, 200 sentences/s, 4 s",
        "reads: 10 sentences, 20 sentences/s, 0 s",
    ]


def test_bars_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with Bars() as bars:
        a_run(bars)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    last = [line.rstrip() for line in shown.splitlines() if line.strip()][-2:]
    assert "out/x: recipe x" in shown
    assert re.fullmatch(r"float +.* 100% [\d,]+ sentences/s \d:\d\d:\d\d dev 0\.7500", last[0])
    assert re.match(r"reads +.* 100% ", last[1])
    assert capsys.readouterr() == ("", "")


def test_names_in_brackets_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    with Bars() as bars:
        bars.say("[bold]out[/bold]: recipe x")
    assert "[bold]out[/bold]: recipe x" in terminal.getvalue()


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.sys, "stderr", None)
    with Bars() as bars:
        a_run(bars)
