"""The ports of a core, under the names that vendor tools and bus models know."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch import Accelerator
from hw.gateware.interfaces import ADDRESS_BITS
from hw.gateware.registers import LiteBus
from hw.gateware.trace import UNIT_COUNT


def memory_ports(accelerator: Accelerator) -> dict[str, wiring.Member]:
    """Return the AXI4 master ports under the names that vendor tools and bus models know."""
    request = {
        "addr": Out(ADDRESS_BITS),
        "len": Out(8),
        "size": Out(3),
        "burst": Out(2),
        "valid": Out(1),
        "ready": In(1),
    }
    write = {"data": Out(accelerator.port_bits), "strb": Out(accelerator.beat_bytes), "last": Out(1), "valid": Out(1)}
    channels = {
        "ar": request,
        "r": {"data": In(accelerator.port_bits), "resp": In(2), "last": In(1), "valid": In(1), "ready": Out(1)},
        "aw": request,
        "w": write | {"ready": In(1)},
        "b": {"resp": In(2), "valid": In(1), "ready": Out(1)},
    }
    return {f"m_axi_{channel}{name}": member for channel, ports in channels.items() for name, member in ports.items()}


def register_ports() -> dict[str, wiring.Member]:
    """Return the AXI4-Lite slave ports."""
    return {f"s_axil_{name}": member.flip() for name, member in LiteBus().members.items()}


def trace_ports() -> dict[str, wiring.Member]:
    """Return the trace port: for each unit a valid bit and three 32-bit numbers."""
    wide = 32 * UNIT_COUNT
    return {"trace_valid": Out(UNIT_COUNT), **{f"trace_{n}": Out(wide) for n in ("issue", "retire", "checksum")}}


def core_ports(accelerator: Accelerator) -> dict[str, wiring.Member]:
    """Return the ports of the core: memory, registers, interrupt."""
    return {**memory_ports(accelerator), **register_ports(), "interrupt": Out(1)}
