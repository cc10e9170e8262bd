r"""Speed of the neuron layers on a GPU: against its copy bandwidth, snnTorch and SpikingJelly.

    python benchmarks/speed/gpu.py [--only CASE ...] [--repeats 30] [--csv FILE]

Needs a CUDA device and ends with status 1 without one. A training step is timed (forward over all steps, backward to
the input and the learnt numbers) with CUDA events around it, after warm-up; the median of the repeats is told. Every
contender's spikes are compared with those of our reference before it is timed.

The floor of a fused step is what it must at least read and write: forward input, spikes and potential, backward the
gradient of the spikes, the potential and the gradient of the input. `of copy` is the rate at which it moves these
bytes over the rate, measured in the same run, at which a tensor of a gibibyte is copied (read and written). Inputs are
larger than the second-level cache except where a case says that it is small.

SpikingJelly binds one implementation per process (its native CUDA kernels, Triton or torch): each is timed in a
process of its own, and its fastest counts.
"""

import argparse
import csv
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from spikeneuro import ops

Step = Callable[[], Tensor]
JELLY = ("cuda", "triton", "torch")
GIBIBYTE = 1 << 30


@dataclass(frozen=True)
class Work:
    """Sizes and kind of one case."""

    name: str
    steps: int
    batch: int
    neurons: int
    dtype: str = "float32"
    kind: str = "plain"  # or "heterogeneous", "recurrent"

    @property
    def floor_bytes(self) -> int:
        """Bytes that a training step of plain neurons must move."""
        size = getattr(torch, self.dtype).itemsize
        return self.steps * self.batch * self.neurons * (4 * size + 2 * max(size, 4))


@dataclass(frozen=True)
class Row:
    case: str
    contender: str
    steps: int
    batch: int
    neurons: int
    dtype: str
    milliseconds: float | None
    of_copy: float | None
    times_ours: float | None
    spike_rate: float | None
    note: str


WORKS = [
    Work("small", 250, 64, 512),
    Work("lif", 250, 256, 2048),
    Work("lif-long", 1000, 64, 2048),
    Work("lif-bfloat16", 250, 256, 2048, "bfloat16"),
    Work("heterogeneous", 250, 256, 2048, kind="heterogeneous"),
    Work("recurrent-128", 250, 32, 128, kind="recurrent"),
    Work("recurrent-256", 250, 128, 256, kind="recurrent"),
    Work("recurrent-512", 250, 64, 512, kind="recurrent"),
]


class Inputs:
    """What all contenders of a case are given."""

    def __init__(self, work: Work) -> None:
        generator = torch.Generator(device="cuda").manual_seed(0)
        shape, dtype = (work.steps, work.batch, work.neurons), getattr(torch, work.dtype)

        def uniform(*size: int, low: float = 0.0, high: float = 1.0) -> Tensor:
            return low + (high - low) * torch.rand(*size, generator=generator, device="cuda")

        self.x = (0.3 * uniform(*shape)).to(dtype).requires_grad_()
        self.gradient = uniform(*shape).to(dtype)
        n = work.neurons
        # Multiples of 1/64, so that no order of summation changes a spike.
        self.weight = (torch.randint(-8, 9, (n, n), generator=generator, device="cuda") / 64).requires_grad_()
        self.weight.data *= uniform(n, n) < min(1.0, 32 / n)
        self.beta = uniform(n, low=0.8, high=0.98).requires_grad_()
        self.rho = uniform(n, low=0.9, high=0.99).requires_grad_()
        cycle = torch.arange(n, device="cuda") % 40 + 10
        self.mask = (torch.arange(work.steps, device="cuda")[:, None, None] % cycle < 0.5 * cycle).to(torch.uint8)


def ours(work: Work, given: Inputs, backend: str) -> Step:
    options: dict[str, object] = {"beta": 0.9, "settings": ops.LIFSettings(surrogate=ops.surrogates.Atan(alpha=2.0))}
    leaves = [given.x]
    if work.kind == "heterogeneous":
        options |= {"beta": given.beta, "rho": given.rho, "kappa": 0.1, "mask": given.mask}
        leaves += [given.beta, given.rho]
    elif work.kind == "recurrent":
        options["weight"] = given.weight
        leaves.append(given.weight)

    def step() -> Tensor:
        clear(leaves)
        spikes = ops.lif(given.x, **options, backend=backend).spikes  # type: ignore[arg-type]
        spikes.backward(given.gradient)
        return spikes

    return step


