"""Float members against their integer networks, and torch's integers against the reference's."""

import numpy as np
import pytest

from sim.reference import evaluate
from tests.model.lowering.members import CASES, exported, make_sentences, runs, unit_codes

# How far a fixed value may be from the float one where no code differs, in its own units of 2^-12 or so.
HIDDEN_UNITS = 32
LOGIT_ERROR = 0.02
LARGEST_MARGIN = 0.05


def flips(network, codes, values):
    """Return the names of the codes that differ anywhere."""
    return [name for name, own in codes.items() if not np.array_equal(own, unit_codes(network, values, name))]


def hidden_names(member):
    last = [f"member0.layers.{i}.ffn_norms.{len(layer.ffn) - 1}" for i, layer in enumerate(member.layers)]
    return ["member0.embedding.norm", *last]


@pytest.mark.parametrize("case", CASES)
def test_hidden_states_and_logits_agree_where_no_code_differs(case):
    member, (network, report) = exported(case)
    clean = 0
    for output, codes, values in runs(case):
        if flips(network, codes, values):
            continue
        clean += 1
        for name, hidden in zip(hidden_names(member), output.hidden, strict=True):
            exact = hidden[0].numpy() * 2.0 ** network.values[name].fraction
            assert np.abs(values[name] - exact).max() < HIDDEN_UNITS, name
        found = values["member0.logits"] / 2 ** report.logits[0].fraction
        assert np.abs(found - centred(output)).max() < LOGIT_ERROR
    # With 8 bits nearly every sentence has a code that is off by one.
    assert clean >= (3 if case == "eight bits" else 20)


@pytest.mark.parametrize("case", CASES)
def test_predictions_agree_but_for_near_ties(case):
    _, (network, report) = exported(case)
    differing = 0
    for output, _, values in runs(case):
        logits, found = centred(output), values["member0.logits"] / 2 ** report.logits[0].fraction
        if network.vote == "mean":
            differing += abs(logits[0] - found[0]) > LOGIT_ERROR
        elif logits.argmax() != found.argmax():
            differing += 1
            assert logits.max() - logits[found.argmax()] < LARGEST_MARGIN
    assert differing <= 5


@pytest.mark.parametrize("case", CASES)
def test_equal_input_codes_give_equal_bits_behind_a_product(case):
    member, (network, report) = exported(case)
    folded = {entry.name for entry in report.codes if entry.form == "thresholds"}
    pairs = [
        (f"member0.layers.{index}.attention.{part}.input", f"member0.layers.{index}.attention.{part}.codes")
        for index in range(len(member.layers))
        for part in ("query", "key", "value")
    ]
    pairs += [
        (f"member0.layers.{index}.ffn.{place}.linear1.input", f"member0.layers.{index}.ffn.{place}.linear2.input")
        for index, layer in enumerate(member.layers)
        for place in range(len(layer.ffn))
        if not {"x", "max", "mul", "add"} & {node.name for node in layer.ffn[place].tree.arguments}
    ]
    compared = 0
    for _, codes, values in runs(case):
        different = flips(network, codes, values)
        for before, after in pairs:
            if before not in different and after in folded and is_direct(network, before, after):
                assert after not in different
                compared += 1
    assert compared > 50 or not folded & {after for _, after in pairs}


@pytest.mark.parametrize("case", CASES)
def test_torch_and_reference_agree_on_every_value(case):
    _, (network, _) = exported(case)
    for (_, _, values), ids, types in zip(runs(case)[:6], *(part[:6] for part in make_sentences(60, 7)), strict=True):
        expected = evaluate(network, np.array(ids), np.array(types)).values
        assert list(values) == list(expected)
        for name, own in expected.items():
            assert np.array_equal(own.reshape(-1), values[name].reshape(-1)), name


def is_direct(network, before, after):
    """Return whether only a product stands between two codes."""
    operations = {operation.name: operation for operation in network.operations}
    source = operations[operations[after].sources[0]]
    while source.op in ("matmul", "concatenate"):
        if source.sources[0] == before:
            return True
        source = operations[source.sources[0]]
    return False


def centred(output):
    logits = output.logits[0].numpy()
    return logits - logits.mean() if len(logits) > 1 else logits
