"""Signals to spikes, and back where that is possible."""
