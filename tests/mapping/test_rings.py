"""What a buffer holds while a schedule runs."""

from __future__ import annotations

from mapping.rings import MAX_SLOTS, Ring


def test_items_that_fit_have_places_of_their_own_and_are_never_replaced() -> None:
    ring = Ring([3, 1, 2], 6)
    assert ring.resident
    assert [ring.access(step, item) for step, item in enumerate([2, 0, 1, 2, 0])] == [
        (4, 0),
        (0, 0),
        (3, 0),
        (4, None),
        (0, None),
    ]


def test_the_item_used_longest_ago_is_replaced_after_its_last_use() -> None:
    ring = Ring([2, 1, 2], 5)
    assert Ring([2, 1, 2], 5).resident
    ring = Ring([2, 1, 2], 4)
    assert (ring.resident, ring.slots) == (False, 2)
    assert ring.access(0, 0) == (0, 0)
    assert ring.access(1, 1) == (2, 0)
    assert ring.access(2, 0) == (0, None)
    assert ring.access(5, 2) == (2, 2)
    assert ring.access(6, 1) == (0, 3)


def test_one_slot_is_replaced_each_time() -> None:
    ring = Ring([2, 2], 3)
    assert [ring.access(step, step % 2) for step in range(4)] == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_slots_are_bounded_for_the_token_counters() -> None:
    assert Ring([1] * 5000, 4000).slots == MAX_SLOTS
    assert Ring([1] * 4000, 4000).slots == 4000
