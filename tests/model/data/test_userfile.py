import json

import numpy as np
import pytest

from model.data.errors import DataError
from model.data.userfile import Columns, load_user

SAY_LABEL = "; say --columns label=NAME, or data.columns in a recipe"

COUNT = 60


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def file(text, name="mine.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return file


@pytest.fixture
def wrong(write, refused):
    """Return a function that gives the message about a file with these lines, from the name of the file on."""

    def message(lines, columns=None, name="mine.csv"):
        path = write(lines, name)
        return refused(DataError, load_user, path, columns).removeprefix(f"{path.parent}/")

    return message


def lines(count=COUNT, start=0):
    return "".join(f"text {number},{'yes' if number % 3 else 'no'}\n" for number in range(start, start + count))


def every(dataset):
    return [text for split in dataset.splits.values() for text in split.texts]


def test_a_file_is_cut_once_and_for_all(write):
    dataset = load_user(write("text,label\n" + lines()))
    assert dataset.name == dataset.task.name == "mine"
    assert dataset.task.labels == ("no", "yes")
    assert dataset.task.metrics == ("accuracy",)
    assert {part: len(split) for part, split in dataset.splits.items()} == {"train": 40, "dev": 7, "test": 13}
    assert sorted(every(dataset)) == sorted(f"text {number}" for number in range(COUNT))
    for split in dataset.splits.values():
        for text, label in zip(split.texts, split.labels, strict=True):
            assert label == bool(int(text.split()[1]) % 3)
    assert dataset.digest == load_user(write("text,label\n" + lines(), "other.csv")).digest


def test_an_added_example_moves_no_other(write):
    before = load_user(write("text,label\n" + lines()))
    after = load_user(write("text,label\n" + lines(10, COUNT) + lines()))
    for part, split in before.splits.items():
        assert set(split.texts) <= set(after.splits[part].texts)


@pytest.mark.parametrize("name", ["mine.csv", "mine.tsv", "mine.jsonl"])
def test_all_kinds_say_the_same(write, name):
    rows = [line.split(",") for line in lines().splitlines()]
    text = {
        ".csv": "label,more,text\n" + "".join(f'{label},x,"{text}"\n' for text, label in rows),
        ".tsv": "label\tmore\ttext\n" + "".join(f"{label}\tx\t{text}\n" for text, label in rows),
        ".jsonl": "".join(json.dumps({"label": label, "more": 1, "text": text}) + "\n" for text, label in rows),
    }[name[4:]]
    assert load_user(write(text, name)).digest == load_user(write("text,label\n" + lines(), "other.csv")).digest


def test_columns_have_other_names(write):
    columns = Columns(text="body", pair="title", label="class")
    text = "class,title,body,text2\n" + "".join(f"{n % 2},title {n},body {n},x\n" for n in range(COUNT))
    dataset = load_user(write(text), columns)
    assert dataset.task.pairs and dataset.task.labels == ("0", "1")
    assert dataset.train.texts[0].startswith("body")
    assert dataset.train.pairs[0].startswith("title")


def test_declared_labels_keep_their_order(write):
    text = "text,label\n" + lines()
    dataset = load_user(write(text), Columns(labels=("yes", "no", "maybe")))
    assert dataset.task.labels == ("yes", "no", "maybe")
    assert set(np.concatenate([split.labels for split in dataset.splits.values()])) == {0, 1}


def test_labels_of_json_may_be_numbers(write):
    text = "".join(json.dumps({"text": f"text {n}", "label": n % 2}) + "\n" for n in range(COUNT))
    assert load_user(write(text, "mine.jsonl")).task.labels == ("0", "1")


def test_scores(write):
    text = "text,label\n" + "".join(f"text {n},{n / 20}\n" for n in range(COUNT))
    dataset = load_user(write(text), Columns(score_range=(0.0, 3.0)))
    assert dataset.task.regression and dataset.task.metrics == ("pearson", "spearman")
    for split in dataset.splits.values():
        for line, score in zip(split.texts, split.labels, strict=True):
            assert score == np.float32(int(line.split()[1]) / 20)


@pytest.mark.parametrize("column", ["group", "text"])
def test_a_group_stays_together(write, column):
    """Without a column for groups, examples with the same first text are one."""
    text = f"{column},{'text' if column == 'group' else 'text2'},label\n"
    text += "".join(f"group {n % 40},words {n},{n % 2}\n" for n in range(200))
    dataset = load_user(write(text))
    groups = [set(split.groups) for split in dataset.splits.values()]
    assert sum(len(group) for group in groups) == 40
    assert len(set.union(*groups)) == 40


def test_a_folder_keeps_its_splits(write, tmp_path):
    write("text,label\n" + lines(20), "set/train.csv")
    write("text\tlabel\nnew one\tyes\n", "set/dev.tsv")
    write('{"text": "new two", "label": "no"}', "set/test.jsonl")
    dataset = load_user(tmp_path / "set")
    assert (dataset.name, len(dataset.train), dataset.dev.texts, dataset.test.texts) == (
        "set",
        20,
        ("new one",),
        ("new two",),
    )
    assert dataset.source == f"{tmp_path}/set, on the terms of its owner"


def test_a_folder_without_dev_has_it_cut_from_train(write, tmp_path):
    write("text,label\n" + lines(), "set/train.csv")
    write("text,label\nother one,yes\n", "set/test.csv")
    dataset = load_user(tmp_path / "set")
    assert (len(dataset.train), len(dataset.dev), len(dataset.test)) == (54, 6, 1)


def test_what_stands_in_test_leaves_train(write, tmp_path):
    write("text,label\nText 3!,no\nalone,yes\n", "set/test.csv")
    write("text,label\ntext 5,yes\n", "set/dev.csv")
    write("text,label\n" + lines(20), "set/train.csv")
    dataset = load_user(tmp_path / "set")
    assert set(every(dataset)) == {"Text 3!", "alone"} | {f"text {n}" for n in range(20) if n != 3}
    assert dataset.test.texts == ("Text 3!", "alone")
    assert dataset.source.endswith("; 2 examples of train or dev that also stand in test or dev left out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label\n", "mine.csv: must be a file with examples, not a header alone"),
        (
            "text,class\na,b\n",
            f"mine.csv: line 2: must be a record with 'label', not ['text', 'class']{SAY_LABEL}",
        ),
        (
            "texts,label\na,b\n",
            "mine.csv: line 2: must be a record with 'text', not ['texts', 'label']; did you mean 'texts'?",
        ),
        ("text,label\na,b\n ,c\n", "mine.csv: line 3: text: must be a text with at least one letter or sign, not ' '"),
        ("text,label\na,b\nc,\n", "mine.csv: line 3: label: must be a word or a number, not ''"),
        (
            "text,text2,label\na,b,c\nd,,e\n",
            "mine.csv: line 3: text2: must be a text with at least one letter or sign, not ''",
        ),
        ("text,group,label\na,b,c\nd,,e\n", "mine.csv: line 3: group: must be a word or a number, not ''"),
        (
            f"text,label\n{'x' * 100_001},a\n",
            "mine.csv: line 2: text: must be at most 100000 characters, not 100001; cut it first",
        ),
        (
            "text,label\na,b\nc,b\n",
            f"mine.csv: label: must be from 2 to 1000 different labels, not 1{SAY_LABEL}",
        ),
        (
            "text,label\n" + "".join(f"text {n},{n}\n" for n in range(1001)),
            f"mine.csv: label: must be from 2 to 1000 different labels, not 1001{SAY_LABEL}",
        ),
        (
            "text,label\na,b\nc,d\n",
            "mine.csv: must be enough examples for train, dev and test, not 2, none of them in dev",
        ),
    ],
)
def test_a_wrong_file_is_refused(wrong, text, message):
    assert wrong(text) == message


