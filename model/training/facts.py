"""What decides the bits of a stage, as plain data with digests in the place of weights and sentences.

Stages are compared by what goes into them, not by what a recipe calls it: two recipes that lead to the same weights,
sentences, plan and seed lead to the same stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from model.checks import canonical_json
from model.data.dataset import Split, Task
from model.encoder import Classifier
from model.member import Member
from model.shape import Precision, Shape
from model.training.checkpoint import content_digest
from model.training.corpus import Corpus
from model.training.together import Together

FULL = Precision.uniform(32, 32, 32)


def module_facts(module: nn.Module) -> dict[str, Any]:
    """Return how a module computes, which of its parameters learn, and the digest of its state."""
    state = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    frozen = sorted(name for name, parameter in module.named_parameters() if not parameter.requires_grad)
    return {"kind": type(module).__name__, "form": _form(module), "frozen": frozen, "state": content_digest(state, "")}


def corpus_digest(corpus: Corpus) -> str:
    """Return the SHA-256 of a corpus: ids, types, labels, and what a teacher says and makes of it."""
    arrays: list[NDArray[Any]] = [
        corpus.lengths,
        np.concatenate(corpus.ids),
        np.concatenate(corpus.types),
        corpus.labels,
    ]
    arrays += [said for said in (corpus.teacher_logits, corpus.teacher_vectors) if said is not None]
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def texts_digest(texts: Iterable[str]) -> str:
    """Return the SHA-256 of some texts, each with its length before it."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def splits_digest(splits: dict[str, Split]) -> str:
    """Return the SHA-256 of what a classifier reads in some splits."""
    return texts_digest(f"{name} {split.digest}" for name, split in splits.items())


def score_facts(task: Task, dev: Corpus) -> dict[str, Any]:
    """Return what decides a score on the dev split, and the kind of the losses."""
    return {"metric": task.metrics[0], "regression": task.regression, "dev": corpus_digest(dev)}


def data_digest(data: dict[str, Any]) -> str:
    """Return the SHA-256 of plain data that is too long to be kept."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


def _form(module: nn.Module) -> Any:
    if isinstance(module, Member):
        return _shape_form(module.shape)
    if isinstance(module, Classifier):
        return {"encoder": module.encoder.config.to_dict(), "pooling": module.pooling, "dropout": module.dropout.p}
    if isinstance(module, Together):
        forms = [_form(member) for member in module.members]
        return {"members": forms, "weights": list(module.weights), "shared": module.shared_embedding}
    raise TypeError(f"module must be a Member, Together or a Classifier, not a {type(module).__name__}")


def _shape_form(shape: Shape) -> dict[str, Any]:
    """Return a shape; in full precision there are no quantizers, whose keys then decide nothing."""
    if shape.precision == FULL:
        shape = shape.replace(elastic=True, two_sets=True, weight_scale="tensor")
    return shape.to_dict()
