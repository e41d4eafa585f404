"""tallybert train on wrong input: one line, exit code 2, nothing written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.model.training.recipes import tiny_recipe, write_texts

Refusal = Callable[..., str]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts.csv")


@pytest.fixture
def refuse(tmp_path: Path, refusal: Refusal) -> Callable[..., str]:
    """Return a function that trains a recipe, given as text or data, and returns the line without the file's name."""

    def refused(recipe: str | dict[str, Any] | bytes, *arguments: str) -> str:
        path = tmp_path / "recipe.yaml"
        data = (
            recipe
            if isinstance(recipe, bytes)
            else (recipe if isinstance(recipe, str) else json.dumps(recipe)).encode()
        )
        path.write_bytes(data)
        message = refusal("train", str(path), "-o", str(tmp_path / "run"), *arguments)
        assert not (tmp_path / "run").exists()
        return message.removeprefix(str(path))

    return refused


RECIPE = """name: mine
seed: 1
data:
  set: tweets
chain:
  - name: float
    precision: 32-32-32
    epochs: 2
  - name: bits
    precision: 1-1-1
    losses:
      label: 1
ensemble:
  members: 2
"""
WRONG = [
    ("seed: 1", "seeed: 1", ":2: seeed: must be one of name, seed, data, teacher, shape, chain, ensemble, calibration"),
    ("seed: 1", "seed: one", ":2: seed: must be an integer from 0 to 2147483647, not 'one'"),
    ("seed: 1", "seed: 1.5", ":2: seed: must be an integer from 0 to 2147483647, not 1.5"),
    ("  set: tweets", "  set: tweets\n  limit: 0", ":5: data.limit: must be an integer from 4 to 512, not 0"),
    ("  set: tweets", "  st: tweets", ":4: data.st: must be one of set, columns, limit, "),
    ("data:\n  set: tweets", "data:", ":3: data: must be a mapping of set, columns, limit, "),
    ("epochs: 2", "epochs: -2", ":8: chain[0].epochs: must be a number from 0.01 to 10000, not -2"),
    ("epochs: 2", "epoch: 2", ":8: chain[0].epoch: must be one of name, precision, start, teacher, split, epochs, "),
    (
        "precision: 1-1-1",
        "precision: 1-1",
        ":10: chain[1].precision: must be weights-embedding-activations as in 1-1-2",
    ),
    ("precision: 1-1-1", "precision: 2-1-1", ":10: chain[1].precision: must be 1-1-A in the last step, "),
    ("label: 1", "lable: 1", ":12: chain[1].losses.lable: must be one of label, logits, sentence, hidden, "),
    ("label: 1", "label: no", ":12: chain[1].losses.label: must be a number from 0 to 1e+06, not 'no'"),
    ("members: 2", "members: 65", ":14: ensemble.members: must be an integer from 1 to 64, not 65"),
    ("members: 2", "membrs: 2", ":14: ensemble.membrs: must be one of members, method, mode, "),
    ("name: mine\n", "", ":1: name: must be given, not left out"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[new.strip()[:30] for _, new, _ in WRONG])
def test_the_line_of_what_is_wrong(old: str, new: str, message: str, refuse: Callable[..., str]) -> None:
    assert old in RECIPE
    assert refuse(RECIPE.replace(old, new)).startswith(message)


def test_a_suggestion(refuse: Callable[..., str]) -> None:
    assert refuse(RECIPE.replace("members: 2", "membrs: 2")).endswith(", not 'membrs'; did you mean 'members'?")


FILES = [
    (b"", ": must hold settings, not nothing"),
    (b"- name: x\n", ":1: must hold keys such as 'name:', not a list"),
    (b"just text\n", ":1: must hold keys such as 'name:', not just text"),
    (b"name: [x\n", ":2: must be YAML, but "),
    (b"name: x\nname: y\n", ":2: must have each key once, not 'name' twice; line 1 has it too"),
    (b"name: &a x\n", ":1: must have no anchor, not '&a'; remove it"),
    (b"name: !!python/object:os.system x\n", ":1: must have no tag, not "),
    (b"name: \xff\n", ":1: must be UTF-8 text, not the byte 0xff; save the file as UTF-8"),
    (b"PK\x03\x04", ": must be a YAML text file, not a zip archive"),
    (b"a: " * 5000, ":1: "),
    (b"x" * (2 << 20), ": must be at most 1048576 bytes, not 2097152"),
]


@pytest.mark.parametrize(("data", "message"), FILES, ids=[repr(data[:16]) for data, _ in FILES])
def test_a_file_that_is_no_recipe(data: bytes, message: str, refuse: Callable[..., str]) -> None:
    assert refuse(data).startswith(message)


@pytest.mark.parametrize("cut", range(0, len(RECIPE), 23))
def test_a_recipe_that_is_cut_short(cut: int, tmp_path: Path, refuse: Callable[..., str]) -> None:
    # Cut between two values it may be a whole recipe of something else: here that ends at the missing chain or set.
    data = RECIPE[:cut]
    if "precision: 1-1-1" not in data:
        assert refuse(data).startswith(":")


class TestData:
    def test_an_unknown_set(self, refuse: Callable[..., str]) -> None:
        message = refuse(RECIPE.replace("tweets", "twets"))
        assert message.startswith("dataset: must be one of rt, subj, tweets, ")
        assert message.endswith("not 'twets'; did you mean 'tweets'?")

    def test_a_missing_file(self, refuse: Callable[..., str]) -> None:
        assert refuse(RECIPE.replace("tweets", "no.csv")) == "no.csv: must be a file or a folder, not missing"

    def test_glue_without_its_folder(self, refuse: Callable[..., str], tmp_path: Path) -> None:
        glue = RECIPE.replace("tweets", "glue/RTE")
        assert "--glue" in refuse(glue)
        assert str(tmp_path / "no") in refuse(glue, "--glue", str(tmp_path / "no"))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", ": must be a file with examples, not empty"),
            ("text,label\n", ": must be a file with examples, not a header alone"),
            ("text,lable\na,b\n", ": line 2: must be "),
            ("text,label\n,good\n", ": line 2: text: must be a text with at least one letter or sign, not ''"),
            ('text,label\n"a good film,good\n', ": line 2: must be CSV, not a record with: "),
            (
                "text,label\n" + "x" * 100_001 + ",good\n",
                ": line 2: text: must be at most 100000 characters, not 100001",
            ),
        ],
        ids=lambda value: value[:20],
    )
    def test_a_wrong_file(self, content: str, message: str, refuse: Callable[..., str], tmp_path: Path) -> None:
        path = tmp_path / "own.csv"
        path.write_text(content)
        data = tiny_recipe(path)
        assert refuse(data).startswith(f"{path}{message}")

    def test_a_column_of_another_name(self, refuse: Callable[..., str], texts: Path) -> None:
        data = tiny_recipe(texts)
        data["data"]["columns"] = {"text": "body"}
        assert refuse(data).startswith(f"{texts}: line 2: must be ")

    def test_no_words_for_a_vocabulary(self, refuse: Callable[..., str], tmp_path: Path) -> None:
        path = tmp_path / "own.csv"
        rows = "".join(f"word {number},{number % 2}\n" for number in range(60))
        path.write_text(f"text,label\n{rows}")
        message = refuse(tiny_recipe(path))
        assert message.startswith("texts: must be texts with at least 64 pieces, not ")

    def test_a_label_that_no_network_can_hold(self, refuse: Callable[..., str], tmp_path: Path, texts: Path) -> None:
        path = tmp_path / "own.csv"
        path.write_text(texts.read_text().replace(",bad", "," + "b" * 101))
        assert refuse(tiny_recipe(path)).startswith("labels[0]: must be a text of 1 to 100 printable characters, not ")


