"""Verilog text of an accelerator, deterministic to the byte."""

from __future__ import annotations

import os

from amaranth.back import verilog
from amaranth.lib import wiring

from hw.arch import Accelerator
from hw.gateware.array import CORRECTION_MODULE, ELEMENT_MODULE
from hw.gateware.buffers import banks_of
from hw.gateware.element import ProcessingElement, RowCorrection
from hw.gateware.machine import CORE_MODULE, MACHINE_MODULE, Core, Machine


def generate(accelerator: Accelerator) -> str:
    """Return the Verilog of the core, the machine inside it, and the cells that are used many times."""
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    modules: dict[str, wiring.Component] = {
        CORE_MODULE: Core(accelerator),
        MACHINE_MODULE: Machine(accelerator),
        CORRECTION_MODULE: RowCorrection(accelerator),
        ELEMENT_MODULE: ProcessingElement(accelerator),
        **banks_of(accelerator),
    }
    header = f"// Accelerator {accelerator.name}, parameters {accelerator.digest}\n"
    return header + "".join(_emit(component, name) for name, component in modules.items())


def _emit(component: wiring.Component, name: str) -> str:
    return verilog.convert(component, name=name, strip_internal_attrs=True, emit_src=False)
