"""Sweeps over made-up classifiers with known answers, and over real members: plain records, the same for a seed."""

import json

import numpy as np
import pytest
import torch

from model.member import Member
from model.robustness import Inputs, Judge, drop_sweep, drop_tokens, noise_sweep, predictor, typo_sweep
from model.shape import FeedForward, Shape

LABELS = np.array([0, 1, 1, 0])
KEPT = (1, 2)


def inputs(seed=0, rows=4, tokens=8):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, tokens + 1, rows)
    mask = np.arange(tokens) < lengths[:, None]
    ids = np.where(mask, rng.integers(5, 20, (rows, tokens)), 0)
    ids[:, 0] = 1
    ids[np.arange(rows), lengths - 1] = 2
    return Inputs(ids, mask, np.where(mask, np.arange(tokens) % 2, 0))


def one_hot(*predictions):
    """Return logits [N, B, 2] of members that predict these classes."""
    return np.eye(2)[np.array(predictions)]


@pytest.fixture(scope="module")
def members():
    torch.manual_seed(0)
    shape = Shape(vocabulary=20, classes=2, layers=1, hidden=8, heads=2, positions=8, ffn=(FeedForward(width=8),))
    made = [Member(shape) for _ in range(2)]
    given = inputs()
    for member in made:
        member.train()(torch.from_numpy(given.ids), torch.from_numpy(given.mask))
    return made


def test_a_record_by_hand():
    logits = one_hot([0, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0])
    judge = Judge(LABELS, [1.0, 1.0, 1.0])
    record = {"kind": "noise", "level": 0.5, "seed": 3, "members": [0.75, 0.5, 0.75], "ensemble": 0.75}
    assert judge.record("noise", 0.5, 3, logits) == record
    assert Judge(LABELS, [3.0, 1.0, 1.0], "hard").record("noise", 0.5, 3, logits)["ensemble"] == 0.75
    assert Judge(LABELS, [1.0, 3.0, 1.0], "hard").record("noise", 0.5, 3, logits)["ensemble"] == 0.5
    assert json.loads(json.dumps(record)) == record


def test_noise_is_handed_on():
    seen = []

    def predict(given, noise=0.0, seed=0):
        seen.append((given, noise, seed))
        return one_hot([0, 1, 1, int(noise > 0.1)])

    given = inputs()
    records = noise_sweep(predict, given, Judge(LABELS, [1.0]), levels=(0.0, 0.2), seeds=(4, 5))
    assert seen == [(given, 0.0, 4), (given, 0.0, 5), (given, 0.2, 4), (given, 0.2, 5)]
    found = [(record["kind"], record["level"], record["seed"], record["ensemble"]) for record in records]
    assert found == [("noise", level, seed, right) for level, right in ((0, 1), (0.2, 0.75)) for seed in (4, 5)]


def test_noise_on_members(members):
    predict, given = predictor(members, batch=3), inputs()
    clean = predict(given)
    assert clean.shape == (2, 4, 2)
    for member, logits in zip(members, clean, strict=True):
        member.eval()
        with torch.no_grad():
            types = torch.from_numpy(given.types)
            expected = member(torch.from_numpy(given.ids), torch.from_numpy(given.mask), types).logits
        np.testing.assert_allclose(logits, expected.numpy(), atol=1e-5)
        member.train()
    noisy = predict(given, noise=0.5, seed=1)
    assert (noisy != clean).any()
    assert (predict(given, noise=0.5, seed=1) == noisy).all()
    assert (predict(given, noise=0.5, seed=2) != noisy).any()
    assert all(member.training for member in members)


def test_all_members_see_the_same_noise(members):
    noisy = predictor([members[0], members[0]])(inputs(), noise=0.5, seed=1)
    assert (noisy[0] == noisy[1]).all()


def test_sweeps_of_members_repeat(members):
    predict, given = predictor(members), inputs()
    judge = Judge(LABELS, [2.0, 1.0])
    for sweep in (noise_sweep, lambda *a, **k: drop_sweep(*a, **k, kept=KEPT)):
        first = sweep(predict, given, judge, seeds=(0, 1))
        assert first == sweep(predict, given, judge, seeds=(0, 1))
        assert all(len(record["members"]) == 2 for record in first)
        clean = [(record["members"], record["ensemble"]) for record in first if record["level"] == 0]
        assert clean == clean[:1] * 2


