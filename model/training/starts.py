"""Where a student's weights come from: a fresh seed, the teacher's word vectors, or an earlier student."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from model.data.wordpiece import Tokenizer
from model.member import Member
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
