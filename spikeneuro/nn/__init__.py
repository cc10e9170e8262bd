"""Spiking layers, readouts and the wrapper for layers that know no time."""
