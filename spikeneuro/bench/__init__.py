"""Suites, plans, runs and the store of results."""
