"""Recordings, loaders, simulators, splits and the leakage audit."""
