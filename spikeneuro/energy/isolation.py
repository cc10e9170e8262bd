"""Running a model without leaving a trace: its attributes, buffers, mode and random numbers are put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put the model in evaluation mode, and afterwards everything back as it was.

    Attributes of every module (and the lists and dictionaries they hold), the values of its buffers, and the state
    of random generators it holds and of the global ones are restored.
    """
    kept = [(module, _snapshot(module)) for module in model.modules()]
    values = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    generators = [generator for _, held in kept for generator in held[0].values() if _is_generator(generator)]
    states = [_generator_state(generator) for generator in generators]
    with _global_randomness():
        try:
            model.eval()
            yield
        finally:
            for module, (attributes, containers) in kept:
                _restore(module, attributes, containers)
            with torch.no_grad():
                for buffer, value in values:
                    buffer.copy_(value)
            for generator, state in zip(generators, states, strict=True):
                _set_generator_state(generator, state)


def _snapshot(module: nn.Module) -> tuple[dict[str, Any], list[tuple[Any, Any]]]:
    attributes = dict(vars(module))
    containers = [(value, value.copy()) for value in attributes.values() if isinstance(value, (dict, list))]
    return attributes, containers


def _restore(module: nn.Module, attributes: dict[str, Any], containers: list[tuple[Any, Any]]) -> None:
    for container, content in containers:
        container.clear()
        if isinstance(container, dict):
            container.update(content)
        else:
            container.extend(content)
    vars(module).clear()
    vars(module).update(attributes)


def _is_generator(value: Any) -> bool:
    return isinstance(value, (torch.Generator, np.random.Generator, np.random.RandomState))


def _generator_state(generator: Any) -> Any:
    return generator.bit_generator.state if isinstance(generator, np.random.Generator) else generator.get_state()


def _set_generator_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


@contextmanager
def _global_randomness() -> Iterator[None]:
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


@contextmanager
def composed(*, onednn_enabled: bool) -> Iterator[None]:
    """Make torch run attention as the operations it is made of, and without oneDNN also recurrent layers."""
    onednn: Any = torch.backends.mkldnn
    enabled, fast_path = onednn.enabled, torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if torch.cuda.is_available():
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        try:
            onednn.enabled = onednn.enabled and onednn_enabled
            torch.backends.mha.set_fastpath_enabled(False)
            yield
        finally:
            onednn.enabled = enabled
            torch.backends.mha.set_fastpath_enabled(fast_path)


def ordinary(tensor: Tensor) -> Tensor:
    """`tensor` itself, or a copy that is not an inference tensor, so that composite operations open up."""
    return tensor.clone() if tensor.is_inference() else tensor
