"""Replaying and shrinking on the command line: what counts as the same difference, what is printed, what is refused."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hw.bench.runner import RunError
from mapping.errors import MappingError
from tests import regress
from tests.agreement import replay
from tests.agreement.compare import kinds_of
from tests.agreement.network_point import NetworkPoint, read_point
from tests.agreement.networks import NetworkCase, case_of
from tests.agreement.replay import SameDifference
from tests.agreement.shrinking import POINT, has_softmax

Refused = Callable[..., str]
Command = Callable[..., tuple[int, str, str]]


class TestSameDifference:
    @pytest.mark.parametrize(
        ("result", "kinds"),
        [
            ({}, set()),
            ({"bits_different": 0, "reference_different": 0}, set()),
            ({"bits_different": 2, "checksums_different": 1}, {"bits"}),
            ({"checksums_different": 1, "states_different": 1}, {"bits", "cycles"}),
            ({"reference_different": 1}, {"vote"}),
            ({"votes_different": 1, "cycles_different": 9}, {"vote", "cycles"}),
            ({"failure": "HangError: no end"}, {"failure"}),
        ],
    )
    def test_kinds(self, result: dict[str, Any], kinds: set[str]) -> None:
        assert kinds_of(result) == kinds

    def test_the_first_kind_counts(self) -> None:
        results = iter(
            [{"bits_different": 1}, {"cycles_different": 1}, {"bits_different": 3, "cycles_different": 1}, {}]
        )
        fails = SameDifference(lambda point: next(results))
        assert [fails(POINT) for _ in range(4)] == [True, False, True, False]
        assert fails.kinds == {"bits"}

    @pytest.mark.parametrize("error", [MappingError("no room"), RunError("no end")])
    def test_what_cannot_run_is_no_failure(self, error: Exception) -> None:
        def compare(point: NetworkPoint) -> dict[str, Any]:
            raise error

        assert not SameDifference(compare)(POINT)


def softmax_differs(cases: list[NetworkCase], *where: object) -> list[dict[str, Any]]:
    """Stand in for the comparison on RTL: what has a SOFTMAX differs in a bit."""
    return [{"bits_different": int(has_softmax(case.point))} for case in cases]


class TestCommand:
    """The command line, with a comparison that builds nothing."""

    @pytest.fixture
    def command(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
        """Return a function that runs the regression; its only network is POINT, and every SOFTMAX differs."""
        monkeypatch.setattr(replay, "compare_networks", softmax_differs)
        monkeypatch.setitem(regress.COMPARE, "networks", softmax_differs)
        monkeypatch.setitem(regress.MAKE, "networks", lambda seed, number: [case_of(POINT, number)])
        monkeypatch.chdir(tmp_path)

        def run(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["regress", "--networks", *arguments])
            code = regress.main()
            return code, *capsys.readouterr()

        return run

    def test_a_failing_network_is_made_smaller_and_replayed_by_one_command(
        self, command: Command, tmp_path: Path
    ) -> None:
        code, out, _ = command("--only", "0")
        assert code == 1 and "shrinking case 0, at most 300 tries and 15 minutes" in out
        *_, smallest, case, line = out.splitlines()
        assert smallest.startswith("smallest that differs (bits), ") and smallest.endswith(": no step makes it smaller")
        assert "case 0: 1 tokens, 1 members" in case and "on 1x1x1" in case
        words = shlex.split(line.removeprefix("  replay: "))
        assert words[:5] == ["python", "-m", "tests.regress", "--networks", "--case"]
        code, out, _ = command(*words[4:])
        assert (code, out.splitlines()[-1]) == (1, "different: bits")
        (kept,) = (tmp_path / "out").glob("network-*.json")
        assert read_point(words[5]) == read_point(str(kept))

    def test_no_shrink(self, command: Command) -> None:
        code, out, _ = command("--only", "0", "--no-shrink")
        assert code == 1 and "shrinking" not in out
        assert json.loads(out)["failures"][0]["data"] == json.loads(POINT.to_json())

    def test_all_groups(self, command: Command) -> None:
        code, out, _ = command("--cases", "4", "--workers", "1", "--tries", "2")
        assert code == 1 and "0 passed, 1 failed" in out
        assert "smallest that differs (bits), 2 tries" in out and ": stopped; go on with --shrink out/network-" in out

    def test_shrink_goes_on(self, command: Command, tmp_path: Path) -> None:
        POINT.save(tmp_path / "case.json")
        code, out, _ = command("--shrink", "case.json", "--tries", "30")
        assert code == 1 and "  [30/30, " in out and "  [31/" not in out

    def test_an_equal_case(self, command: Command, refused: Refused) -> None:
        equal = replace(POINT, sketch=replace(POINT.sketch, layers=0)).to_json()
        code, out, _ = command("--case", equal)
        assert (code, out.splitlines()[-1]) == (0, "equal")
        code, _, error = command("--shrink", equal)
        assert (code, error.count("\n")) == (2, 1)
        assert error.startswith("regress: case must be one that fails, not one that passes: ")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--case", "none.json"), "case must be a text file or a JSON object, not 'none.json' ("),
            (("--case", "{}"), "case must be an object with the keys format, seed, "),
            (("--shrink", "{"), "case must be strict JSON, not text in which "),
            (("--case", POINT.to_json(), "--tries", "0"), "tries must be an integer of 1 or more, not 0: "),
            (("--case", POINT.to_json(), "--minutes", "0"), "seconds must be more than 0, not 0.0: "),
        ],
    )
    def test_bad_input(self, command: Command, arguments: tuple[str, ...], message: str) -> None:
        code, out, error = command(*arguments)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert error.startswith(f"regress: {message}")

    def test_a_network_that_does_not_fit(self, command: Command) -> None:
        small = replace(POINT, accelerator=POINT.accelerator.replace(row_lanes=0))
        code, _, error = command("--case", small.to_json())
        assert (code, error.count("\n")) == (2, 1)
        assert error.startswith("regress: case must be a network that fits its accelerator, not one that is refused (")

    def test_only_networks_are_cases(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["regress", "--case", POINT.to_json()])
        assert regress.main() == 2
