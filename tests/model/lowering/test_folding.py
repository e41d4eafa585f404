import numpy as np
import pytest
import torch

from model.fold import FoldError
from model.lowering.folding import (
    FIXED,
    Domain,
    Fold,
    NoThresholdError,
    bits_of,
    count_differences,
    fold,
    prove,
)


def at_least(*levels):
    """Return the form of channels that give 1 from a level on."""
    return lambda x: (x >= torch.tensor(levels)).float()


def test_a_domain_has_a_length_and_chunks_that_cover_it():
    domain = Domain(-7, 7, 2)
    assert len(domain) == 8
    assert np.concatenate(list(domain.chunks(3))).tolist() == [-7, -5, -3, -1, 1, 3, 5, 7]
    assert len(FIXED) == 65536
    chunks = list(FIXED.chunks(768))
    assert len(chunks[0]) == 64
    assert np.array_equal(np.concatenate(chunks), np.arange(-32768, 32768))


@pytest.mark.parametrize(("most", "step"), [(8, 2), (7, 6), (3, 6), (1, 18)])
def test_a_domain_is_thinned_evenly(most, step):
    thin = Domain(-7, 7, 2).thinned(most)
    assert (thin.low, thin.step) == (-7, step)
    assert len(thin) <= most


def test_the_form_of_a_fold_is_that_of_the_document():
    def forms(x):
        return torch.cat([x >= 1, x < -1, x >= -9, x >= 9, x >= 0], 1).float()

    domain = Domain(-5, 5, 2)
    folded = fold("f", domain, forms, 5)
    assert folded.thresholds.tolist() == [1, -1, -5, 6, 1]
    assert folded.polarity.tolist() == [0, 1, 0, 0, 0]
    assert folded.constant == 2
    prove("f", domain, forms, folded)


def test_a_change_at_the_border_of_two_chunks_is_found():
    folded = fold("f", FIXED, at_least(-32768.0 + 65536 // 2, -32767.0, 32767.0), 3)
    assert folded.thresholds.tolist() == [0, -32767, 32767]


def test_two_changes_have_no_threshold():
    with pytest.raises(NoThresholdError) as error:
        fold("m.codes", Domain(-10, 10), lambda x: torch.cat([x > 0, x.abs() > 3], 1).float(), 2)
    assert str(error.value) == "m.codes: channel 1 must change its bit once, not 2 times"


def test_a_wrong_fold_is_refused_by_channel_and_integer():
    wrong = Fold(np.array([0, 3], np.int32), np.array([0, 0], np.uint8), 0)
    with pytest.raises(FoldError) as error:
        prove("m.codes", Domain(-4, 4, 2), at_least(0.0, 2.0), wrong)
    assert str(error.value) == "m.codes: channel 1 must give bit 1 at 2 as the float form does, not 0"


def test_differences_are_counted():
    def codes(x):
        return np.stack([x, x + (x == 3)], 1)

    assert count_differences(Domain(-100, 100), lambda x: torch.cat([x, x], 1), codes, 2) == 1


@pytest.mark.parametrize("count", [1, 15, 16, 63, 64, 65])
def test_every_integer_is_evaluated_as_in_a_full_vector(count):
    def form(x):
        return torch.sigmoid(x / 7 - 3).expand(-1, 3).contiguous() - 0.5

    values = np.arange(count)
    assert np.array_equal(bits_of(form, values), bits_of(form, np.arange(640))[:count])
