"""The ledger: what one forward pass costs, by module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spikeneuro.energy.costs import CostModel, cost_model
from spikeneuro.errors import InputError
from spikeneuro.ops.counts import OperationCounts

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 1


@dataclass(frozen=True)
class LayerCounts:
    """Counts of one module over all samples counted; what its submodules do is in their rows.

    Attributes
    ----------
    name : str
        Qualified name of the module, empty for the model itself.
    type : str
        Its class.
    output_shape : tuple of int
        Shape of its first result in the first batch.
    dense, effective : OperationCounts
        Operations with every input counted, and with zero activations skipped in products.
    spikes, neuron_steps : int
        Spikes emitted and chances to emit one (neurons times steps); zero for modules that emit none.
    encoder : bool
        Whether its spikes encode the input rather than come from neurons.
    """

    name: str
    type: str
    output_shape: tuple[int, ...] = ()
    dense: OperationCounts = field(default_factory=OperationCounts)
    effective: OperationCounts = field(default_factory=OperationCounts)
    spikes: int = 0
    neuron_steps: int = 0
    encoder: bool = False

    @property
    def spike_rate(self) -> float | None:
        """Spikes per neuron and step; None for a module that emits no spikes."""
        return self.spikes / self.neuron_steps if self.neuron_steps else None

    def merged(self, other: LayerCounts) -> LayerCounts:
        """Row of two batches together."""
        return replace(
            self,
            output_shape=self.output_shape or other.output_shape,
            dense=self.dense + other.dense,
            effective=self.effective + other.effective,
            spikes=self.spikes + other.spikes,
            neuron_steps=self.neuron_steps + other.neuron_steps,
        )


@dataclass(frozen=True)
class Ledger:
    """Operations of a model on given data, by module, dense and effective; numbers are per sample.

    Two ledgers of the same model add up to that of their samples together.

    Attributes
    ----------
    model : str
        Class of the model.
    n_samples : int
        Samples counted.
    layers : tuple of LayerCounts
        One row per module that does something, in the order of the model; totals over the samples.
    preparation : OperationCounts
        Arithmetic per pass that no sample needs anew, such as decays computed from learnt time constants. It is
        not part of the per-sample numbers.
    """

    model: str
    n_samples: int
    layers: tuple[LayerCounts, ...]
    preparation: OperationCounts = field(default_factory=OperationCounts)

    @property
    def dense(self) -> OperationCounts:
        """Operations per sample with every input counted, zeros and padding included."""
        return sum((layer.dense for layer in self.layers), OperationCounts()) / self.n_samples

    @property
    def effective(self) -> OperationCounts:
        """Operations per sample with zero activations skipped in products."""
        return sum((layer.effective for layer in self.layers), OperationCounts()) / self.n_samples

    @property
    def macs(self) -> float:
        """Effective multiply-accumulates per sample."""
        return self.effective.macs

    @property
    def acs(self) -> float:
        """Effective accumulates per sample."""
        return self.effective.acs

    @property
    def spike_rate(self) -> float | None:
        """Spikes per neuron and step over all neurons (encoders apart); None if there are no spiking neurons."""
        rows = [layer for layer in self.layers if layer.neuron_steps and not layer.encoder]
        steps = sum(layer.neuron_steps for layer in rows)
        return sum(layer.spikes for layer in rows) / steps if steps else None

    def energy(self, cost_model: str | CostModel | Mapping[str, Any] = "horowitz45-fp32") -> float:
        """Modelled energy of the effective operations in joules per sample.

        Parameters
        ----------
        cost_model : str, mapping or CostModel
            Prices; see `spikeneuro.energy.cost_model`.

        Returns
        -------
        float
            Joules per sample within the cost model's boundary. A model, not a measurement.
        """
        return _model(cost_model).price(self.effective)

    def energy_dense(self, cost_model: str | CostModel | Mapping[str, Any] = "horowitz45-fp32") -> float:
        """Modelled energy of the dense operations in joules per sample.

        Parameters
        ----------
        cost_model : str, mapping or CostModel
            Prices; see `spikeneuro.energy.cost_model`.

        Returns
        -------
        float
            Joules per sample within the cost model's boundary.
        """
        return _model(cost_model).price(self.dense)

    def table(self) -> pd.DataFrame:
        """Per-sample counts by module: products dense and effective, other operations effective, spikes, rate."""
        import pandas as pd

        return pd.DataFrame([self._record(layer) for layer in self.layers])

    def _record(self, layer: LayerCounts) -> dict[str, Any]:
        dense, effective = layer.dense / self.n_samples, layer.effective / self.n_samples
        others = {kind: number for kind, number in effective.as_dict().items() if kind not in ("macs", "acs")}
        return {
            "module": layer.name or "(model)",
            "type": layer.type,
            "output_shape": layer.output_shape,
            "macs": effective.macs,
            "acs": effective.acs,
            "dense_macs": dense.macs,
            "dense_acs": dense.acs,
            **others,
            "spikes": layer.spikes / self.n_samples if layer.neuron_steps else float("nan"),
            "spike_rate": float("nan") if layer.spike_rate is None else layer.spike_rate,
        }

    def __add__(self, other: Ledger) -> Ledger:
        if self.model != other.model:
            raise InputError(f"ledgers of different models do not add up: {self.model} and {other.model}")
        names = list(dict.fromkeys(layer.name for layer in (*self.layers, *other.layers)))
        mine = {layer.name: layer for layer in self.layers}
        theirs = {layer.name: layer for layer in other.layers}
        rows = [
            mine[name].merged(theirs[name]) if name in mine and name in theirs else mine.get(name, theirs.get(name))
            for name in names
        ]
        return Ledger(
            self.model,
            self.n_samples + other.n_samples,
            tuple(row for row in rows if row is not None),
            self.preparation or other.preparation,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger as what JSON can hold; totals over the samples, exact."""
        return {
            "format": _FORMAT,
            "model": self.model,
            "n_samples": self.n_samples,
            "preparation": _sparse(self.preparation),
            "layers": [
                {
                    "name": layer.name,
                    "type": layer.type,
                    "output_shape": list(layer.output_shape),
                    "dense": _sparse(layer.dense),
                    "effective": _sparse(layer.effective),
                    "spikes": layer.spikes,
                    "neuron_steps": layer.neuron_steps,
                    "encoder": layer.encoder,
                }
                for layer in self.layers
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ledger:
        """Inverse of `to_dict`.

        Raises
        ------
        InputError
            If the data are not a ledger of this format.
        """
        if data.get("format") != _FORMAT:
            raise InputError(f"not a ledger of format {_FORMAT}: format={data.get('format')!r}")
        layers = tuple(
            LayerCounts(
                name=row["name"],
                type=row["type"],
                output_shape=tuple(row["output_shape"]),
                dense=OperationCounts.from_dict(row["dense"]),
                effective=OperationCounts.from_dict(row["effective"]),
                spikes=row["spikes"],
                neuron_steps=row["neuron_steps"],
                encoder=row["encoder"],
            )
            for row in data["layers"]
        )
        return cls(data["model"], data["n_samples"], layers, OperationCounts.from_dict(data["preparation"]))


def _model(given: str | CostModel | Mapping[str, Any]) -> CostModel:
    return cost_model(given)


def _sparse(counts: OperationCounts) -> dict[str, int | float]:
    return {kind: number for kind, number in counts.as_dict().items() if number}
