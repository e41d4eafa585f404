"""The arrows between the packages: who may import whom, and what an import may cost."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hw", "model", "sim", "mapping", "tallybert")
HEAVY = ("torch", "amaranth", "cocotb", "cocotb_tools")
GATEWARE = ("hw.gateware", "hw.bench")
MAX_LINES = 350


@dataclass(frozen=True)
class Rule:
    """What the modules below `where` may import of ours, and what they must not import at all."""

    where: str
    ours: tuple[str, ...]
    never: tuple[str, ...]


# The first rule whose `where` holds a module applies to it.
RULES = (
    Rule("hw.gateware", ("hw",), ("torch", "cocotb", "cocotb_tools", "hw.bench")),
    Rule("hw.bench", ("hw",), ("torch",)),
    Rule("hw", ("hw",), (*HEAVY, *GATEWARE)),
    Rule("model", ("model",), ("amaranth", "cocotb", "cocotb_tools")),
    Rule("sim", ("sim", "hw", "model.network", "model.bits"), (*HEAVY, *GATEWARE)),
    Rule("mapping", ("mapping", "sim", "model", "hw"), (*HEAVY, *GATEWARE)),
    Rule("tallybert", PACKAGES, ()),
)
LIGHT = (
    "import hw.arch, hw.isa, hw.program, hw.config",
    "import model.network",
    "import tallybert, tallybert.cli",
)


def modules() -> list[tuple[str, Path]]:
    """Return every module of our packages with its file."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


MODULES = modules()


def below(name: str, tops: tuple[str, ...]) -> bool:
    """Return whether a module is one of these, or lies in one of them."""
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def imports(source: str, module: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Yield line and name of everything that a module imports, wherever in it; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                home = parts[: len(parts) - node.level + is_package]
                base = ".".join([*home, *filter(None, [node.module])])
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and node.args
            and ast.unparse(node.func) in ("import_module", "__import__", "importlib.import_module")
        ):
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield node.lineno, str(name.value)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """Return each import that the rules forbid; type-checking imports count too, for they are arrows as well."""
    rule = next(rule for rule in RULES if below(module, (rule.where,)))
    wrong = []
    for line, name in imports(source, module, is_package):
        ours = below(name, PACKAGES)
        # `from model import network` imports model as well, which is as good as what is taken from it.
        package_only = any(allowed.startswith(f"{name}.") for allowed in rule.ours)
        if below(name, rule.never) or (ours and not below(name, rule.ours) and not package_only):
            wrong.append(f"{module}:{line}: {name}")
    return wrong


def test_there_are_modules() -> None:
    assert {name.partition(".")[0] for name, _ in MODULES} == set(PACKAGES)


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_no_import_goes_up(name: str, path: Path) -> None:
    assert violations(path.read_text(), name, path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hw.arch", "import sim"),
        ("hw.arch", "from model.network import Network"),
        ("hw.arch", "def f():\n    import amaranth.hdl"),
        ("hw.config", "from hw import gateware"),
        ("hw.gateware.array", "from sim.machine import run"),
        ("hw.gateware.array", "from ...sim import machine"),
        ("hw.bench.build", "import mapping"),
        ("model.network", "import hw.arch"),
        ("model.network", "import importlib\nimportlib.import_module('sim.machine')"),
        ("sim.machine", "import mapping.plan"),
        ("sim.machine", "from model.binary import BinaryLinear"),
        ("sim.machine", "import torch.nn"),
        ("sim.machine", "from hw.gateware.array import Array"),
        ("mapping.plan", "from tallybert import flow"),
        ("mapping.plan", "import amaranth"),
    ],
)
def test_a_wrong_arrow_is_seen(module: str, source: str) -> None:
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hw.gateware.array", "from hw.arch import Accelerator\nimport amaranth"),
        ("sim.machine", "from model import network\nfrom hw.isa import decode\nimport numpy"),
        ("mapping.plan", "from model.network import Network\nfrom . import tiling"),
        ("tallybert.flow", "import torch\nfrom hw.gateware import verilog\nimport mapping, sim, model"),
    ],
)
def test_a_right_arrow_is_not(module: str, source: str) -> None:
    assert violations(source, module) == []


@pytest.mark.parametrize(
    "statement",
    [*LIGHT, *(f"import {', '.join(n for n, _ in MODULES if below(n, (top,)))}" for top in ("sim", "mapping"))],
    ids=lambda statement: statement.partition(",")[0],
)
def test_an_import_does_not_pull_in_the_heavy_ones(statement: str) -> None:
    program = f"import sys; {statement}; print(*sorted(set(sys.modules) & {set(HEAVY)!r}))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""


def test_files_are_short() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def texts() -> list[Path]:
    """Return every text file of the project that is written by hand."""
    folders = (*PACKAGES, "tests", "docs", "examples", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    return [path for path in files if "__pycache__" not in path.parts]


def test_no_file_names_a_home() -> None:
    home = re.compile(r"/(?:home|Users)/[a-z]|/roo[t]/|[A-Z]:\\+User[s]", re.IGNORECASE)
    found = []
    for path in texts():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, 1) if home.search(line)]
    assert found == []
