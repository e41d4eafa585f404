"""The picture of a run."""

from model.training.curves import draw_curves

RECORDS = [
    {"stage": stage, "step": step, "total": 1 / step, **({"dev": step / 10} if step % 2 == 0 else {})}
    for stage in ("teacher", "float", "member-1")
    for step in range(1, 7)
]


def test_it_is_a_picture_that_the_metrics_decide() -> None:
    picture = draw_curves("tiny: texts, seed 1", "accuracy", RECORDS)
    assert picture.startswith(b"\x89PNG")
    assert draw_curves("tiny: texts, seed 1", "accuracy", RECORDS) == picture
    assert draw_curves("tiny: texts, seed 1", "accuracy", RECORDS[:-1]) != picture


def test_a_stage_without_a_score_is_left_out() -> None:
    begun = [*RECORDS, {"stage": "member-2", "step": 1, "total": 0.5}]
    assert draw_curves("t", "accuracy", begun) == draw_curves("t", "accuracy", RECORDS)


def test_nothing_yet() -> None:
    assert draw_curves("t", "accuracy", []).startswith(b"\x89PNG")


def test_names_that_would_be_formulas() -> None:
    assert draw_curves("a $broken^$ title_ $", "accuracy", RECORDS).startswith(b"\x89PNG")
