"""GLUE's files as published: small ones, written here in each format, and the real ones where a folder has them."""

import numpy as np
import pytest

from model.data.errors import DataError
from model.data.glue import LAYOUTS, load_glue, read_rows
from model.data.text import normalise

COUNT = 150
PARSE = "( a parse )\t( b parse )\t(ROOT a)\t(ROOT b)"
MNLI = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse"
    "\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2"
)
MNLI_LABELS = ("entailment", "neutral", "contradiction")
ENTAILMENT = ("entailment", "not_entailment")


def cola(n):
    return f'gj04\t{n % 2}\t{"" if n % 2 else "*"}\tThe {n} "sailor rode.'


def sst(n):
    return f'the {n} film is a "fine piece of work number {n} \t{n % 2}'


def mrpc(n):
    return f'{n % 2}\t{n}\t{n + 9000}\tHe said "one {n}.\tShe said {n}.'


def stsb(n):
    return f'{n}\tmain-news\theadlines\t2015\t{n:04}\tnone\tnone\tA "man {n}.\tA woman {n}.\t{n % 11 / 2:.3f}'


def qqp(n):
    return f'{n}\t{2 * n + 1}\t{2 * n + 2}\tWhat is {n}?\tWhy "is {n}?\t{n % 2}'


def mnli_train(n):
    label = MNLI_LABELS[n % 3]
    return f'{n}\t{n}\t{n}e\tfiction\t{PARSE}\tPremise "{n}.\tHypothesis {n}.\t{label}\t{label}'


def mnli_dev(n):
    labels = "\t".join([MNLI_LABELS[n % 3]] * 6)
    return f'{n}\t{n}\t{n}e\tfiction\t{PARSE}\tPremise "{n}.\tHypothesis {n}.\t{labels}'


def qnli(n):
    return f'{n}\tWhat "is {n}?\tIt is {n}.\t{ENTAILMENT[n % 2]}'


