"""What a network costs: operations counted exactly while it runs, and their energy under published prices."""

from spikeneuro.energy.costs import CostModel, cost_model, cost_model_names
from spikeneuro.energy.counting import count
from spikeneuro.energy.ledger import LayerCounts, Ledger
from spikeneuro.energy.provenance import Kind
from spikeneuro.energy.rules import Call, Cost, register

__all__ = [
    "Call", "Cost", "CostModel", "Kind", "LayerCounts", "Ledger", "cost_model", "cost_model_names", "count",
    "register",
]  # fmt: skip
