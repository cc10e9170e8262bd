"""Memory capacity of heterogeneous networks and of their homogeneous twins, whose firing rate is made the same.

A pair has the same wiring, weights, size and mean time constant. One gain of one of them is then tuned, on a signal
that is not used afterwards, until both fire alike on average; capacity and rate are measured on another signal.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from spikeneuro._random import scoped_seed
from spikeneuro.models import create
from spikeneuro.models.hrsnn import HRSNN
from spikeneuro.reservoir import memory_capacity

#: Share of the rate that the tuning leaves at most, and that a pair may differ by where it is measured.
TUNED, ALLOWED = 0.005, 0.05
#: Noise with which the membranes are read, in thresholds.
NOISE = 0.01
WIRINGS = ("by distance", "all to all")
READOUTS = ("spikes", "membranes, noise", "membranes, exact")
HRSNN_, TWIN, UNMATCHED = "hrsnn", "twin", "twin, own rate"
#: Seeds of signals and networks that settings are chosen on; none of them is measured on.
TUNING_SEED, MATCHING_SEED = 5000, 10_000


@dataclass(frozen=True)
class Size:
    """How much is computed."""

    hidden: int = 64
    steps: int = 4000
    max_delay: int = 40
    seeds: int = 12
    tuning_seeds: int = 3
    trials: int = 24


SIZE = Size()
TINY = Size(hidden=24, steps=600, max_delay=10, seeds=3, tuning_seeds=1, trials=2)


@dataclass(frozen=True)
class Setting:
    """What both networks of a pair have; time constants in steps."""

    wiring: str = WIRINGS[0]
    recurrent_scale: float = 0.5
    tau: float = 5.0
    input_scale: float = 1.0


@dataclass(frozen=True)
class Row:
    """One network, read in one way."""

    part: str
    wiring: str
    recurrent_scale: float
    tau: float
    input_scale: float
    way: str
    network: str
    seed: int
    readout: str
    gain: float
    rate: float
    capacity: float

    @property
    def effective(self) -> float:
        """Spikes of a neuron in a step for each unit of memory; what chance takes away may leave nothing."""
        return self.rate / self.capacity if self.capacity > 0 else math.inf


def compare(setting: Setting, size: Size, *, way: str, part: str = "sweep", reference: str = HRSNN_) -> list[Row]:
    """Measure pairs of networks, the other one of each brought to the rate of the `reference`."""
    rows: list[Row] = []
    for seed in range(size.seeds):
        pair = {HRSNN_: _network(setting, size, seed)}
        pair[TWIN] = pair[HRSNN_].homogeneous_twin()
        other = TWIN if reference == HRSNN_ else HRSNN_
        rows += _measured(part, setting, way, UNMATCHED, seed, 1.0, pair[TWIN], size)
        wanted = _rate(pair[reference], setting, size, MATCHING_SEED + seed)
        gain = _match(pair[other], wanted, way, setting, size, MATCHING_SEED + seed)
        for name, network in pair.items():
            rows += _measured(part, setting, way, name, seed, gain if name == other else 1.0, network, size)
    return rows


def tune(size: Size, say: Callable[[str], None]) -> list[Row]:
    """Choose settings for each network by the same number of trials, and measure both at either's best one."""
    generator = np.random.default_rng(0)
    tried = [
        Setting(
            recurrent_scale=_drawn(generator, 0.1, 2.0),
            tau=_drawn(generator, 3.0, 30.0),
            input_scale=_drawn(generator, 0.5, 4.0),
        )
        for _ in range(size.trials)
    ]
    found: dict[tuple[str, str], list[float]] = {}
    for number, setting in enumerate(tried):
        for network, readout, value in _tuning_scores(setting, size):
            found.setdefault((readout, network), [0.0] * size.trials)[number] = value
        say(f"trial {number + 1} of {size.trials}")
    rows: list[Row] = []
    for readout in READOUTS[:2]:
        best = {network: tried[int(np.argmax(found[readout, network]))] for network in (HRSNN_, TWIN)}
        for network, setting in best.items():
            made = compare(setting, size, way="input", part=f"best for {network}", reference=network)
            rows += [row for row in made if row.readout == readout]
    return rows


