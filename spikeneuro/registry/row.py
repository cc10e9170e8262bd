"""One row of the table of models."""

import importlib
import inspect
from dataclasses import dataclass
from typing import Any, Literal

from spikeneuro._validation import suggestion
from spikeneuro.errors import InputError

Inputs = Literal["signal", "image", "features", "several"]


@dataclass(frozen=True)
class ModelEntry:
    """One row of the table.

    Attributes
    ----------
    name : str
        Public name, as users type it.
    target : str
        ``module:attribute`` of the class (network) or builder function (pipeline).
    inputs : tuple of {"signal", "image", "features", "several"}
        Input kinds: ``(batch, channels, times)``, ``(batch, channels, height, width)``, ``(batch, features)``, a dict
        of two or more such arrays by modality.
    kind : {"network", "pipeline"}
        A torch module trained by the estimators, or a scikit-learn estimator that trains itself.
    spiking : bool
        Whether spikes carry the signal inside.
    tasks : tuple of {"classification", "regression", "steps"}
        What it can be trained for; "steps" is one label per time step.
    reference : str
        Paper or book, with DOI where there is one.
    summary : str
        One line for listings.
    extra : str, optional
        The extra of this package that installs what it needs.
    """

    name: str
    target: str
    inputs: tuple[Inputs, ...]
    kind: Literal["network", "pipeline"]
    spiking: bool
    tasks: tuple[str, ...]
    reference: str
    summary: str
    extra: str | None = None

    def load(self) -> Any:
        """Import and return the class or builder."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def build(self, **parameters: Any) -> Any:
        """Build the model: a torch module, or an unfitted scikit-learn estimator.

        Raises
        ------
        InputError
            If a parameter is missing, or unknown: then the message offers the nearest one.
        """
        target = self.load()
        known = inspect.signature(target).parameters
        open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        for given in parameters:
            if given not in known and not open_ended:
                raise InputError(f"model {self.name!r} has no parameter {given!r}; {suggestion(given, known)}")
        missing = [
            key
            for key, p in known.items()
            if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and key not in parameters
        ]
        if missing:
            raise InputError(f"model {self.name!r} needs {', '.join(missing)}.")
        return target(**parameters)
