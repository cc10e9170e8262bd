"""What is measured on a fitted estimator: size, operations and energy, spike rates, time, memory, a raster."""

import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro import energy
from spikeneuro._several import is_several, n_samples, rate_of, take

#: Test samples the operations are counted on, spread evenly over the test part.
COUNTED = 32
#: Inference is timed on batches of this many samples, several times; the median counts.
BATCH = 32
REPEATS = 5
#: A timing ends early after this many seconds.
PATIENCE = 5.0
COST_MODEL = "horowitz45-fp32"


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Run with `threads` threads in torch, our kernels and the BLAS libraries, then restore what was set.

    Rounding depends on how work is divided over threads, so the number is part of what makes runs repeat. Jobs that
    scikit-learn would start inside run one after the other: a worker that waits for more workers of its own cluster
    would wait for ever.
    """
    import joblib
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(limits=threads))
        stack.enter_context(joblib.parallel_config("sequential"))
        torch.set_num_threads(threads)
        stack.callback(torch.set_num_threads, before)
        yield


def processor() -> str:
    """Name of the processor of this process."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class PeakMemory:
    """Largest resident memory of this process since the object was made, loaded data and libraries included.

    Uses the kernel's high-water mark, reset through ``/proc/self/clear_refs``; `value` is None where the system has
    none that can be reset.
    """

    def __init__(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self._works = True
        except OSError:
            self._works = False

    @property
    def value(self) -> int | None:
        """Bytes, or None."""
        if not self._works:
            return None
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` positions, evenly spread, the first included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def size(estimator: Any) -> dict[str, Any]:
    """Trainable parameters and the bytes of parameters and buffers of a network."""
    module = estimator.net_.module_
    tensors = [*module.parameters(), *module.buffers()]
    return {
        "parameters": sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad),
        "bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
    }


def operations(estimator: Any, X: Any) -> dict[str, Any]:
    """Operations, modelled energy and spike rate per sample of a network on a bounded batch of `X`, per layer too.

    The rate is in spikes per neuron and step, encoders apart. For an estimator that averages over windows, a sample is
    all its windows.
    """
    chosen = take(X, spread(n_samples(X), COUNTED))
    inputs = estimator.network_input(chosen)
    passes = n_samples(inputs) / n_samples(chosen)  # windows per recording
    if n_samples(inputs) > COUNTED:
        inputs = take(inputs, spread(n_samples(inputs), COUNTED))
    ledger = energy.count(estimator.net_.module_.eval(), inputs)
    effective, dense = ledger.effective * passes, ledger.dense * passes
    others = {name: value for name, value in effective.as_dict().items() if name not in ("macs", "acs")}
    return {
        "macs": effective.macs,
        "acs": effective.acs,
        "dense_macs": dense.macs,
        "dense_acs": dense.acs,
        "other_ops": others,
        "energy_j": ledger.energy(COST_MODEL) * passes,
        "dense_energy_j": ledger.energy_dense(COST_MODEL) * passes,
        "cost_model": energy.cost_model(COST_MODEL).identity,
        "ledger": ledger.table().to_dict("records"),
        "spike_rate": ledger.spike_rate,
        "spike_rate_by_layer": {row.name: row.spike_rate for row in ledger.layers if row.neuron_steps} or None,
    }


def raster(estimator: Any, X: Any, sfreq: Any) -> dict[str, NDArray[Any]]:
    """Spikes of each layer for the first sample, ``(steps, neurons)`` by layer name, and the first layer's step.

    The step's length ``__dt__`` is in seconds, NaN where the input has no time axis in seconds.
    """
    import torch

    from spikeneuro import training

    module = estimator.net_.module_.eval()
    inputs = take(estimator.network_input(take(X, slice(1))), slice(1))
    with torch.no_grad(), training.recorded_spikes(module) as recorded:
        module(inputs)
    arrays = {name: layer[:, 0].flatten(1).to(torch.uint8).numpy() for name, layer in recorded.items()}
    steps = len(next(iter(arrays.values())))
    return {**arrays, "__dt__": np.array(_step_length(inputs, sfreq, steps))}


def _step_length(inputs: Any, sfreq: Any, steps: int) -> float:
    """Seconds of a step, one of `steps` that span the input; NaN where that is not known."""
    if is_several(inputs):
        lengths = {_step_length(part, rate_of(sfreq, name), steps) for name, part in inputs.items()}
        known = {length for length in lengths if not np.isnan(length)}
        return known.pop() if len(known) == 1 else np.nan
    return float(inputs.shape[-1] / sfreq / steps) if sfreq and inputs.ndim == 3 else np.nan


def inference_seconds(estimator: Any, X: Any) -> float:
    """Seconds per sample of ``predict``, scaling included: median over repeats on one batch, after a first unmeasured.

    The batch has 32 samples, or as many as there are.
    """
    batch = take(X, slice(BATCH))
    begin = time.perf_counter()
    estimator.predict(batch)
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        estimator.predict(batch)
        taken.append(time.perf_counter() - start)
        if time.perf_counter() - begin > PATIENCE:
            break
    return float(np.median(taken)) / n_samples(batch)