def test_dropped_tokens_move_up():
    given = inputs(3, rows=60)
    found = drop_tokens(given, 0.4, np.random.default_rng(1), KEPT)
    again = drop_tokens(given, 0.4, np.random.default_rng(1), KEPT)
    assert (found.ids == again.ids).all()
    shares = []
    for row in range(60):
        before, after = given.ids[row][given.mask[row]].tolist(), found.ids[row][found.mask[row]].tolist()
        assert after[0] == 1 and after[-1] == 2
        rest = iter(before)
        assert all(token in rest for token in after)  # a subsequence
        kinds = found.types[row][found.mask[row]].tolist()
        assert len(kinds) == len(after) and kinds[0] == 0
        shares.append((len(before) - len(after)) / (len(before) - 2))
    assert 0.3 < np.mean(shares) < 0.5


def test_drop_rates_nest_and_end():
    given = inputs(4, rows=20)
    none, some, every = (drop_tokens(given, rate, np.random.default_rng(2), KEPT) for rate in (0.0, 0.3, 1.0))
    assert (none.ids == given.ids).all() and (none.mask == given.mask).all()
    assert (every.mask.sum(1) == 2).all()
    more = drop_tokens(given, 0.6, np.random.default_rng(2), KEPT)
    assert (more.mask.sum(1) <= some.mask.sum(1)).all()
    assert more.mask.sum() < some.mask.sum()
    first = drop_tokens(given, 1.0, np.random.default_rng(2), ())
    assert (first.mask.sum(1) == 1).all() and (first.ids[:, 0] == 1).all()


def test_drop_sweep_draws_by_seed():
    seen = []

    def predict(given, noise=0.0, seed=0):
        seen.append(given.ids)
        return one_hot([0, 1, 1, 0])

    drop_sweep(predict, inputs(), Judge(LABELS, [1.0]), kept=KEPT, levels=(0.5,), seeds=(0, 0, 1))
    assert (seen[0] == seen[1]).all()
    assert (seen[0] != seen[2]).any()


def test_typos():
    texts = ["good film", "bad film", "worse", "fine"]
    calls = []

    def typos(text, rate, rng):
        calls.append((text, rate, rng.random()))
        return text.upper() if rate else text

    def encode(changed):
        good = np.array([[int(text.islower())] for text in changed])
        return Inputs(good, np.ones_like(good, bool))

    def predict(given, noise=0.0, seed=0):
        return one_hot(given.ids[:, 0] * LABELS)

    judge = Judge(LABELS, [1.0])
    records = typo_sweep(predict, encode, texts, judge, typos=typos, levels=(0.0, 0.1), seeds=(3,))
    assert [(r["kind"], r["level"], r["ensemble"]) for r in records] == [("typos", 0, 1), ("typos", 0.1, 0.5)]
    assert [call[:2] for call in calls] == [(text, rate) for rate in (0.0, 0.1) for text in texts]
    assert len({call[2] for call in calls}) == 4  # one stream for each text, the same at each rate


def test_refusals(refused):
    ids, mask = np.zeros((2, 3), int), np.ones((2, 3), bool)
    assert refused(ValueError, Inputs, ids, mask[:1]) == "mask must be [2, 3] as ids, not [1, 3]"
    assert refused(ValueError, Inputs, ids, mask, ids[:, :1]) == "types must be [2, 3] as ids, not [2, 1]"
    behind = np.array([[False, True, True], [True, False, True]])
    message = "mask must be True for the tokens at the front of each row, and False behind them"
    assert refused(ValueError, Inputs, ids, behind) == refused(ValueError, Inputs, ids, ids) == message
    message = "labels must be one class for each sentence, not of another kind or below 0"
    assert refused(ValueError, Judge, np.array([0, -1]), [1.0]) == message
    assert refused(ValueError, Judge, np.array([0.5, 1]), [1.0]) == message
    assert refused(TypeError, Judge, LABELS, [1.0], "mean") == "vote must be soft or hard, not 'mean'"
    judge = Judge(LABELS, [1.0])
    message = refused(ValueError, judge.record, "noise", 0, 0, np.zeros((1, 3, 2)))
    assert message == "logits must be [members, 4, classes], not [1, 3, 2]"
    for level in (-0.1, np.inf, "1", True):
        message = refused(ValueError, lambda level=level: noise_sweep(None, None, judge, levels=[level]))
        assert message == f"levels must be finite numbers of at least 0, not {level!r}"
    message = refused(ValueError, drop_tokens, inputs(), 1.5, np.random.default_rng(0), ())
    assert message == "rate must be from 0 to 1, not 1.5"
    assert refused(ValueError, predictor, []) == "members and batch must be at least 1, not 0"
