"""The self-contained HTML page and every plot."""

from spikeneuro.report.write import write

__all__ = ["write"]
