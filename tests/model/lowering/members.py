"""Random members that behave like trained ones, and what both sides compute for a sentence."""

import copy
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch

from model.integer import IntegerNetwork
from model.lowering import Calibration, lower_ensemble
from model.member import Member
from model.shape import FeedForward, Precision, Shape

VOCABULARY, POSITIONS, TYPES = 40, 10, 2
MIXED = Precision(projection=4, query_key=2, value=1, attention=2, ffn_input=1, ffn_inner=8, pooler=1)
FEW = Precision(projection=1, query_key=4, value=2, ffn_input=2, ffn_inner=1, pooler=4)
WIDE = "max(tanh(linear2(mul(swish(linear1(x)), x))), elu(x))"
CASES = {
    "plain": {},
    "deep": {"layers": 3, "weight_scale": "channel", "split": True},
    "boolean": {"attention": "boolean", "two_sets": False, "weight_scale": "channel"},
    "threshold": {"attention": "threshold", "layers": 2},
    "odd": {"elastic": False, "split": True, "hidden": 21},
    "two bits": {"precision": Precision.uniform(1, 1, 2), "layers": 2},
    "four bits": {"precision": Precision.uniform(1, 1, 4), "weight_scale": "channel", "split": True},
    "eight bits": {"precision": Precision.uniform(1, 1, 8)},
    "mixed": {"precision": MIXED, "expression": "linear2(gelu(linear1(x)))"},
    "few": {"precision": FEW, "attention": "threshold", "expression": "tanh(linear2(sigmoid(linear1(x))))"},
    "regression": {"classes": 1, "expression": "leaky_relu(linear2(elu(linear1(max(x, tanh(x))))))"},
    "wide": {"expression": WIDE, "layers": 2},
    "mean": {"pooling": "mean", "classes": 4, "layers": 2},
    "mean alone": {"pooling": "mean", "pooler": False},
    "first alone": {"pooler": False, "precision": Precision(pooler=32), "attention": "threshold"},
    "regression alone": {"classes": 1, "pooling": "mean", "pooler": False, "precision": Precision.uniform(1, 1, 2)},
    "stack": {"ffn": (FeedForward("add(linear2(max(linear1(x), x)), x)", stack=3, width=10),)},
}


def make_shape(**changes):
    """Return a small shape: 24 channels, 3 heads, one layer of 40 inner channels."""
    sizes = {"vocabulary": VOCABULARY, "positions": POSITIONS, "types": TYPES, "hidden": 24, "heads": 3}
    expression = changes.pop("expression", None)
    if expression:
        changes["ffn"] = (FeedForward(expression, width=40),)
    defaults = {"classes": 3, "layers": 1, "ffn": (FeedForward(width=40),), "dropout": 0.1}
    return Shape(**{**sizes, **defaults, **changes})


@contextmanager
def threads(count):
    """Run torch on so many threads; members as small as these are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@threads(1)
def make_member(shape, seed=0, steps=3):
    """Return a member whose quantizers have seen data and whose parameters are all random."""
    torch.manual_seed(seed)
    member = Member(shape)
    with torch.no_grad():
        for name, parameter in member.named_parameters():
            if "norm" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif name.endswith("bias"):
                parameter.copy_(0.3 * torch.randn_like(parameter))
            elif name == "classifier.weight":
                parameter.mul_(10)
    optimizer = torch.optim.SGD(member.parameters(), lr=0.05)
    for _ in range(steps):
        ids = torch.randint(shape.vocabulary, (8, shape.positions))
        types = torch.randint(shape.types, ids.shape)
        logits = member(ids, torch.ones_like(ids, dtype=torch.bool), types).logits
        target = torch.randn_like(logits)
        optimizer.zero_grad()
        (logits - target).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        for name, parameter in member.named_parameters():
            if name.endswith("beta"):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return member.eval()


def make_sentences(count, seed=0, longest=POSITIONS, vocabulary=VOCABULARY):
    """Return ids and types of sentences of 1 to `longest` tokens."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, longest + 1, count).tolist()
    ids = [random.integers(vocabulary, size=length).tolist() for length in lengths]
    types = [sorted(random.integers(TYPES, size=length).tolist()) for length in lengths]
    return ids, types


def make_calibration(count=24, seed=100):
    return Calibration(*make_sentences(count, seed))


def case_member(case):
    """Return the member of a case, made anew: it may be changed."""
    return make_member(make_shape(**CASES[case]), seed=len(case))


@cache
def exported(case):
    """Return the member of a case and its export."""
    member = case_member(case)
    return member, lower_ensemble([member], calibration=make_calibration())


@cache
@threads(1)
def runs(case, count=60):
    """Return, for sentences that no calibration has seen, what the float member and the integer network compute.

    For each: the float output, the float codes by the names of the network, and the integer values.
    """
    member, (network, _) = exported(case)
    names, recorder = code_names(member), Recorder(copy.deepcopy(member))
    ids, types = make_sentences(count, seed=7)
    result = IntegerNetwork(network).run([np.array(own) for own in ids], [np.array(own) for own in types], keep="all")
    found = []
    for own, kinds, values in zip(ids, types, result.values, strict=True):
        output = recorder.run(own, kinds)
        codes = {names[name]: codes for name, codes in recorder.codes.items()}
        found.append((output, codes, values))
    return found


def code_names(member, name="member0"):
    """Return the value of the network that each quantizer of a member became, by the quantizer's module name."""
    names = {"pooler_in": f"{name}.pooler.input"} if member.shape.pooler else {}
    for index, layer in enumerate(member.layers):
        own, base = f"layers.{index}.attention", f"{name}.layers.{index}"
        for part in ("query", "key", "value"):
            names[f"{own}.{part}_in"] = f"{base}.attention.{part}.input"
            names[f"{own}.{part}_out"] = f"{base}.attention.{part}.codes"
        names[f"{own}.codes"] = f"{base}.attention.codes"
        names[f"{own}.context"] = f"{base}.attention.output.input"
        for place in range(len(layer.ffn)):
            for linear in ("linear1", "linear2"):
                names[f"layers.{index}.ffn.{place}.{linear}_in"] = f"{base}.ffn.{place}.{linear}.input"
    return names


class Recorder:
    """A float member whose codes and hidden states are kept, sentence by sentence."""

    def __init__(self, member):
        self.member, self.codes = member, {}
        for name in code_names(member):
            module = member.get_submodule(name)
            if name.endswith(".codes"):
                module.register_forward_hook(self._hook(name))
            else:
                self._watch(name, module)

    @torch.no_grad()
    def run(self, ids, types):
        """Return the output for one sentence, the codes being in `codes`."""
        self.codes = {}
        ids = torch.tensor([ids])
        return self.member(ids, torch.ones_like(ids, dtype=torch.bool), torch.tensor([types]))

    def _watch(self, name, module):
        plain = module.units
        module.units = lambda x: self._keep(name, plain(x))

    def _hook(self, name):
        def keep(module, arguments, result):
            self._keep(name, result[0])

        return keep

    def _keep(self, name, units):
        self.codes[name] = np.atleast_2d(units[0].numpy())
        return units


def unit_codes(network, values, name):
    """Return the codes of a value as what they count for."""
    value = network.values[name]
    return 2 * values[name] - 1 if (value.set, value.bits) == ("signed", 1) else values[name]