def test_an_unknown_label_is_refused(wrong):
    expected = "mine.csv: line 3: label: must be one of 'yes, no', not 'Yes'; did you mean 'yes'?"
    assert wrong("text,label\na,yes\nb,Yes\n", Columns(labels=("yes", "no"))) == expected


@pytest.mark.parametrize("score", ["5.5", "-1", "nan", "inf", "high"])
def test_a_wrong_score_is_refused(wrong, score):
    message = wrong(f"text,label\na,1\nb,{score}\n", Columns(score_range=(0.0, 5.0)))
    assert message == f"mine.csv: line 3: label: must be a number from 0 to 5, not '{score}'"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": 1, "label": "a"}, "line 2: text: must be a text, not 1"),
        (
            {"text": "\ud800", "label": "a"},
            "line 2: text: must be text that UTF-8 can hold, without NUL, not U+D800 at character 1",
        ),
        ({"text": "a", "label": True}, "line 2: label: must be a word or a number, not True"),
        ({"text": "a", "label": None}, "line 2: label: must be a word or a number, not None"),
        (
            {"label": "a"},
            "line 2: must be a record with 'text', not ['label']; say --columns text=NAME, or data.columns in a recipe",
        ),
        (
            {"text": "a", "label": "a", "text2": "b"},
            "line 2: must be a record without 'text2', as the first one, not ['text', 'label', 'text2']",
        ),
    ],
)
def test_a_wrong_object_is_refused(wrong, record, message):
    text = '{"text": "a", "label": "a"}\n' + json.dumps(record)
    assert wrong(text, name="mine.jsonl") == f"mine.jsonl: {message}"


def test_a_wrong_folder_is_refused(write, tmp_path, refused):
    def message():
        return refused(DataError, load_user, tmp_path / "set").removeprefix(f"{tmp_path}/")

    assert message() == "set: must be a file or a folder, not missing"
    write("text,label\na,b\n", "set/train.csv")
    hint = "; a single file is cut by itself"
    assert message() == f"set: must be a folder with test.csv or test.tsv or test.jsonl, not without{hint}"
    write("text,label\nc,b\n", "set/test.csv")
    write("text\tlabel\nd\tb\n", "set/test.tsv")
    assert message() == "set: must be a folder with one test file, not ['test.csv', 'test.tsv']"
    (tmp_path / "set" / "test.tsv").unlink()
    write("text,text2,label\ne,f,c\n", "set/dev.csv")
    assert message() == "set: must be a folder with 'text2' in all files or in none, not one with it in some"
