"""Cost models: joules per operation, kept as data with their source, precision and boundary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.ops.counts import KINDS, OperationCounts

_FOLDER = resources.files("spikeneuro.energy") / "cost_models"
_TEXTS = ("title", "source", "precision", "boundary", "technology")


@dataclass(frozen=True)
class CostModel:
    """What each kind of operation costs.

    Attributes
    ----------
    name : str
        Name under which it is found.
    title, source, technology : str
        What it is, the publication it comes from, and the silicon it describes.
    precision : str
        Number format its prices hold for.
    boundary : str
        What is inside: arithmetic only, a core, a chip or a board.
    picojoules : mapping of str to float
        Price of each kind of `OperationCounts`. Kinds not listed are outside the boundary.
    assumptions : tuple of str
        What the source does not give and was assumed.
    """

    name: str
    title: str
    source: str
    technology: str
    precision: str
    boundary: str
    picojoules: Mapping[str, float]
    assumptions: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Name with the first digits of a hash of the prices, for instance ``horowitz45-fp32 sha256:0123456789ab``.

        Energies modelled under different identities must not be compared.
        """
        prices = json.dumps(dict(self.picojoules), sort_keys=True)
        return f"{self.name} sha256:{hashlib.sha256(prices.encode()).hexdigest()[:12]}"

    def price(self, counts: OperationCounts) -> float:
        """Energy in joules of `counts`: the sum over kinds of number times price."""
        return 1e-12 * sum(price * getattr(counts, kind) for kind, price in self.picojoules.items())

    def breakdown(self, counts: OperationCounts) -> dict[str, float]:
        """Energy in joules by kind of operation."""
        return {kind: 1e-12 * price * getattr(counts, kind) for kind, price in self.picojoules.items()}


def cost_model_names() -> list[str]:
    """Names of the cost models that come with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml"))


def cost_model(model: str | CostModel | Mapping[str, Any]) -> CostModel:
    """Cost model by name, from a mapping with the keys of the data files, or itself.

    Parameters
    ----------
    model : str, mapping or CostModel
        For instance ``"horowitz45-fp32"``.

    Returns
    -------
    CostModel
        Prices and where they come from.

    Raises
    ------
    InputError
        For an unknown name, or a mapping with missing, unknown or invalid entries.

    Examples
    --------
    >>> from spikeneuro import energy
    >>> energy.cost_model("horowitz45-fp32").picojoules["macs"]
    4.6
    """
    if isinstance(model, CostModel):
        return model
    if isinstance(model, str):
        check_choice(model, cost_model_names(), "cost_model")
        text = (_FOLDER / f"{model}.yaml").read_text(encoding="utf-8")
        return _from_mapping(yaml.safe_load(text), f"cost model {model!r}")
    if isinstance(model, Mapping):
        return _from_mapping(model, "cost model")
    raise InputError(f"cost_model must be a name, a mapping or a CostModel, got {type(model).__name__}")


def _from_mapping(data: Mapping[str, Any], where: str) -> CostModel:
    required = ("name", *_TEXTS, "picojoules")
    for key in data:
        check_choice(str(key), (*required, "assumptions"), f"{where}: key")
    missing = [key for key in required if key not in data]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}")
    if not isinstance(data["picojoules"], Mapping):
        raise InputError(f"{where}: picojoules must map kinds of operation to numbers, got {data['picojoules']!r}")
    prices = {}
    for kind, price in data["picojoules"].items():
        check_choice(str(kind), KINDS, f"{where}: picojoules")
        prices[str(kind)] = float(check_number(price, f"{where}: picojoules.{kind}", low=0))
    texts = {key: str(data[key]) for key in ("name", *_TEXTS)}
    return CostModel(picojoules=prices, assumptions=tuple(map(str, data.get("assumptions", ()))), **texts)
