"""Where students start: word vectors of a teacher, and what two students have in common."""

import pytest
import torch

from model.data.wordpiece import Tokenizer, train_tokenizer
from model.encoder import Encoder, EncoderConfig
from model.member import Member
from model.shape import Precision, Shape
from model.training.starts import start_from_student, start_words_from_teacher

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

    @pytest.fixture
    def teacher(self, tokenizers: tuple[Tokenizer, Tokenizer]) -> Encoder:
        config = EncoderConfig(tokenizers[1].size, hidden=24, layers=1, heads=2, intermediate=8, positions=16)
        return Encoder(config, generator=torch.Generator().manual_seed(4))

    def test_likeness_is_kept(self, tokenizers: tuple[Tokenizer, Tokenizer], teacher: Encoder) -> None:
        own, theirs = tokenizers
        student = Member(Shape(own.size, 2, layers=1, hidden=24, heads=2, positions=8))
        start_words_from_teacher(student, own, teacher, theirs)
        shared = [piece for piece in own.vocabulary if piece in theirs.vocabulary and piece != "[PAD]"]
        ours = student.embedding.words.weight[[own.vocabulary.index(piece) for piece in shared]].detach()
        given = teacher.embeddings.vocabulary.weight.detach()
        given = (given - given.mean(0))[[theirs.vocabulary.index(piece) for piece in shared]]
        assert len(shared) > 50
        scale = ours.norm() / given.norm()
        assert torch.allclose(ours @ ours.T, scale**2 * given @ given.T, atol=1e-4)

    def test_a_piece_that_the_teacher_lacks_is_the_mean_of_its_parts(
        self, tokenizers: tuple[Tokenizer, Tokenizer], teacher: Encoder
    ) -> None:
        own, theirs = tokenizers
        student = Member(Shape(own.size, 2, layers=1, hidden=16, heads=2, positions=8))
        start_words_from_teacher(student, own, teacher, theirs)
        assert "lovely" in own.vocabulary
        assert "lovely" not in theirs.vocabulary
        (parts,) = theirs.encode(["lovely"]).ids
        names = [theirs.vocabulary[part] for part in parts[1:-1]]
        assert len(names) > 1
        words = student.embedding.words.weight
        expected = torch.stack([words[own.vocabulary.index(name)] for name in names]).mean(0)
        assert torch.allclose(words[own.vocabulary.index("lovely")], expected, atol=1e-6)

    @pytest.mark.parametrize("width", [8, 24, 32])
    def test_any_width(self, width: int, tokenizers: tuple[Tokenizer, Tokenizer], teacher: Encoder) -> None:
        own, theirs = tokenizers
        made = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            student = Member(Shape(own.size, 2, layers=1, hidden=width, heads=2, positions=8))
            start_words_from_teacher(student, own, teacher, theirs)
            made.append(student.embedding.words.weight.detach())
        different = (made[0] != made[1]).any(1).nonzero().flatten().tolist()
        assert set(different) <= {own.pad, *(i for i, piece in enumerate(own.vocabulary) if piece not in "[PAD]")}
        assert torch.equal(made[0][own.vocabulary.index("film")], made[1][own.vocabulary.index("film")])
