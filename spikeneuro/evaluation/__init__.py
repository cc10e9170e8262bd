"""Metrics, calibration and statistics."""
