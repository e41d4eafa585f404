"""Where a student's weights come from: a fresh seed, the teacher's word vectors or layers, or an earlier student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.checks import require
from model.data.wordpiece import Tokenizer
from model.encoder import Classifier, EncoderConfig
from model.expression import ACTIVATIONS
from model.member import Member
from model.shape import Shape
from model.splitting import split_member
from model.training.corpus import Corpus, Floats

_WORD_DEVIATION = 0.04


def piece_corpus(tokenizer: Tokenizer, teacher_tokenizer: Tokenizer, limit: int) -> Corpus:
    """Return each piece of a student's tokenizer as a sentence of its own, as the teacher's tokenizer cuts it.

    `limit` is the longest sentence that the teacher reads.
    """
    cls, sep = teacher_tokenizer.cls, teacher_tokenizer.sep
    known = {piece: index for index, piece in enumerate(teacher_tokenizer.vocabulary)}
    rows = []
    for piece in tokenizer.vocabulary:
        inner = [known[piece]] if piece in known else _pieces(piece, teacher_tokenizer, limit)
        rows.append(np.array([cls, *inner, sep], np.int32))
    return Corpus(rows, [np.zeros_like(row) for row in rows], np.full(len(rows), -1, np.int64))


def word_vectors(pooled: Floats, width: int) -> Floats:
    """Return what a teacher makes of each piece alone [V, G] in `width` dimensions: where a student's words begin.

    The dimensions are those that the pieces differ most in (a singular value decomposition). What the teacher makes of
    a word says far more of the task than the teacher's own word vectors do.
    """
    return _projected(torch.from_numpy(pooled), width).float().numpy()


@torch.no_grad()
def start_from_student(student: Member, other: Member) -> None:
    """Copy what two students have in common; a ternary one is split for a student that reads its inputs twice.

    The alphas of quantizers are copied where the precision is the same; else the first batch sets them, since a step
    for more bits is no scale for one bit.
    """
    if student.shape.split and other.shape.precision.weights == 2:
        other = split_member(other)
    own, given = student.state_dict(), other.state_dict()
    changed = _alphas_to_set(student, other)
    copied = {
        name: tensor
        for name, tensor in given.items()
        if name in own and own[name].shape == tensor.shape and name not in changed
    }
    student.load_state_dict(own | copied)


def check_teacher_start(shape: Shape, config: EncoderConfig) -> None:
    """Refuse a shape that cannot start from an encoder's own layers; the line names the key of the recipe."""
    for key in ("hidden", "heads"):
        wanted, found = getattr(config, key), getattr(shape, key)
        require(found == wanted, f"shape.{key}", f"{wanted}, the teacher's, to start from it", found)
    longest = config.positions
    reach = f"at most {longest}, the positions of the teacher, to start from it"
    require(shape.positions <= longest, "data.limit", reach, shape.positions)
    most, layers = config.layers, len(shape.ffn)
    require(layers <= most, "shape.layers", f"at most {most}, the teacher's, to start from it", layers)
    forms = [f"linear2({name}(linear1(x)))" for name in ACTIVATIONS]
    for block in shape.ffn:
        expected = "of one block linear2(a(linear1(x))), a an activation, to start from the teacher"
        form = f"{block.stack} of {block.expression}"
        require(block.stack == 1 and str(block.tree) in forms, "shape.ffn", expected, form)
        wide = config.intermediate
        require(block.width == wide, "shape.ffn.width", f"{wide}, the teacher's, to start from it", block.width)


@torch.no_grad()
def start_from_teacher(student: Member, teacher: Classifier, pieces: Sequence[Sequence[int]]) -> None:
    """Copy the teacher's embedding and layers, and its head where both pool alike.

    A student with fewer layers has every k-th, the last one always. `pieces` are the teacher's pieces of each of the
    student's; their mean is where the student's word begins.
    """
    encoder, shape = teacher.encoder, student.shape
    check_teacher_start(shape, encoder.config)
    vectors, own = encoder.embeddings, student.embedding
    own.words.weight.copy_(torch.stack([vectors.vocabulary.weight[list(part)].mean(0) for part in pieces]))
    for mine, theirs in ((own.positions, vectors.positions), (own.types, vectors.types)):
        count = min(len(mine), len(theirs.weight))
        mine[:count] = theirs.weight[:count]
    _copy(own.norm, vectors.norm)
    kept = [(place + 1) * len(encoder.layers) // len(student.layers) - 1 for place in range(len(student.layers))]
    for place, layer in zip(kept, student.layers, strict=True):
        _copy_layer(layer, encoder.layers[place])
    if shape.pooling == teacher.pooling and shape.pooler == (teacher.pooling == "first"):
        if shape.pooler:
            _copy(student.pooler, encoder.pooler)
        _copy(student.classifier, teacher.head)


def _copy_layer(layer: Any, theirs: Any) -> None:
    for name in ("query", "key", "value", "output"):
        _copy(getattr(layer.attention, name), getattr(theirs.attention, name))
    _copy(layer.attention_norm, theirs.attention_norm)
    _copy(layer.ffn[0].linear1, theirs.up)
    _copy(layer.ffn[0].linear2, theirs.down)
    _copy(layer.ffn_norms[0], theirs.output_norm)


def _copy(mine: Any, theirs: Any) -> None:
    mine.weight.copy_(theirs.weight)
    mine.bias.copy_(theirs.bias)


def _alphas_to_set(student: Member, other: Member) -> set[str]:
    """Return the names of alphas, with their flags, of quantizers that have another precision in the other student."""
    before = {name: getattr(module, "bits", 1) for name, module in other.named_modules() if hasattr(module, "alpha")}
    return {
        f"{name}.{part}"
        for name, module in student.named_modules()
        if hasattr(module, "alpha") and before.get(name) != getattr(module, "bits", 1)
        for part in ("alpha", "initialised")
    }


def _projected(vectors: Tensor, width: int) -> Tensor:
    """Return vectors [V, G] in `width` dimensions, those that they differ most in, with a fixed deviation."""
    centred = vectors.detach().double().cpu()
    centred = centred - centred.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    kept = directions[:width]
    largest = kept.gather(1, kept.abs().argmax(1, keepdim=True))
    projected = centred @ (kept * largest.sign()).T  # the sign of a singular vector is arbitrary: fix it
    projected = torch.nn.functional.pad(projected, (0, width - projected.shape[1]))
    return projected / projected.std() * _WORD_DEVIATION


def _pieces(piece: str, teacher: Tokenizer, limit: int) -> list[int]:
    (ids,) = teacher.encode([piece.removeprefix("##")], limit=limit).ids
    return [int(index) for index in ids if index not in (teacher.cls, teacher.sep, teacher.unknown)]
