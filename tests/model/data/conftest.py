from functools import cache

import pytest

from model.data import datasets, load
from model.data.carriers import CARRIERS
from model.data.films import passages

_cached = cache(load)
_passages = cache(passages)


@pytest.fixture
def packaged():
    """Return a function that loads a packaged set, once in a run; where its carrier is missing, the test is skipped."""

    def dataset(name):
        (info,) = (info for info in datasets() if info.name == name)
        if not info.installed:
            (carrier,) = (carrier for carrier in CARRIERS if carrier.package == info.carrier)
            pytest.skip(f"{name} needs its carrier: {carrier.install}")
        return _cached(name)

    return dataset


@pytest.fixture
def film_passages():
    """Return a function that gives all reviews and plots, read once in a run."""
    return _passages


@pytest.fixture
def carry(tmp_path, monkeypatch):
    """Return a function that installs a made-up package with one version and some files."""

    def install(package, version, files):
        info = tmp_path / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path

    return install
