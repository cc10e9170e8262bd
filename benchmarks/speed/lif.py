"""Speed of the LIF op: one training step (forward and backward) against other frameworks and against memory itself.

    python benchmarks/speed/lif.py [--steps 250] [--batch 64] [--neurons 512] [--threads 2] [--repeats 7] [--csv FILE]

Method. Each contender gets the same float32 input current, which requires a gradient, and the same gradient of the
spikes; timed are the forward pass over the whole sequence and the backward pass to the input. After one warm-up call
(compilation, caches) contenders take turns, so that a slow phase of the machine hits all of them; the median of the
repeats is reported, and its ratio to the floor of the same run. A reduced number of repeats is used for contenders
that take more than two seconds. A contender that is not installed is left out and named.

The floor is six passes over memory: what a fused step must at least read and write (forward: input, spikes, membrane;
backward: gradient of the spikes, membrane, gradient of the input), measured as three copies of a tensor of that size
into memory that exists already. The recurrent step is compared with the same recurrence as a torch loop.
"""

import argparse
import csv
import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from spikeneuro import ops

BETA = 0.9


@dataclass(frozen=True)
class Timing:
    name: str
    milliseconds: float
    ratio_to_floor: float
    spike_rate: float | None


def contenders(steps: int, batch: int, neurons: int) -> tuple[dict[str, Callable[[], float | None]], list[str]]:
    """Functions that make one training step and return the spike rate; names of those that are not installed."""
    generator = torch.Generator().manual_seed(0)
    x = 0.3 * torch.rand(steps, batch, neurons, generator=generator)
    gradient = torch.rand(steps, batch, neurons, generator=generator)
    drains = [torch.empty_like(x) for _ in range(3)]
    x.requires_grad_()

    def floor() -> None:
        for drain in drains:
            drain.copy_(gradient)

    def ours(backend: str) -> Callable[[], float]:
        def step() -> float:
            x.grad = None
            spikes = ops.lif(x, beta=BETA, backend=backend).spikes
            spikes.backward(gradient)
            return float(spikes.count_nonzero()) / spikes.numel()

        return step

    found: dict[str, Callable[[], float | None]] = {
        "six passes over memory (floor)": floor,
        "spikeneuro numba": ours("numba"),
        "spikeneuro reference": ours("reference"),
    }
    missing = []
    for name, make in (("snnTorch Leaky", snntorch_step), ("SpikingJelly LIFNode (torch)", spikingjelly_step)):
        try:
            found[name] = make(x, gradient)
        except ImportError as error:
            missing.append(f"{name}: {error}")
    return found, missing


def snntorch_step(x: torch.Tensor, gradient: torch.Tensor) -> Callable[[], float]:
    import snntorch

    neuron = snntorch.Leaky(beta=BETA, reset_delay=False)

    def step() -> float:
        x.grad = None
        membrane, spikes = torch.zeros_like(x[0]), []
        for current in x:
            spike, membrane = neuron(current, membrane)
            spikes.append(spike)
        whole = torch.stack(spikes)
        whole.backward(gradient)
        return float(whole.detach().count_nonzero()) / whole.numel()

    return step


def spikingjelly_step(x: torch.Tensor, gradient: torch.Tensor) -> Callable[[], float]:
    from spikingjelly.activation_based import neuron

    node = neuron.LIFNode(tau=1 / (1 - BETA), decay_input=False, v_reset=None, step_mode="m")

    def step() -> float:
        x.grad = None
        node.reset()
        spikes = node(x)
        spikes.backward(gradient)
        return float(spikes.detach().count_nonzero()) / spikes.numel()

    return step


def recurrent_contenders(steps: int, batch: int, neurons: int) -> dict[str, Callable[[], float | None]]:
    """One training step of a small recurrent layer, both backends, weights included."""
    generator = torch.Generator().manual_seed(0)
    x = 0.2 * torch.rand(steps, batch, neurons, generator=generator)
    weight = (torch.randn(neurons, neurons, generator=generator) * 0.2 / neurons**0.5).requires_grad_()
    gradient = torch.rand(steps, batch, neurons, generator=generator)
    x.requires_grad_()

    def ours(backend: str) -> Callable[[], float]:
        def step() -> float:
            x.grad = weight.grad = None
            spikes = ops.lif(x, beta=BETA, weight=weight, backend=backend).spikes
            spikes.backward(gradient)
            return float(spikes.count_nonzero()) / spikes.numel()

        return step

    return {f"recurrent {neurons}, {backend}": ours(backend) for backend in ("numba", "reference")}


def measure(steps: dict[str, Callable[[], float | None]], repeats: int) -> dict[str, tuple[float, float | None]]:
    """Median milliseconds and spike rate of each contender, taking turns."""
    rates, first, times = {}, {}, {name: [] for name in steps}
    for name, step in steps.items():
        step()
        start = time.perf_counter()
        rates[name] = step()
        first[name] = time.perf_counter() - start
    for turn in range(repeats):
        for name, step in steps.items():
            if first[name] > 2.0 and turn >= 2:
                continue
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return {name: (1e3 * statistics.median(times[name]), rates[name]) for name in steps}


def versions() -> str:
    names = ("torch", "numba", "snntorch", "spikingjelly")
    installed = []
    for name in names:
        try:
            installed.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            installed.append(f"{name} absent")
    return f"Python {platform.python_version()}, " + ", ".join(installed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--neurons", type=int, default=512)
    parser.add_argument("--recurrent", type=int, default=128, help="neurons of the recurrent layer")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--csv", type=Path, help="write the table there as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    steps, missing = contenders(options.steps, options.batch, options.neurons)
    steps |= recurrent_contenders(options.steps, options.batch, options.recurrent)
    measured = measure(steps, options.repeats)
    floor = measured["six passes over memory (floor)"][0]
    rows = [Timing(name, round(ms, 3), round(ms / floor, 2), rate) for name, (ms, rate) in measured.items()]
    print(
        f"T {options.steps} x B {options.batch} x N {options.neurons}, float32, {options.threads} threads; {versions()}"
    )
    print(f"{'':34}{'ms':>10}{'x floor':>10}{'spike rate':>12}")
    for row in rows:
        rate = "" if row.spike_rate is None else f"{row.spike_rate:.3f}"
        print(f"{row.name:34}{row.milliseconds:>10.1f}{row.ratio_to_floor:>10.2f}{rate:>12}")
    for name in missing:
        print(f"left out: {name}")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*asdict(rows[0]), "steps", "batch", "neurons", "threads", "versions"])
            writer.writeheader()
            for row in rows:
                writer.writerow(
                    asdict(row) | {"steps": options.steps, "batch": options.batch, "neurons": options.neurons,
                                   "threads": options.threads, "versions": versions()}
                )  # fmt: skip


if __name__ == "__main__":
    main()