class TestTeacher:
    def test_a_missing_folder(self, refuse: Callable[..., str], texts: Path) -> None:
        message = refuse(tiny_recipe(texts) | {"teacher": {"source": "no/such"}})
        assert message.startswith("no/such/tokenizer.json: must be readable, not fail with: No such file or directory")

    def test_an_empty_folder(self, refuse: Callable[..., str], texts: Path, tmp_path: Path) -> None:
        (tmp_path / "teacher").mkdir()
        (tmp_path / "teacher" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]")
        message = refuse(tiny_recipe(texts) | {"teacher": {"source": str(tmp_path / "teacher")}})
        assert message.startswith(f"{tmp_path / 'teacher' / 'vocab.txt'}: vocabulary: must be from 64 to ")


ARGUMENTS = [
    (("ci", "--config", "ci"), "--config must be left out where RECIPE is given: choose one"),
    (("nosuch",), "recipe must be a YAML file or one of ci, default, not 'nosuch'"),
    (("c1",), "recipe must be a YAML file or one of ci, default, not 'c1'"),
    (("no.yaml",), "no.yaml: must be a file, but it does not exist"),
    (("ci", "--threads", "0"), "--threads: must be an integer from 1 to 256, not 0"),
    (("ci", "--threads", "x"), "--threads: must be an integer in decimal, not 'x'"),
    (("ci", "--seed", "-1"), "--seed: must be an integer from 0 to 2147483647, not -1"),
    (("ci", "--save-every", "-1"), "--save-every: must be seconds from 0 to 86400, not '-1'"),
    (("ci", "--save-every", "nan"), "--save-every: must be seconds from 0 to 86400, not 'nan'"),
    (("ci", "--device", "gpu"), "--device: must be one of auto, cpu, cuda, not 'gpu'; did you mean 'cpu'?"),
    (("ci", "--output", ""), "-o/--output: must be a folder to write to, not empty"),
    (("ci", "--resum"), "train has no argument '--resum'; did you mean '--resume'?"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS, ids=lambda value: str(value)[:40])
def test_arguments(
    arguments: tuple[str, ...], message: str, refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal("train", *arguments) == message
    assert list(tmp_path.iterdir()) == []
