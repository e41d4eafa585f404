"""Where students start: word vectors of a teacher, and what two students have in common."""

import numpy as np
import pytest
import torch

from model.checks import NetworkError
from model.data.wordpiece import Tokenizer, train_tokenizer
from model.encoder import Classifier, EncoderConfig
from model.expression import FeedForward
from model.member import Member
from model.shape import Precision, Shape
from model.training.starts import (
    check_teacher_start,
    piece_corpus,
    start_from_student,
    start_from_teacher,
    word_vectors,
)

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


class TestFromTeacher:
    """A student of full precision with all of the teacher's layers is the teacher."""

    CONFIG = EncoderConfig(40, 16, 6, 2, 48, positions=12)
    GELU = FeedForward("linear2(gelu(linear1(x)))", width=48)

    def teacher(self, pooling: str) -> Classifier:
        made = Classifier(self.CONFIG, 2, pooling, 3).eval()  # type: ignore[arg-type]
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for value in made.parameters():
                value.add_(0.3 * torch.randn(value.shape, generator=generator))
        return made

    def student(self, layers: int, pooling: str, *, pooler: bool, precision: str = "32-32-32") -> Member:
        more = {"ffn": (self.GELU,) * layers, "pooling": pooling, "pooler": pooler, "types": 2}
        return member(precision, layers=layers, **more).eval()

    @pytest.mark.parametrize("pooling", ["first", "mean"])
    def test_all_layers_give_the_teacher(self, pooling: str) -> None:
        teacher, student = self.teacher(pooling), self.student(6, pooling, pooler=pooling == "first")
        start_from_teacher(student, teacher, [[index] for index in range(40)])
        generator = torch.Generator().manual_seed(7)
        ids, types = (torch.randint(0, high, (5, 8), generator=generator) for high in (40, 2))
        mask = torch.arange(8) < torch.tensor([[8], [3], [5], [1], [7]])
        found, wanted = student(ids, mask, types), teacher(ids, mask, types)
        assert torch.allclose(found.logits, wanted.logits, atol=1e-5)
        for mine, theirs in zip(found.hidden, wanted.hidden, strict=True):
            assert torch.allclose(mine[mask], theirs[mask], atol=1e-5)

    @pytest.mark.parametrize(("layers", "kept"), [(1, [5]), (2, [2, 5]), (3, [1, 3, 5]), (4, [0, 2, 3, 5])])
    def test_fewer_layers_are_chosen_evenly(self, layers: int, kept: list[int]) -> None:
        teacher, student = self.teacher("mean"), self.student(layers, "mean", pooler=False, precision="1-1-1")
        start_from_teacher(student, teacher, [[index] for index in range(40)])
        for place, layer in zip(kept, student.layers, strict=True):
            assert torch.equal(layer.get_parameter("ffn.0.linear1.weight"), teacher.encoder.layers[place].up.weight)

    def test_a_word_is_the_mean_of_the_teachers_pieces(self) -> None:
        teacher, student = self.teacher("mean"), self.student(2, "mean", pooler=False)
        start_from_teacher(student, teacher, [[1, 2, 4], *([index] for index in range(39))])
        rows = teacher.encoder.embeddings.vocabulary.weight
        assert torch.allclose(student.embedding.words.weight[0], rows[[1, 2, 4]].mean(0))
        assert torch.equal(student.embedding.words.weight[39], rows[38])

    @pytest.mark.parametrize("theirs", ["first", "mean"])
    @pytest.mark.parametrize("mine", ["first", "mean"])
    @pytest.mark.parametrize("pooler", [False, True])
    def test_the_head_is_left_out_where_the_pooling_differs(self, theirs: str, mine: str, pooler: bool) -> None:
        teacher, student = self.teacher(theirs), self.student(2, mine, pooler=pooler)
        before = student.classifier.weight.clone()
        start_from_teacher(student, teacher, [[index] for index in range(40)])
        alike = (theirs, mine, pooler) in (("first", "first", True), ("mean", "mean", False))
        assert torch.equal(student.classifier.weight, teacher.head.weight if alike else before)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"hidden": 8}, "shape.hidden: must be 16, the teacher's, to start from it, not 8"),
            (
                {"positions": 13},
                "data.limit: must be at most 12, the positions of the teacher, to start from it, not 13",
            ),
            ({"heads": 4}, "shape.heads: must be 2, the teacher's, to start from it, not 4"),
            ({"ffn": (GELU,) * 7, "layers": 7}, "shape.layers: must be at most 6, the teacher's"),
            ({"ffn": (FeedForward(width=32),) * 2}, "shape.ffn.width: must be 48, the teacher's"),
            ({"ffn": (FeedForward(width=48, stack=2),) * 2}, "shape.ffn: must be of one block"),
            ({"ffn": (FeedForward("linear2(add(linear1(x), x))", width=48),) * 2}, "shape.ffn: must be of one block"),
        ],
    )
    def test_another_shape_is_refused(self, changes: dict[str, object], message: str) -> None:
        sizes = {"layers": 2, "hidden": 16, "heads": 2, "ffn": (self.GELU,) * 2, "positions": 8}
        shape = Shape(40, 2, **{**sizes, **changes})  # type: ignore[arg-type]
        with pytest.raises(NetworkError) as caught:
            check_teacher_start(shape, self.CONFIG)
        assert str(caught.value).startswith(message)
        student = Member(shape)
        before = {name: value.clone() for name, value in student.state_dict().items()}
        with pytest.raises(NetworkError) as caught:
            start_from_teacher(student, self.teacher("mean"), [[index] for index in range(40)])
        assert str(caught.value).startswith(message)
        assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())

    def test_as_many_positions_as_the_teacher_has(self) -> None:
        check_teacher_start(Shape(40, 2, layers=6, hidden=16, heads=2, ffn=(self.GELU,), positions=12), self.CONFIG)