def expected_spikes(work: Work, given: Inputs) -> Tensor:
    """Spikes of the reference, in single precision at least: that of the kernels' arithmetic."""
    if work.dtype == "float32":
        return ours(work, given, "reference")().detach()
    assert work.kind == "plain"
    x = given.x.detach()
    beta = float(torch.tensor(0.9, dtype=x.dtype))
    return ops.lif(x.float(), beta=beta, backend="reference").spikes.to(x.dtype)


def snntorch(work: Work, given: Inputs) -> Step:
    import peers

    if work.kind == "recurrent":
        layer = peers.SnnTorchRecurrent(given.weight.detach(), torch.zeros(work.neurons, device="cuda")).cuda()
    else:
        several = work.kind == "heterogeneous"
        layer = peers.SnnTorchLeaky(given.beta.detach() if several else 0.9, learn_beta=several).cuda()

    def step() -> Tensor:
        clear([given.x, *layer.parameters()])
        spikes = layer(given.x)
        spikes.backward(given.gradient)
        return spikes

    return step


def spikingjelly(work: Work, given: Inputs) -> Step:
    import peers

    if work.kind == "recurrent":
        layer = peers.SpikingJellyLoop(given.weight.detach(), torch.zeros(work.neurons, device="cuda")).cuda()
    else:
        layer = peers.SpikingJellyLIF().cuda()

    def step() -> Tensor:
        clear([given.x, *layer.parameters()])
        spikes = layer(given.x)
        spikes.backward(given.gradient)
        return spikes

    return step


def clear(leaves: list[Tensor]) -> None:
    for leaf in leaves:
        leaf.grad = None


