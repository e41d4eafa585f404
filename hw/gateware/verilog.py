"""Verilog text of an accelerator, deterministic to the byte."""

from __future__ import annotations

import os

from amaranth.back import rtlil
from amaranth.back.verilog import YosysError, find_yosys
from amaranth.lib import wiring

from hw.arch import Accelerator
from hw.gateware.array import CORRECTION_MODULE, ELEMENT_MODULE
from hw.gateware.bank import banks_of
from hw.gateware.element import ProcessingElement, RowCorrection
from hw.gateware.machine import CORE_MODULE, MACHINE_MODULE, Core, Machine
from hw.gateware.row import LANE_MODULE as ROW_LANE_MODULE
from hw.gateware.row_lane import RowLane
from hw.gateware.vector import LANE_MODULE
from hw.gateware.vector_lane import vector_lane_of

MINIMUM_YOSYS = (0, 40)
ATTRIBUTES = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")


class GenerateError(RuntimeError):
    """The design could not be translated, for instance because Yosys has no folder for its cache."""


def generate(accelerator: Accelerator) -> str:
    """Return the Verilog of the core, the machine inside it, and the cells that are used many times."""
    modules: dict[str, wiring.Component] = {
        CORE_MODULE: Core(accelerator),
        MACHINE_MODULE: Machine(accelerator),
        CORRECTION_MODULE: RowCorrection(accelerator),
        ELEMENT_MODULE: ProcessingElement(accelerator),
        **({ROW_LANE_MODULE: RowLane(accelerator)} if accelerator.row_lanes else {}),
        **({LANE_MODULE: vector_lane_of(accelerator)} if accelerator.vector_lanes else {}),
        **banks_of(accelerator),
    }
    texts = [rtlil.convert(component, name=name, emit_src=False) for name, component in modules.items()]
    header = f"// Accelerator {accelerator.name}, parameters {accelerator.digest}\n"
    return header + _to_verilog(texts)


def _to_verilog(texts: list[str]) -> str:
    """Translate the modules in one call of the packaged Yosys; one installed on the machine could give other text.

    The light optimisation halves what a simulator has to compile. Internal names are replaced by plain ones: Icarus
    takes a function whose name starts with a dollar sign for a system function.
    """
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    removed = " ".join(f"-remove {attribute}" for attribute in ATTRIBUTES)
    script = [f"read_rtlil <<rtlil\n{text}\nrtlil" for text in texts]
    script += ["proc", "opt -fast", "memory_collect", f"attrmap {removed}", f"attrmap -modattr {removed}"]
    yosys = find_yosys(lambda found: found >= MINIMUM_YOSYS)
    try:
        return str(yosys.run(["-q", "-"], "\n".join([*script, "write_verilog"]), ignore_warnings=True))
    except YosysError as error:
        reason = (str(error).strip().splitlines() or ["no message"])[-1]
        raise GenerateError(f"the packaged Yosys must translate the design, not fail: {reason}") from None
