"""From trained members to a network of integers."""

from model.lowering.calibrate import Calibration
from model.lowering.ensemble import Export, export_ensemble, export_member, lower_ensemble
from model.lowering.report import ExportReport

__all__ = ["Calibration", "Export", "ExportReport", "export_ensemble", "export_member", "lower_ensemble"]
