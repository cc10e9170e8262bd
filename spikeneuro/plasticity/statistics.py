"""Statistics of normalisations that have seen no data, taken before plasticity learns behind them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro.errors import InputError

#: Batches of inputs that can be gone through again and again: a sequence, or a function that makes them anew.
Batches = Callable[[], Iterable[Tensor]] | Sequence[Tensor]

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


class _Reached(Exception):  # noqa: N818 - no error: the rest of the run is not needed
    """Ends a run of a network where what was to be seen has been seen."""


def each(batches: Batches) -> Iterable[Tensor]:
    """Return the batches for one pass.

    Parameters
    ----------
    batches : sequence of Tensor, or function that returns an iterable of them
        As for `spikeneuro.plasticity.pretrain`.

    Returns
    -------
    iterable of Tensor
        The batches.

    Raises
    ------
    InputError
        For an iterator, which one pass uses up.
    """
    if callable(batches):
        return batches()
    if isinstance(batches, Iterator):
        raise InputError("batches are gone through several times; give a list, or a function that makes them anew.")
    return batches


def take_statistics(model: nn.Module, batches: Batches, cells: nn.Module) -> list[str]:
    """Give batch normalisations before some neurons the statistics of all batches, unless they have seen data.

    A new normalisation lets values through as they are, while it normalises them in training: whatever learns in
    evaluation mode would learn from other currents. Mean and variance (with n - 1) are those over all values of all
    batches, not a running average; where one normalisation follows another, the first is set first. The network runs in
    evaluation mode and changes in nothing else.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    batches : sequence of Tensor, or function that returns an iterable of them
        Its inputs.
    cells : torch.nn.Module
        The neurons; what comes behind them is left alone.

    Returns
    -------
    list of str
        Names of the normalisations that were set.

    Raises
    ------
    InputError
        If there is a single value for each feature.

    References
    ----------
    Ioffe and Szegedy (2015), arXiv:1502.03167 (statistics of the population for inference).
    """
    mode, done = model.training, []
    model.eval()
    try:
        while (name := _first_fresh(model, batches, cells)) is not None:
            _set(model, name, batches, cells)
            done.append(name)
    finally:
        model.train(mode)
    return done


class Moments:
    """Mean and variance of each feature over all values given, batch by batch, in double precision."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    @torch.no_grad()
    def add(self, values: Tensor) -> None:
        """Add values, (batch, features, ...)."""
        values = values.double().transpose(0, 1).flatten(1)
        n, own = values.shape[1], values.mean(1)
        if not n:
            return
        apart = own - self.mean
        between = apart**2 * (self.count * n / (self.count + n))
        self.squares = self.squares + ((values - own[:, None]) ** 2).sum(1) + between
        self.mean = self.mean + apart * (n / (self.count + n))
        self.count += n

    @torch.no_grad()
    def write(self, norm: BatchNorm, name: str, batches: int = 1) -> None:
        """Make them the statistics of a normalisation.

        Parameters
        ----------
        norm : torch.nn.BatchNorm1d, torch.nn.BatchNorm2d or torch.nn.BatchNorm3d
            The normalisation.
        name : str
            What it is called, for the message.
        batches : int, default 1
            From how many batches they are.

        Raises
        ------
        InputError
            If there were less than two values for each feature.
        """
        if self.count < 2:
            raise InputError(
                f"the statistics of the normalisation {name!r} need two values at least, got {self.count}."
            )
        for kept, value in ((norm.running_mean, self.mean), (norm.running_var, self.squares / (self.count - 1))):
            assert kept is not None
            assert isinstance(value, Tensor)
            kept.copy_(value)
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.fill_(batches)


def has_fresh(model: nn.Module) -> bool:
    """Whether a network has batch normalisations that have seen no data."""
    return bool(_fresh(model))


def _fresh(model: nn.Module) -> dict[str, BatchNorm]:
    return {
        name: part for name, part in model.named_modules()
        if isinstance(part, BatchNorm) and part.num_batches_tracked is not None and int(part.num_batches_tracked) == 0
    }  # fmt: skip


@torch.no_grad()
def _run_until(model: nn.Module, batch: Tensor, watched: Iterable[nn.Module], see: Callable[..., None]) -> None:
    hooks = [module.register_forward_pre_hook(see) for module in watched]
    try:
        model(batch)
    except _Reached:
        pass  # as wanted: nothing behind is needed
    finally:
        for hook in hooks:
            hook.remove()


def _first_fresh(model: nn.Module, batches: Batches, cells: nn.Module) -> str | None:
    """Name of the first normalisation without data that a batch meets before the neurons."""
    fresh = _fresh(model)
    met: list[nn.Module] = []

    def see(module: nn.Module, given: Any) -> None:  # noqa: ARG001
        met.append(module)
        raise _Reached

    for batch in each(batches) if fresh else ():
        _run_until(model, batch, [*fresh.values(), cells], see)
        break
    return next((name for name, part in fresh.items() if met and part is met[0]), None)


def _set(model: nn.Module, name: str, batches: Batches, cells: nn.Module) -> None:
    norm, moments, runs = _fresh(model)[name], Moments(), 0

    def see(module: nn.Module, given: Any) -> None:
        if module is cells:
            raise _Reached
        moments.add(given[0])

    for batch in each(batches):
        _run_until(model, batch, [norm, cells], see)
        runs += 1
    moments.write(norm, name, runs)
