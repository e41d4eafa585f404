"""Plans of stages: defaults, plain data, and what is wrong with a wrong one."""

from collections.abc import Callable
from typing import Any

import pytest

from model.checks import NetworkError
from model.training.plan import StagePlan

Refused = Callable[..., str]


def test_defaults() -> None:
    plan = StagePlan()
    assert (plan.epochs, plan.rate, plan.alpha_rate, plan.batch) == (2.0, 1e-3, 1e-4, 32)
    assert (plan.losses, plan.keep, plan.pool, plan.bfloat16) == ({"label": 1.0}, "best", False, False)
    assert (plan.needs_teacher, plan.needs_features) == (False, False)


@pytest.mark.parametrize(
    ("losses", "teacher", "features"),
    [
        ({"label": 1}, False, False),
        ({"label": 1, "logits": 0}, False, False),
        ({"logits": 2}, True, False),
        ({"hidden": 1}, True, True),
        ({"label": 1, "direction": 0.5}, True, True),
    ],
)
def test_what_the_losses_need(losses: dict[str, float], teacher: bool, features: bool) -> None:
    plan = StagePlan(losses=losses)
    assert (plan.needs_teacher, plan.needs_features) == (teacher, features)


def test_plain_data_makes_an_equal_plan() -> None:
    plan = StagePlan(epochs=0.5, rate=2e-4, losses={"logits": 1, "hidden": 0.1}, keep="last", bfloat16=True)
    assert StagePlan.from_dict("here", plan.to_dict()) == plan
    assert plan.replace(epochs=1).epochs == 1


PARTS = "label, logits, sentence, hidden, attention, direction"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"epochs": 0}, "epochs: must be a number from 0.01 to 10000, not 0"),
    ({"epochs": float("nan")}, "epochs: must be a number from 0.01 to 10000, not nan"),
    ({"epochs": True}, "epochs: must be a number from 0.01 to 10000, not True"),
    ({"epochs": "2"}, "epochs: must be a number from 0.01 to 10000, not '2'"),
    ({"rate": 0}, "rate: must be a number from 1e-08 to 1, not 0"),
    ({"rate": 2}, "rate: must be a number from 1e-08 to 1, not 2"),
    ({"alpha_rate": -1}, "alpha_rate: must be a number from 0 to 1, not -1"),
    ({"batch": 0}, "batch: must be an integer from 1 to 4096, not 0"),
    ({"batch": 4097}, "batch: must be an integer from 1 to 4096, not 4097"),
    ({"batch": 1.5}, "batch: must be an integer from 1 to 4096, not 1.5"),
    ({"warmup": 1.1}, "warmup: must be a number from 0 to 1, not 1.1"),
    ({"decay": None}, "decay: must be a number from 0 to 1, not None"),
    ({"clip": 0}, "clip: must be a number from 1e-06 to 1e+06, not 0"),
    ({"word_drop": 0.95}, "word_drop: must be a number from 0 to 0.9, not 0.95"),
    ({"temperature": 0}, "temperature: must be a number from 0.01 to 100, not 0"),
    ({"keep": "bst"}, "keep: must be one of best, last, not 'bst'; did you mean 'best'?"),
    ({"pool": 1}, "pool: must be true or false, not 1"),
    ({"bfloat16": "yes"}, "bfloat16: must be true or false, not 'yes'"),
    ({"checks_per_epoch": 0}, "checks_per_epoch: must be an integer from 1 to 1000, not 0"),
    ({"losses": {}}, f"losses: must be a mapping of {PARTS}, not {{}}"),
    ({"losses": ["label"]}, f"losses: must be a mapping of {PARTS}, not ['label']"),
    ({"losses": {"logit": 1}}, f"losses.logit: must be one of {PARTS}, not 'logit'; did you mean 'logits'?"),
    ({"losses": {"label": -1}}, "losses.label: must be a number from 0 to 1e+06, not -1"),
    ({"losses": {"label": 0}}, "losses: must be above 0 for one of them, not {'label': 0}"),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_value(values: dict[str, Any], message: str, refused: Refused) -> None:
    assert refused(NetworkError, StagePlan.from_dict, "chain[2]", values) == f"chain[2].{message}"


def test_an_unknown_key(refused: Refused) -> None:
    message = refused(NetworkError, StagePlan.from_dict, "here", {"epoch": 1})
    assert message.startswith("here.epoch: must be one of epochs, rate, ")
    assert message.endswith(", not 'epoch'; did you mean 'epochs'?")


@pytest.mark.parametrize("data", [None, [], "fast", 3])
def test_no_mapping(data: object, refused: Refused) -> None:
    assert refused(NetworkError, StagePlan.from_dict, "here", data).startswith("here: must be a mapping of epochs, ")
