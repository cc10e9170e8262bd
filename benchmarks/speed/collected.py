"""All that one run measured, and where."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass, field

import peers
from growth import Growth
from timing import Case, Timing, Verdict, run_case

from spikeneuro.bench.measure import processor

_PACKAGES = ("spikeneuro", "torch", "numba", "snntorch", "spikingjelly", "norse")


@dataclass
class Collected:
    threads: int
    command: str
    tiny: bool = False
    timings: list[Timing] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    load: float = field(default_factory=lambda: os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan"))

    def run(self, case: Case, repeats: int) -> None:
        """Measure a case."""
        timings, verdicts = run_case(case, repeats)
        self.timings += timings
        self.verdicts += verdicts
        missing = f" Not installed: {', '.join(case.missing)}." if case.missing else ""
        self.notes[case.name] = case.note + missing

    def add_growth(self, timings: list[Timing], verdicts: list[Verdict], growths: list[Growth]) -> None:
        """Take over what `growth.measure` gives."""
        self.timings += timings
        self.verdicts += verdicts
        self.growths += growths

    def made_with(self) -> str:
        """Versions, processor and threads."""
        found = [f"Python {platform.python_version()}"]
        for name in _PACKAGES:
            try:
                found.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                found.append(f"{name} absent")
        return f"{', '.join(found)}; {processor()}, {self.threads} thread{'s' if self.threads > 1 else ''}, float32"

    def circumstances(self) -> str:
        """How busy the machine was when the run began, and which peers are missing."""
        missing = peers.missing()
        absent = f"; not installed: {', '.join(missing)} (pip install 'spikeneuro[test]')" if missing else ""
        return f"Load average at the start: {self.load:.2f}{absent}."