def milliseconds(step: Callable[[], object], repeats: int) -> float:
    """Median time of a step; fewer repeats for one that takes longer than a second."""
    times = []
    for turn in range(-3, repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        step()
        end.record()
        torch.cuda.synchronize()
        if turn >= 0:
            times.append(start.elapsed_time(end))
        if sum(times) > 10_000 and turn >= 2:
            break
    return statistics.median(times)


def copy_rate(repeats: int) -> float:
    """Bytes per millisecond that a copy reads and writes."""
    source = torch.rand(GIBIBYTE // 4, device="cuda")
    target = torch.empty_like(source)
    return 2 * GIBIBYTE / milliseconds(lambda: target.copy_(source), repeats)


def timed(name: str, work: Work, make: Callable[[], Step], expected: Tensor | None, options: argparse.Namespace) -> Row:
    """Row of one contender, or why it has none."""

    def row(time: float | None = None, rate: float | None = None, note: str = "") -> Row:
        moved = None if time is None else work.floor_bytes / time / options.copy_rate
        return Row(work.name, name, work.steps, work.batch, work.neurons, work.dtype, time, moved, None, rate, note)

    try:
        step = make()
        spikes = step().detach()
    except (ImportError, RuntimeError, ValueError, NotImplementedError, torch.OutOfMemoryError) as error:
        return row(note=f"{type(error).__name__}: {error}".splitlines()[0][:160])
    note = ""
    if expected is not None and not torch.equal(spikes, expected):
        note = f"{float((spikes != expected).float().mean()):.2e} of its spikes differ"
    rate = float(spikes.float().mean())
    del spikes
    return row(milliseconds(step, options.repeats), rate, note)


def measure(work: Work, options: argparse.Namespace) -> Iterator[Row]:
    """All contenders of a case: ours first, then the peers that do what they can of it."""
    given = Inputs(work)
    expected = expected_spikes(work, given)
    yield timed("spikeneuro triton", work, lambda: ours(work, given, "triton"), expected, options)
    yield timed("spikeneuro reference", work, lambda: ours(work, given, "reference"), expected, options)
    less = work.kind == "heterogeneous"
    expected = None if less else expected
    name = "snnTorch" + (", learnt taus only" if less else "")
    yield timed(name, work, lambda: snntorch(work, given), expected, options)
    if work.kind != "heterogeneous":
        for implementation in JELLY if work.kind == "plain" else JELLY[:1]:
            yield elsewhere(work, implementation, options)


def elsewhere(work: Work, implementation: str, options: argparse.Namespace) -> Row:
    """Row of SpikingJelly with one implementation, from a process of its own."""
    torch.cuda.empty_cache()
    variable = {"SJ_LIF_CUDA_IMPLEMENTATION": implementation} if work.kind == "plain" else {}
    name = f"SpikingJelly {implementation}" if variable else "SpikingJelly, node in a loop"
    command = [sys.executable, __file__, "--child", work.name, name, str(options.copy_rate)]
    done = subprocess.run(
        [*command, "--repeats", str(options.repeats)], env=os.environ | variable, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return timed(name, work, lambda: _fail(last), None, options)
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def _fail(text: str) -> Step:
    raise RuntimeError(text)


def child(options: argparse.Namespace) -> None:
    """One contender for the parent process."""
    case, name, rate = options.child
    work = next(work for work in WORKS if work.name == case)
    options.copy_rate = float(rate)
    given = Inputs(work)
    expected = expected_spikes(work, given)
    print(json.dumps(asdict(timed(name, work, lambda: spikingjelly(work, given), expected, options))))


def verdicts(rows: list[Row]) -> Iterator[str]:
    """What is asked of the GPU, and what was found."""
    by_case: dict[str, list[Row]] = {}
    for row in rows:
        by_case.setdefault(row.case, []).append(row)
    for case, found in by_case.items():
        mine = found[0]
        if mine.milliseconds is None:
            yield f"{case}: not measured ({mine.note})"
            continue
        if case.startswith("lif"):
            assert mine.of_copy is not None
            yield f"{case}: {mine.of_copy:.0%} of the copy bandwidth, at least 70 % asked: {mine.of_copy >= 0.7}"
        others = [row for row in found[2:] if row.milliseconds is not None]
        if others:
            best = min(others, key=lambda row: row.milliseconds or 0.0)
            assert best.milliseconds is not None
            ratio = best.milliseconds / mine.milliseconds
            faster = f"{ratio:.2f} times as fast as the best peer ({best.contender})"
            yield f"{case}: {faster}, at least 1 asked: {ratio >= 1}"
        else:
            yield f"{case}: no peer was measured"


def circumstances() -> str:
    properties = torch.cuda.get_device_properties(0)
    versions = [
        f"{name} {importlib.metadata.version(name)}"
        for name in ("torch", "triton", "snntorch", "spikingjelly", "cupy-cuda13x")
        if importlib.util.find_spec(name.partition("-")[0]) is not None
    ]
    return (
        f"{properties.name}, {properties.multi_processor_count} SM; Python {platform.python_version()}, "
        + ", ".join(versions)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[work.name for work in WORKS], help="cases to measure")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--csv", type=Path, help="write the table there as well")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(
            "no CUDA device: this benchmark measures a GPU; benchmarks/speed/run.py measures the CPU", file=sys.stderr
        )
        return 1
    if options.child:
        child(options)
        return 0
    options.copy_rate = copy_rate(options.repeats)
    print(f"{circumstances()}\ncopy: {options.copy_rate / 1e6:.0f} GB/s read and written")
    rows: list[Row] = []
    for work in WORKS:
        if options.only and work.name not in options.only:
            continue
        ours_takes = None
        for row in measure(work, options):
            ours_takes = row.milliseconds if ours_takes is None else ours_takes
            if row.milliseconds is not None and ours_takes is not None:
                row = Row(**asdict(row) | {"times_ours": row.milliseconds / ours_takes})
            rows.append(row)
            shown = [
                "-" if value is None else f"{value:.3f}" for value in (row.milliseconds, row.of_copy, row.times_ours)
            ]
            print(f"{row.case:16}{row.contender:34}{shown[0]:>10} ms{shown[1]:>8} of copy{shown[2]:>9} x  {row.note}")
    print(*verdicts(rows), sep="\n")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*(field.name for field in fields(Row)), "copy_gb_per_s", "made_with"])
            writer.writeheader()
            for row in rows:
                writer.writerow(asdict(row) | {"copy_gb_per_s": options.copy_rate / 1e6, "made_with": circumstances()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