def _tuning_scores(setting: Setting, size: Size) -> list[tuple[str, str, float]]:
    totals: dict[tuple[str, str], float] = {}
    for seed in range(TUNING_SEED, TUNING_SEED + size.tuning_seeds):
        own = _network(setting, size, seed)
        for name, network in ((HRSNN_, own), (TWIN, own.homogeneous_twin())):
            for row in _measured("tuning", setting, "", name, seed, 1.0, network, size):
                totals[name, row.readout] = totals.get((name, row.readout), 0.0) + row.capacity
    return [(name, readout, total / size.tuning_seeds) for (name, readout), total in totals.items()]


def _drawn(generator: np.random.Generator, low: float, high: float) -> float:
    return round(math.exp(generator.uniform(math.log(low), math.log(high))), 3)


def _network(setting: Setting, size: Size, seed: int) -> HRSNN:
    connected = {"probability": 1.0, "length": 1e6} if setting.wiring == WIRINGS[1] else {}
    with scoped_seed(seed):
        network = create(
            "hrsnn", n_chans=1, n_times=size.steps, n_outputs=2, tau_unit="steps", hidden=size.hidden,
            recurrent_scale=setting.recurrent_scale, tau=setting.tau, **connected,
        )  # fmt: skip
    assert isinstance(network, HRSNN)
    return network.eval()


def _signal(size: Size, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, size.steps)


def _run(network: HRSNN, setting: Setting, u: NDArray[np.float64], kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.as_tensor(setting.input_scale * u, dtype=torch.float32)[None, None]
    # the filter of the spikes is the same for both of a pair: its time constant is the mean that was asked for
    states, spikes = network.states(x, kind, setting.tau if kind == "trace" else None)
    return states[:, 0], spikes[:, 0]


def _rate(network: HRSNN, setting: Setting, size: Size, seed: int) -> float:
    return float(_run(network, setting, _signal(size, seed), "membrane")[1].mean())


def _match(network: HRSNN, wanted: float, way: str, setting: Setting, size: Size, seed: int) -> float:
    """Scale input weights (or all, which is a lower threshold) until the rate is the wanted one; return the factor."""
    scaled = [network.linears[0].weight] + ([network.recurrent.weight] if way == "threshold" else [])
    drawn = [weight.detach().clone() for weight in scaled]

    def rate(gain: float) -> float:
        with torch.no_grad():
            for weight, before in zip(scaled, drawn, strict=True):
                weight.copy_(gain * before)
        return _rate(network, setting, size, seed)

    low, high, gain = 1 / 16, 16.0, 1.0
    for _ in range(30):
        now = rate(gain)
        if abs(now - wanted) <= TUNED * wanted:
            break
        low, high = (gain, high) if now < wanted else (low, gain)
        gain = math.sqrt(low * high)
    return gain


def _measured(
    part: str, setting: Setting, way: str, name: str, seed: int, gain: float, network: HRSNN, size: Size
) -> list[Row]:
    u = _signal(size, seed)
    membranes, spikes = _run(network, setting, u, "membrane")
    traces, _ = _run(network, setting, u, "trace")
    generator = torch.Generator().manual_seed(seed)
    states = {
        "spikes": traces,
        "membranes, noise": membranes + NOISE * torch.randn(membranes.shape, generator=generator),
        "membranes, exact": membranes,
    }
    rate = float(spikes.mean())
    return [
        Row(
            part=part, **asdict(setting), way=way, network=name, seed=seed, readout=readout, gain=gain, rate=rate,
            capacity=memory_capacity(state.double().numpy(), u, size.max_delay).total,
        )
        for readout, state in states.items()
    ]  # fmt: skip


def rate_gap(own: Row, other: Row) -> float:
    """Relative difference of two rates."""
    return abs(own.rate - other.rate) / max(own.rate, 1e-12)


def without_seed(row: Row) -> Row:
    """Row as a key of its group: all seeds and both networks have the same."""
    return replace(row, network="", seed=0, gain=0.0, rate=0.0, capacity=0.0)
