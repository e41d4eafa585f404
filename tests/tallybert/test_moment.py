"""One cycle of a run in words, held against what is known of it otherwise."""

from __future__ import annotations

import pytest

from hw.isa import STATE_NAMES, TOKEN_UNITS, UNIT_NAMES, Unit
from tallybert.moment import moment
from tallybert.playback import Playback, play
from tests.sim.programs import HALT, program, vector
from tests.sim.test_timing import INSTANT, QUICK
from tests.tallybert.recorded import RESTLESS, chain, layer

PLAYS = {"layer": layer, "restless layer": lambda: layer(RESTLESS), "chain": chain}


@pytest.fixture(scope="module", params=PLAYS)
def played(request: pytest.FixtureRequest) -> Playback:
    return PLAYS[request.param]()


class TestEveryCycle:
    def test_the_state_of_each_unit(self, played: Playback) -> None:
        before: dict[str, int] = {}
        for cycle in range(played.cycles):
            units = moment(played, cycle)["units"]
            assert all(f["since"] == cycle for u, f in units.items() if before.get(u, -1) == cycle - 1)
            assert all(f["since"] < cycle for u, f in units.items() if before.get(u, -1) >= cycle)
            before = {unit: found["until"] for unit, found in units.items()}
            for unit, found in units.items():
                number = UNIT_NAMES.index(unit)
                assert found["state"] == STATE_NAMES[played.recording.states[number, cycle]]
                assert found["since"] <= cycle <= found["until"]
                assert found["what"]

    def test_queues_and_what_is_in_flight_hold_each_instruction_once(self, played: Playback) -> None:
        lives = played.lives
        for cycle in range(played.cycles):
            found = moment(played, cycle)
            queued = [n for queue in found["queues"].values() for n in queue]
            owned = [n for unit in found["units"].values() for n in unit.get("in_flight", [])]
            together = [*found["instruction_queue"], *queued, *owned]
            alive = [n for n in range(len(played.instructions)) if lives.fetched[n] < cycle <= lives.retire[n]]
            assert sorted(together) == alive
            assert len(found["instruction_queue"]) <= played.accelerator.fetch_depth
            assert all(len(queue) <= played.accelerator.queue_depth for queue in found["queues"].values())

    def test_tokens_are_counted_as_the_contract_does(self, played: Playback) -> None:
        counters = {(u, v): 0 for u in TOKEN_UNITS for v in TOKEN_UNITS if u is not v}
        lives = played.lives
        for cycle in range(played.cycles):
            names = {f"{UNIT_NAMES[u]} to {UNIT_NAMES[v]}": count for (u, v), count in counters.items() if count}
            assert moment(played, cycle)["tokens"] == names
            for number, i in enumerate(played.instructions):
                for u, v in counters:
                    counters[u, v] += lives.retire[number] == cycle and i.unit is u and bool(i.signal >> v & 1)
                    counters[u, v] -= lives.issue[number] == cycle and i.unit is v and bool(i.wait >> u & 1)

    def test_transfers(self, played: Playback) -> None:
        beats = {"loads": played.recording.loaded, "stores": played.recording.stored}
        for cycle in range(0, played.cycles, 5):
            found = moment(played, cycle)
            for name, happened in beats.items():
                unit = Unit.LOAD if name == "loads" else Unit.STORE
                gone = [n for n in played.lives.order[unit] if played.lives.retire[n] < cycle]
                before = sum(played.instructions[n].segments * played.instructions[n].segment_beats for n in gone)
                assert before + sum(t["beats_done"] for t in found[name]) == happened[:cycle].sum()
                assert all(t["beats_done"] <= t["beats"] and t["issue"] < cycle <= t["retire"] for t in found[name])


def what(play: Playback, unit: str, cycle: int) -> str:
    """Return what a unit does in a cycle, in words."""
    found: str = moment(play, cycle)["units"][unit]["what"]
    return found


class TestWords:
    def test_a_token_and_who_gives_it(self) -> None:
        lives = layer().lives
        assert what(layer(), "array", 100) == f"token from LOAD, which LOAD 1 gives in cycle {lives.retire[1]}"
        assert lives.retire[1] + 1 == lives.issue[4] > 100

    def test_the_last_cycle_without_a_token_and_the_issue(self) -> None:
        issue = int(layer().lives.issue[4])
        assert what(layer(), "array", issue - 1).startswith("token from LOAD")
        assert what(layer(), "array", issue) == f"takes it after {layer().lives.stood[4]} cycles at the head"

    def test_the_beats_of_a_load(self) -> None:
        first = int(layer().activities[Unit.LOAD].busy_of(0)[0][0])
        text = "beat 1 of 8: activations+0x0, 32 bytes -> activation 0-3"
        assert what(layer(), "load", first) == text
        assert what(layer(), "load", first - 1) == f"beat 1 of 8 from memory, in cycle {first}"

    def test_the_last_response_to_a_store(self) -> None:
        retire = int(layer().lives.retire[9])
        assert what(layer(), "store", retire) == f"memory's last response to it, in cycle {retire}"

    def test_the_sequencer(self) -> None:
        assert what(layer(), "sequencer", 1) == f"instruction 0 from memory, whole in cycle {layer().lives.fetched[0]}"
        assert what(layer(), "sequencer", int(layer().lives.taken[0])) == "gives it to LOAD"
        last = layer().cycles - 1
        assert what(layer(), "sequencer", last) == "ends it"
        assert what(layer(), "sequencer", last - 1) == f"all before it to retire, STORE 9 last in cycle {last - 1}"

    def test_the_end(self) -> None:
        assert what(layer(), "array", layer().cycles - 1) == "nothing is left"

    def test_an_empty_queue(self) -> None:
        taken = int(layer().lives.taken[4])
        assert what(layer(), "array", taken) == f"nothing: MATMUL 4 comes to its queue in cycle {taken}"

    def test_the_tile_that_drain_waits_for(self) -> None:
        waits = layer().activities[Unit.DRAIN]
        start = int(waits.starts[list(waits.states).index(1)])
        assert what(layer(), "drain", start).startswith("the tile of MATMUL 4 with group ")

    def test_statistics_that_are_not_there_yet(self) -> None:
        accelerator = QUICK.replace(vector_lanes=2, fixed_lines=64)
        instructions = [vector(statistics=1), vector(statistics=1), HALT]
        found = play(program(accelerator, instructions, bytes(64)), INSTANT)
        retire = int(found.lives.retire[0])
        assert moment(found, retire)["units"]["vector"]["state"] == "empty"
        assert what(found, "vector", retire) == f"VECTOR 1 stands until VECTOR 0 retires in cycle {retire}"
        assert found.lives.issue[1] == retire + 1

    def test_room_in_a_queue(self) -> None:
        activity = chain().activities[Unit.SEQUENCER]
        start = int(activity.starts[list(activity.states).index(2)])
        assert what(chain(), "sequencer", start).startswith("room in the queue of ")
