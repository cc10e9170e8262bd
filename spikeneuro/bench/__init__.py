"""Suites, plans, runs and the store of results."""

from spikeneuro.bench.runner import RunResult, run
from spikeneuro.bench.store import Store
from spikeneuro.bench.suite import Suite, load_suite
from spikeneuro.bench.suite_files import find_suite, known_suites
from spikeneuro.bench.summaries import summary

__all__ = ["RunResult", "Store", "Suite", "find_suite", "known_suites", "load_suite", "run", "summary"]
