"""The self-contained HTML page and every plot."""

from spikeneuro.report import plots
from spikeneuro.report.write import write

__all__ = ["plots", "write"]