MNLI_DEV = f"{MNLI}\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label"
STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
PUBLISHED = {
    "CoLA": {"train.tsv": ("", cola), "dev.tsv": ("", cola)},
    "SST-2": {"train.tsv": ("sentence\tlabel", sst), "dev.tsv": ("sentence\tlabel", sst)},
    "MRPC": dict.fromkeys(("train.tsv", "dev.tsv"), ("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String", mrpc)),
    "STS-B": dict.fromkeys(("train.tsv", "dev.tsv"), (STSB, stsb)),
    "QQP": dict.fromkeys(("train.tsv", "dev.tsv"), ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", qqp)),
    "MNLI": {
        "train.tsv": (f"{MNLI}\tlabel1\tgold_label", mnli_train),
        "dev_matched.tsv": (MNLI_DEV, mnli_dev),
        "dev_mismatched.tsv": (MNLI_DEV, mnli_dev),
    },
    "QNLI": dict.fromkeys(("train.tsv", "dev.tsv"), ("index\tquestion\tsentence\tlabel", qnli)),
    "RTE": dict.fromkeys(("train.tsv", "dev.tsv"), ("index\tsentence1\tsentence2\tlabel", qnli)),
}
FIRST = {
    "CoLA": ('The 1000 "sailor rode.', None, 0),
    "SST-2": ('the 1000 film is a "fine piece of work number 1000', None, 0),
    "MRPC": ('He said "one 1000.', "She said 1000.", 0),
    "STS-B": ('A "man 1000.', "A woman 1000.", 5.0),
    "QQP": ("What is 1000?", 'Why "is 1000?', 0),
    "MNLI": ('Premise "1000.', "Hypothesis 1000.", 1),
    "MNLI-mm": ('Premise "2000.', "Hypothesis 2000.", 2),
    "QNLI": ('What "is 1000?', "It is 1000.", 0),
    "RTE": ('What "is 1000?', "It is 1000.", 0),
}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a task as published, some files with other lines, and gives the folder."""

    def task(name, end="\n", **lines):
        for file, (header, line) in PUBLISHED[name].items():
            start = {"train.tsv": 0, "dev_mismatched.tsv": 2000}.get(file, 1000)
            own = lines.get(file.split(".")[0], [line(start + n) for n in range(COUNT if start == 0 else 3)])
            path = tmp_path / name / file
            path.parent.mkdir(exist_ok=True)
            path.write_bytes((end.join([*([header] if header else []), *own]) + end).encode())
        return tmp_path

    return task


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_task_is_read_as_published(write, name, end):
    dataset = load_glue(write(name.removesuffix("-mm"), end), name)
    text, pair, label = FIRST[name]
    assert dataset.name == dataset.task.name == f"glue/{name}"
    assert (dataset.test.texts[0], dataset.test.labels[0]) == (text, label)
    assert (dataset.test.pairs and dataset.test.pairs[0]) == pair
    assert len(dataset.test) == 3
    assert len(dataset.train) + len(dataset.dev) == COUNT
    assert len(dataset.dev) < COUNT / 5
    assert dataset.task.pairs == (name not in ("CoLA", "SST-2"))


def test_metrics_and_classes_are_those_of_the_benchmark():
    found = {name: (layout.task.metrics, layout.task.classes) for name, layout in LAYOUTS.items()}
    assert found == {
        "CoLA": (("mcc",), 2),
        "SST-2": (("accuracy",), 2),
        "MRPC": (("accuracy", "f1"), 2),
        "STS-B": (("pearson", "spearman"), 1),
        "QQP": (("accuracy", "f1"), 2),
        "MNLI": (("accuracy",), 3),
        "MNLI-mm": (("accuracy",), 3),
        "QNLI": (("accuracy",), 2),
        "RTE": (("accuracy",), 2),
    }
    assert LAYOUTS["STS-B"].task.score_range == (0.0, 5.0)
    assert LAYOUTS["MNLI"].task.labels == MNLI_LABELS
    assert LAYOUTS["RTE"].task.labels == LAYOUTS["QNLI"].task.labels == ENTAILMENT


def test_both_mnli_tasks_train_on_the_same(write):
    folder = write("MNLI")
    matched, other = load_glue(folder, "MNLI"), load_glue(folder, "MNLI-mm")
    assert (matched.train.digest, matched.dev.digest) == (other.train.digest, other.dev.digest)
    assert matched.test.digest != other.test.digest


def test_a_premise_is_in_one_part(write):
    lines = [f"{n}\tPremise {n % 40}.\tHypothesis {n}.\tentailment" for n in range(400)]
    dataset = load_glue(write("RTE", train=lines), "RTE")
    assert set(dataset.train.texts).isdisjoint(dataset.dev.texts)
    assert len(set(dataset.train.texts) | set(dataset.dev.texts)) == 40


def test_a_sentence_of_a_pair_is_in_one_part(write):
    lines = [stsb(n).replace(f"woman {n}.", f"woman {n // 2}.") for n in range(200)]
    dataset = load_glue(write("STS-B", train=lines), "STS-B")
    train, dev = (
        {text for pair in zip(it.texts, it.pairs, strict=True) for text in pair} for it in (dataset.train, dataset.dev)
    )
    assert train.isdisjoint(dev)


def test_what_stands_in_test_leaves_train(write):
    dataset = load_glue(write("RTE", dev=[qnli(5), qnli(6), qnli(1000)]), "RTE")
    assert len(dataset.test) == 3
    assert len(dataset.train) + len(dataset.dev) == COUNT - 2
    assert set(dataset.test.texts).isdisjoint(dataset.train.texts + dataset.dev.texts)


def test_a_question_may_run_over_the_end_of_its_line(write):
    lines = [qqp(n) for n in range(COUNT)]
    lines[7:8] = ["7\t15\t16\tWhat is", '"this\tWhy is 7?\t1']
    lines[100] = "99\t199\t200\tWhat is 99?\t\t0"
    path = write("QQP", train=lines) / "QQP" / "train.tsv"
    rows = read_rows(path, LAYOUTS["QQP"])
    assert len(rows) == COUNT
    assert (*rows[7][1:3], rows[7].pair) == ('What is "this', 1, "Why is 7?")
    assert (rows[99].text, rows[99].pair) == ("What is 99?", "")


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("CoLA", "gj04\t1\tThe sailor.", "line 2: must be 4 columns, not 3"),
        ("CoLA", "gj04\t2\t\tThe sailor.", "line 2: label: must be one of 0, 1, not '2'"),
        ("CoLA", "gj04\t1\t\t ", "line 2: text: must be a text with at least one letter or sign, not ''"),
        ("SST-2", "a fine film", "line 3: must be 2 columns, not 1"),
        ("SST-2", "a fine film\t1\t", "line 3: must be 2 columns, not 3"),
        ("SST-2", "a fine film\t-1", "line 3: label: must be one of 0, 1, not '-1'"),
        ("SST-2", "", "line 3: must be 2 columns, not 1"),
        ("MRPC", "1\t1\t2\tHe said.", "line 3: must be 5 columns, not 4"),
        ("MRPC", "\t1\t2\tHe said.\tShe said.", "line 3: label: must be one of 0, 1, not ''"),
        ("STS-B", stsb(5) + "\tx", "line 3: must be 10 columns, not 11"),
        ("STS-B", stsb(5)[:-5] + "5.001", "line 3: score: must be a number from 0 to 5, not 5.001"),
        ("STS-B", stsb(5)[:-5] + "-0.1", "line 3: score: must be a number from 0 to 5, not -0.1"),
        ("STS-B", stsb(5)[:-5] + "nan", "line 3: score: must be a number from 0 to 5, not nan"),
        ("STS-B", stsb(5)[:-5] + "high", "line 3: score: must be a number from 0 to 5, not 'high'"),
        ("QQP", qqp(5) + "\tx", "line 3: must be 6 columns, not 7"),
        ("QQP", "5\t11\t12\tWhat is 5?", "line 3: must be 6 columns, not 9"),
        ("QQP", qqp(5)[:-1] + "yes", "line 3: label: must be one of 0, 1, not 'yes'"),
        (
            "MNLI",
            mnli_train(5)[:-1],
            "line 3: label: must be one of entailment, neutral, contradiction, not 'contradictio'",
        ),
        ("MNLI", mnli_dev(5), "line 3: must be 12 columns, not 16"),
        ("QNLI", "5\tWhat?\tThis.\t1", "line 3: label: must be one of entailment, not_entailment, not '1'"),
        ("RTE", "5\tWhat?\tThis.", "line 3: must be 4 columns, not 3"),
        ("RTE", "5\t\tThis.\tentailment", "line 3: text: must be a text with at least one letter or sign, not ''"),
    ],
)
def test_a_wrong_line_is_refused(write, refused, name, line, message):
    first, *rest = (PUBLISHED[name]["train.tsv"][1](n) for n in range(COUNT))
    folder = write(name, train=[first, line, *rest])
    assert refused(DataError, load_glue, folder, name) == f"{folder}/{name}/train.tsv: {message}"


def test_wrong_files_are_refused(write, refused):
    folder = write("RTE")
    path = folder / "RTE" / "dev.tsv"

    def message(data):
        path.write_bytes(data)
        return refused(DataError, load_glue, folder, "RTE").removeprefix(f"{path}: ")

    header = b"index\tsentence1\tsentence2\tlabel\n"
    found = ["index", "sentence1", "label"]
    assert message(b"index\tsentence1\tlabel\n") == f"line 1: must be a header with the column sentence2, not {found}"
    assert message(header) == "must be a file with examples, not a header alone"
    assert message(b"") == "must be a file with examples, not empty"
    assert message(header + b"1\t\xff") == "line 2: must be UTF-8, not byte 0xff; save the file as UTF-8"
    path.unlink()
    assert (
        refused(DataError, load_glue, folder, "RTE")
        == f"{path}: must be readable, not fail with: No such file or directory"
    )


REAL = {
    "CoLA": (8551, 1043, "973a1907d3cc72a90e39512e9433b232ad8d39b9fc5fb1a814912590d315f48f"),
    "SST-2": (67349, 872, "326946dfa440d61cbe0adb05695d6ac90a4fe0561d10ecc1fb55b6a36544f009"),
    "STS-B": (5749, 1500, "38d3347ce7edf3d7e06301744550475a25c21e6164fbb1045e606a39bd4e8627"),
    "RTE": (2490, 277, "f823cce633740dc1167179e6979481f6587c2069fe730b751b0637156d34bd8e"),
}
CUT = {"CoLA": (7676, 857), "SST-2": (62886, 619), "STS-B": (5143, 600), "RTE": (2228, 262)}


@pytest.mark.parametrize("name", REAL)
def test_the_real_files(glue_folder, name):
    folder = glue_folder / name
    if not folder.is_dir():
        pytest.skip(f"the GLUE folder holds no {name}")
    train, dev, digest = REAL[name]
    assert len(read_rows(folder / "train.tsv", LAYOUTS[name])) == train
    dataset = load_glue(glue_folder, name)
    assert (len(dataset.train), len(dataset.dev), len(dataset.test)) == (*CUT[name], dev)
    assert dataset.digest == digest
    keys = [{normalise(text) for text in split.texts} for split in dataset.splits.values()]
    if not dataset.task.pairs:
        assert keys[0].isdisjoint(keys[1]) and keys[2].isdisjoint(keys[0] | keys[1])
    assert all(np.isfinite(split.labels).all() for split in dataset.splits.values())
