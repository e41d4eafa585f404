"""What a run reads, and what is refused before anything is written."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.checks import NetworkError
from model.data.wordpiece import adapted_tokenizer, load_tokenizer, train_tokenizer
from model.training.checks import TrainingError
from model.training.data_recipe import DataRecipe
from model.training.inputs import Inputs, read_data, read_inputs, settle
from model.training.recipe import Recipe
from model.training.run import TOKENIZER, RunFolder
from tests.model.training.recipes import BAD, GOOD, sentence, write_rows

Refused = Callable[..., str]


def with_pieces(teacher: Path, folder: Path, pieces: list[str]) -> str:
    """Make a folder of a teacher with another tokenizer, and return its path as a recipe has it."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((teacher / name).read_bytes())
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    return str(folder)


class TestInputs:
    def test_the_tokenizer_is_learned_once(self, plain: dict[str, Any], tmp_path: Path) -> None:
        recipe = Recipe.from_dict(plain)
        made = read_inputs(recipe, tmp_path / "run")
        assert made.tokenizer.size <= 100
        assert (made.teacher_folder, made.teacher_tokenizer) == (None, None)
        with RunFolder(tmp_path / "run", recipe, resume=False) as folder:
            settle(folder, made)
            assert (folder.path / TOKENIZER).read_bytes() == made.tokenizer.to_bytes()
        assert read_inputs(recipe, tmp_path / "run").tokenizer.digest == made.tokenizer.digest

    def test_a_teacher_has_its_own(self, taught: dict[str, Any], teacher_folder: Path, tmp_path: Path) -> None:
        made: Inputs = read_inputs(Recipe.from_dict(taught), tmp_path)
        assert made.teacher_folder == teacher_folder
        assert made.teacher_tokenizer is not None
        assert made.teacher_tokenizer.size > made.tokenizer.size

    def test_pieces_of_the_teacher(self, taught: dict[str, Any], teacher_folder: Path, tmp_path: Path) -> None:
        taught["data"] |= {"pieces": "teacher", "vocabulary": 80}
        found = read_inputs(Recipe.from_dict(taught), tmp_path)
        teacher = load_tokenizer(teacher_folder / "vocab.txt")
        assert found.tokenizer.size == 80
        assert found.tokenizer.digest == adapted_tokenizer(teacher, found.dataset.train.texts, 80).digest
        assert found.tokenizer.digest != train_tokenizer(found.dataset.train.texts, 80).digest

    def test_a_teacher_that_reads_less(self, taught: dict[str, Any], tmp_path: Path, refused: Refused) -> None:
        taught["teacher"]["limit"] = 33
        message = refused(NetworkError, read_inputs, Recipe.from_dict(taught), tmp_path)
        assert message == "teacher.limit: must be an integer from 4 to 32, not 33"

    def test_a_teacher_with_another_tokenizer(
        self, taught: dict[str, Any], teacher_folder: Path, tmp_path: Path, refused: Refused
    ) -> None:
        pieces = (teacher_folder / "vocab.txt").read_text().splitlines()
        taught["teacher"]["source"] = with_pieces(teacher_folder, tmp_path / "teacher", [*pieces, "onemorepiece"])
        message = refused(TrainingError, read_inputs, Recipe.from_dict(taught), tmp_path)
        expected = f"a tokenizer of at most {len(pieces)} pieces, as the encoder has, not {len(pieces) + 1}"
        assert message == f"teacher.source: must have {expected}"

    def test_a_step_that_cannot_start_from_the_teacher(
        self, taught: dict[str, Any], tmp_path: Path, refused: Refused
    ) -> None:
        taught["chain"][0]["start"] = "teacher"
        message = refused(NetworkError, read_inputs, Recipe.from_dict(taught), tmp_path)
        assert message == "shape.hidden: must be 24, the teacher's, to start from it, not 16"

    def test_a_teacher_without_words(
        self, taught: dict[str, Any], teacher_folder: Path, tmp_path: Path, refused: Refused
    ) -> None:
        pieces = (teacher_folder / "vocab.txt").read_text().splitlines()
        wordless = [piece for piece in pieces if not (piece.isalpha() and len(piece) > 2)]
        taught["teacher"]["source"] = with_pieces(teacher_folder, tmp_path / "teacher", wordless)
        read_inputs(Recipe.from_dict(taught), tmp_path / "run")
        taught["data"]["jumble"] = 2
        message = refused(TrainingError, read_inputs, Recipe.from_dict(taught), tmp_path / "run")
        what = "must be 0 for a teacher whose tokenizer has no word of three letters or more, not 2"
        assert message == f"data.jumble: {what}"
        taught["teacher"]["source"] = str(teacher_folder)
        read_inputs(Recipe.from_dict(taught), tmp_path / "run")


class TestData:
    def rows(self, path: Path, labels: tuple[str, str], count: int = 60) -> Path:
        rng = random.Random(1)
        rows = [(f"{sentence(rng, (BAD, GOOD)[i % 2])} {i}", labels[i % 2]) for i in range(count)]
        return write_rows(path, ("text", "label"), rows)

    def test_too_few(self, texts: Path, refused: Refused) -> None:
        message = refused(TrainingError, read_data, DataRecipe(str(texts), examples=7))
        assert message == "texts: must be at least 8 examples to train on, not 7"

    def test_one_label(self, tmp_path: Path, refused: Refused) -> None:
        folder = tmp_path / "own"
        folder.mkdir()
        self.rows(folder / "train.csv", ("good", "good"))
        self.rows(folder / "test.csv", ("good", "bad"), 8)
        message = refused(TrainingError, read_data, DataRecipe(str(folder)))
        assert message == "own: must be examples of more than one label to train on, not of one alone"

    def test_no_words(self, tmp_path: Path, refused: Refused) -> None:
        rows = [("!?" * (number + 1), ("good", "bad")[number % 2]) for number in range(90)]
        path = write_rows(tmp_path / "signs.csv", ("text", "label"), rows)
        message = refused(TrainingError, read_data, DataRecipe(str(path)))
        assert message == "signs: must be texts with words to train on, not signs alone"

    def test_names_of_classes(self, tmp_path: Path, refused: Refused) -> None:
        path = self.rows(tmp_path / "own.csv", ("good", "b" * 101))
        message = refused(NetworkError, read_data, DataRecipe(str(path)))
        assert message.startswith("labels[0]: must be a text of 1 to 100 printable characters, not 'bbb")

    @pytest.mark.parametrize("long", [0, 1])
    def test_nothing_to_splice(self, long: int, tmp_path: Path, refused: Refused) -> None:
        folder = tmp_path / "own"
        folder.mkdir()
        texts = [f"word{number}" for number in range(20)]
        texts[:long] = [f"{text} again" for text in texts[:long]]
        for name, kept in (("train", texts), ("test", ["lovely", "dreary"])):
            rows = [(text, ("good", "bad")[place % 2]) for place, text in enumerate(kept)]
            write_rows(folder / f"{name}.csv", ("text", "label"), rows)
        read_data(DataRecipe(str(folder), replace=1))
        message = refused(TrainingError, read_data, DataRecipe(str(folder), splice=3))
        what = "must be 0 for own, which has no two training texts of two words or more, not 3"
        assert message == f"data.splice: {what}"

    def test_two_texts_to_splice(self, tmp_path: Path) -> None:
        rows = [(f"word{number}" + " again" * (number > 6), ("good", "bad")[number % 2]) for number in range(60)]
        path = write_rows(tmp_path / "own.csv", ("text", "label"), rows)
        assert read_data(DataRecipe(str(path), splice=3)).train
