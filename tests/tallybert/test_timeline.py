"""The timeline: what viewers need of its form, and that every number in it is that of the simulator."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.isa import STATE_NAMES, UNIT_NAMES, Unit
from tallybert import timeline
from tallybert.gauges import LEAST_WINDOW, WINDOWS, counted, window_of
from tallybert.options import CommandError
from tallybert.playback import Playback
from tallybert.timeline import MAX_SLICES, trace_events, write_timeline
from tests.tallybert.recorded import RESTLESS, chain, layer

PLAYS = {"layer": layer, "restless layer": lambda: layer(RESTLESS), "chain": chain}
Event = dict[str, Any]


@pytest.fixture(scope="module", params=PLAYS)
def play(request: pytest.FixtureRequest) -> Playback:
    return PLAYS[request.param]()


@pytest.fixture(scope="module")
def events(play: Playback) -> list[Event]:
    return trace_events(play, "a title")


def tracks(events: list[Event]) -> dict[str, list[Event]]:
    """Return the slices of each track by its name."""
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    found: dict[str, list[Event]] = {name: [] for name in names.values()}
    for event in events:
        if event["ph"] == "X":
            found[names[event["tid"]]].append(event)
    return found


def values(events: list[Event], name: str) -> list[tuple[int, int]]:
    """Return the points of a counter."""
    return [(e["ts"], next(iter(e["args"].values()))) for e in events if e["ph"] == "C" and e["name"] == name]


class TestForm:
    def test_the_kinds_of_events_and_their_keys(self, events: list[Event]) -> None:
        keys = {
            "X": {"ph", "cat", "name", "ts", "dur", "pid", "tid", "args"},
            "C": {"ph", "name", "pid", "ts", "args"},
        }
        for event in events:
            if event["ph"] == "M":
                assert {"name", "pid", "args"} <= set(event)
                continue
            assert set(event) == keys[event["ph"]]
            assert all(type(event[name]) is int and event[name] >= 0 for name in ("ts", "dur") if name in event)

    def test_names_first_then_in_the_order_of_time(self, events: list[Event]) -> None:
        kinds = [event["ph"] == "M" for event in events]
        assert kinds == sorted(kinds, reverse=True)
        times = [event["ts"] for event in events if event["ph"] != "M"]
        assert times == sorted(times)

    def test_slices_of_a_track_do_not_overlap(self, events: list[Event]) -> None:
        for slices in tracks(events).values():
            ends = [event["ts"] + event["dur"] for event in slices]
            assert all(end <= after["ts"] for end, after in zip(ends, slices[1:], strict=False))

    def test_nothing_is_beyond_the_end(self, play: Playback, events: list[Event]) -> None:
        assert max(event["ts"] + event.get("dur", 0) for event in events if event["ph"] != "M") <= play.cycles

    def test_tracks_are_in_the_order_of_units_and_are_all_named(self, play: Playback, events: list[Event]) -> None:
        names = list(tracks(events))
        units = [UNIT_NAMES.index(name.split()[0]) for name in names]
        assert units == sorted(units)
        states = {f"{UNIT_NAMES[unit]} states" for unit in play.activities}
        assert {name for name in names if name.endswith("states")} == states
        order = [e["args"]["sort_index"] for e in events if e["name"] == "thread_sort_index"]
        assert order == sorted(set(order))


class TestEquality:
    def test_slices_are_the_retirement_trace(self, play: Playback, events: list[Event]) -> None:
        slices = [event for event in events if event.get("cat") == "instruction"]
        found = {e["args"]["number"]: (e["ts"], e["ts"] + e["dur"]) for e in slices}
        assert len(found) == len(slices) == len(play.instructions)
        timing = play.recording.timing
        expected = {n: (timing.issue[n], timing.retire[n]) for n in range(len(play.instructions))}
        assert found == expected
        assert all((e["args"]["issue"], e["args"]["retire"]) == expected[e["args"]["number"]] for e in slices)

    def test_states_add_up_to_the_counters(self, play: Playback, events: list[Event]) -> None:
        for unit in play.activities:
            counts = dict.fromkeys(STATE_NAMES, 0)
            for event in tracks(events)[f"{UNIT_NAMES[unit]} states"]:
                counts[event["name"]] += event["dur"]
            assert counts["empty"] == 0
            counts["empty"] = play.cycles - sum(counts.values())
            assert list(counts.values()) == play.recording.timing.states[unit].tolist()

    def test_beats_add_up(self, play: Playback, events: list[Event]) -> None:
        window = window_of(play.cycles)
        states = play.recording.timing.states
        for name, total in (
            ("load", states[Unit.LOAD, 0]),
            ("store", states[Unit.STORE, 0]),
            ("fetch", play.recording.fetched.sum()),
        ):
            points = values(events, f"beats of {name} in {window} cycles")
            assert sum(value for _, value in points) == total
            assert [cycle for cycle, _ in points] == list(range(0, play.cycles, window))

    @pytest.mark.parametrize("unit", list(UNIT_NAMES[:4]))
    def test_queues(self, unit: str, play: Playback, events: list[Event]) -> None:
        mine = play.lives.order[UNIT_NAMES.index(unit)]
        level, points = 0, dict(values(events, f"queue of {unit}"))
        for cycle in range(play.cycles):
            level = points.get(cycle, level)
            assert level == ((play.lives.taken[mine] < cycle) & (play.lives.issue[mine] >= cycle)).sum()

    def test_tokens_begin_and_end_at_nothing_or_what_stays(self, play: Playback, events: list[Event]) -> None:
        found: dict[str, list[int]] = defaultdict(list)
        for event in events:
            if event["ph"] == "C" and event["name"].startswith("tokens"):
                found[event["name"]].append(event["args"]["tokens"])
        assert found
        assert all(points[0] == 0 and min(points) == 0 for points in found.values())


@pytest.mark.parametrize(("retire", "names"), [(5, ["store"]), (6, ["store 1", "store 2"])], ids=["behind", "beside"])
def test_instructions_that_overlap_have_tracks_of_their_own(retire: int, names: list[str]) -> None:
    """The second of two instructions issues in cycle 5."""
    play = layer()
    numbers = np.array([0, 1])
    order = (*play.lives.order[:3], numbers, *play.lives.order[4:])
    issue, retired = play.lives.issue.copy(), play.lives.retire.copy()
    issue[:2], retired[:2] = (1, 5), (retire, 9)
    changed = replace(play, lives=replace(play.lives, order=order, issue=issue, retire=retired))
    found = [name for name, _ in timeline._tracks(changed) if name.startswith("store") and "states" not in name]
    assert found == names


class TestWords:
    def test_an_instruction(self) -> None:
        slices = {e["name"]: e for e in trace_events(layer(), "") if e.get("cat") == "instruction"}
        found = slices["LOAD 1: weights"]["args"]
        assert found["writes"].startswith("weight ")
        assert found["signals"] == "array 4"
        assert slices["MATMUL 4"]["args"]["waits"] == "load 1"
        assert "handover" in slices["MATMUL 4"]["args"]["operands"]

    def test_a_stall(self) -> None:
        stalls = [e for e in trace_events(layer(), "") if e.get("cat") == "state" and e["name"] == "token"]
        text = f"token from LOAD, which LOAD 1 gives in cycle {layer().lives.retire[1]}"
        assert text in {e["args"]["waits for"] for e in stalls if e["args"]["title"] == "MATMUL 4"}


class TestFile:
    def test_it_is_json_with_what_it_is_of(self, tmp_path: Path) -> None:
        said: list[str] = []
        write_timeline(tmp_path / "t.json", layer(), "a title", said.append)
        value = json.loads((tmp_path / "t.json").read_text())
        assert value["traceEvents"] == trace_events(layer(), "a title")
        facts = {"format": "tallybert-timeline-1", "program": "a title", "accelerator": "tiny"}
        assert {name: value["otherData"][name] for name in facts} == facts
        assert value["otherData"]["cycles"] == layer().cycles
        figures = f"{len(value['traceEvents'])} events over {layer().cycles} cycles"
        assert said == [f"{tmp_path}/t.json: {figures}, for ui.perfetto.dev"]

    def test_it_is_there_in_one_piece_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "t.json").write_text("before")
        monkeypatch.setattr("os.replace", _fails)
        with pytest.raises(OSError, match="full"):
            write_timeline(tmp_path / "t.json", layer(), "", lambda _: None)
        assert [path.name for path in tmp_path.iterdir()] == ["t.json"]
        assert (tmp_path / "t.json").read_text() == "before"

    def test_too_many_slices(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
    ) -> None:
        monkeypatch.setattr(timeline, "MAX_SLICES", 20)
        message = refused(CommandError, write_timeline, tmp_path / "t.json", layer(), "", print)
        assert message.startswith("--timeline must be of a run of at most 20 slices, not ")
        assert not (tmp_path / "t.json").exists()
        assert MAX_SLICES > 1_000_000


def _fails(*_: object) -> None:
    raise OSError("full")


@pytest.mark.parametrize(
    ("cycles", "window"),
    [(1, LEAST_WINDOW), (WINDOWS * LEAST_WINDOW, LEAST_WINDOW), (WINDOWS * LEAST_WINDOW + 1, 2 * LEAST_WINDOW)],
    ids=["one", "most", "more"],
)
def test_windows(cycles: int, window: int) -> None:
    assert window_of(cycles) == window


def test_the_last_window_may_be_shorter() -> None:
    found = counted(np.array([True] * 5 + [False] * 3 + [True] * 2), 4)
    assert list(zip(found.cycles.tolist(), found.values.tolist(), strict=True)) == [(0, 4), (4, 1), (8, 2)]
