"""Where students start: word vectors of a teacher, and what two students have in common."""

import numpy as np
import pytest
import torch

from model.data.wordpiece import Tokenizer, train_tokenizer
from model.member import Member
from model.shape import Precision, Shape
from model.training.starts import piece_corpus, start_from_student, word_vectors

ALPHABET = "a b c d e f g h i j k l m n o p q r s t u v w x y z abcdefghijklmnopqrstuvwxyz "


def member(precision: str, seed: int = 1, **more: object) -> Member:
    torch.manual_seed(seed)
    sizes = {"layers": 2, "hidden": 16, "heads": 2, "positions": 8}
    own = Precision.uniform(*map(int, precision.split("-")))
    return Member(Shape(40, 2, precision=own, **{**sizes, **more}))  # type: ignore[arg-type]


def used(made: Member) -> Member:
    """Return a member whose quantizers are set."""
    ids = torch.randint(0, 40, (4, 6), generator=torch.Generator().manual_seed(2))
    made.train()
    made(ids, torch.ones_like(ids, dtype=torch.bool))
    return made.eval()


class TestFromStudent:
    def test_all_is_copied_at_the_same_precision(self) -> None:
        student, other = member("1-1-1"), used(member("1-1-1", seed=2))
        start_from_student(student, other)
        assert all(torch.equal(value, student.state_dict()[name]) for name, value in other.state_dict().items())

    @pytest.mark.parametrize(("before", "after"), [("32-32-32", "1-1-2"), ("1-1-2", "1-1-1"), ("1-1-4", "1-1-2")])
    def test_alphas_of_another_precision_are_set_by_the_first_batch(self, before: str, after: str) -> None:
        student, other = member(after), used(member(before, seed=2))
        start_from_student(student, other)
        own, given = student.state_dict(), other.state_dict()
        for name, value in own.items():
            kind = name.rpartition(".")[2]
            if kind in ("alpha", "initialised"):
                assert value == (1.0 if kind == "alpha" else False)
            elif name in given:
                assert torch.equal(value, given[name])
        assert {"layers.1.attention.query.weight", "embedding.words.weight"} <= set(given)
        used(student)
        assert all(value for name, value in student.state_dict().items() if name.endswith("initialised"))

    def test_what_the_other_lacks_stays(self) -> None:
        student, other = member("1-1-1", layers=3), used(member("1-1-1", seed=2))
        before = {name: value.clone() for name, value in student.state_dict().items()}
        start_from_student(student, other)
        name = "layers.2.attention.query.weight"
        assert torch.equal(student.state_dict()[name], before[name])
        assert torch.equal(student.classifier.weight, other.classifier.weight)

    def test_another_width_is_left_out(self) -> None:
        student, other = member("1-1-1"), used(member("1-1-1", seed=2, hidden=32))
        before = student.embedding.words.weight.clone()
        start_from_student(student, other)
        assert torch.equal(student.embedding.words.weight, before)

    def test_the_other_is_not_changed(self) -> None:
        student, other = member("1-1-1"), used(member("1-1-1", seed=2))
        before = {name: value.clone() for name, value in other.state_dict().items()}
        start_from_student(student, other)
        with torch.no_grad():
            student.classifier.weight.zero_()
        assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())

    def test_a_ternary_student_is_split(self) -> None:
        other = used(member("2-1-1", seed=2))
        student = member("1-1-1", split=True)
        start_from_student(student, other)
        ids = torch.randint(0, 40, (4, 6), generator=torch.Generator().manual_seed(3))
        mask = torch.ones_like(ids, dtype=torch.bool)
        student.eval()
        assert torch.equal(student(ids, mask).logits, other(ids, mask).logits)


class TestWordsFromTeacher:
    @pytest.fixture
    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        own = train_tokenizer([ALPHABET * 2, "lovely lovely film film"], 100)
        teacher = train_tokenizer([ALPHABET * 2, "film film script script"], 120)
        return own, teacher

    def test_the_teacher_reads_each_piece_alone(self, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
        own, theirs = tokenizers
        corpus = piece_corpus(own, theirs, 16)
        assert len(corpus) == own.size
        for piece, ids in zip(own.vocabulary, corpus.ids, strict=True):
            assert (ids[0], ids[-1]) == (theirs.cls, theirs.sep)
            if piece in theirs.vocabulary:
                assert ids[1:-1].tolist() == [theirs.vocabulary.index(piece)]

    def test_a_piece_that_the_teacher_lacks_is_read_in_parts(self, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
        own, theirs = tokenizers
        assert "lovely" in own.vocabulary
        assert "lovely" not in theirs.vocabulary
        ids = piece_corpus(own, theirs, 16).ids[own.vocabulary.index("lovely")]
        assert len(ids) > 3
        assert ids.tolist() == theirs.encode(["lovely"]).ids[0].tolist()

    def test_no_piece_is_longer_than_what_the_teacher_reads(self, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
        own, theirs = tokenizers
        corpus = piece_corpus(own, theirs, 5)
        assert corpus.lengths.max() == 5
        assert all((ids[0], ids[-1]) == (theirs.cls, theirs.sep) for ids in corpus.ids)

    @pytest.mark.parametrize(("width", "rank"), [(24, 24), (32, 24), (8, 8)])
    def test_likeness_is_kept_as_far_as_the_width_allows(self, width: int, rank: int) -> None:
        pooled = np.random.default_rng(1).normal(size=(50, 24)).astype(np.float32)
        words = word_vectors(pooled, width)
        assert words.shape == (50, width)
        assert np.linalg.matrix_rank(words) == rank
        assert words.std() == pytest.approx(0.04, rel=1e-2)
        if rank == 24:
            given = pooled - pooled.mean(0)
            scale = np.linalg.norm(words) / np.linalg.norm(given)
            assert np.allclose(words @ words.T, scale**2 * given @ given.T, atol=1e-5)
