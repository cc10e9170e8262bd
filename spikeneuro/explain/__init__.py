"""What a fitted model makes its decisions of: whether it uses time at all."""

from spikeneuro.explain.controls import CONTROLS, Control, apply_control
from spikeneuro.explain.hidden import HIDDEN_CONTROLS, shuffled_layers, time_layers
from spikeneuro.explain.temporal import temporal_dependence
from spikeneuro.explain.temporal_report import ControlResult, TemporalReport

__all__ = [
    "CONTROLS", "HIDDEN_CONTROLS", "Control", "ControlResult", "TemporalReport", "apply_control", "shuffled_layers",
    "temporal_dependence", "time_layers",
]  # fmt: skip
