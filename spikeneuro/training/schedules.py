"""Learning-rate schedules, stepped once per batch."""

from typing import Any

from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from spikeneuro._validation import check_choice

SCHEDULES = ("cosine", "one-cycle", "constant")


def make_schedule(name: str, lr: float, total_steps: int) -> LRScheduler | None:
    """Callback that steps the schedule `name` after every batch, or None for a constant rate.

    Parameters
    ----------
    name : {"cosine", "one-cycle", "constant"}
        ``cosine``: from `lr` down to zero along half a cosine (Loshchilov and Hutter, 2017);
        ``one-cycle``: up to `lr` over the first 30 % of the steps, then down (Smith and Topin, 2019).
    lr : float
        Highest learning rate.
    total_steps : int
        Number of batches in the whole training.
    """
    check_choice(name, SCHEDULES, "schedule")
    if name == "constant":
        return None
    options: dict[str, Any] = {"policy": CosineAnnealingLR, "T_max": total_steps}
    if name == "one-cycle":
        options = {"policy": OneCycleLR, "max_lr": lr, "total_steps": total_steps}
    return LRScheduler(step_every="batch", **options)
