"""The self-contained HTML page and every plot."""
