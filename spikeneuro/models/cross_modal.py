"""What networks on several modalities share: branches, four ways of fusion, absent modalities, readout."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake

from spikeneuro._validation import check_choice, check_number, suggestion
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.models.cross_modal_branches import MapBranch, SignalBranch, VectorBranch
from spikeneuro.models.cross_modal_inputs import (
    Modality,
    aligned,
    as_encoders,
    as_modalities,
    check_fast_enough,
    common_steps,
    encoded,
    missing,
    stands_still,
    without_gaps,
)
from spikeneuro.models.inputs import check_dropout, check_odd, check_sfreq, check_sizes
from spikeneuro.models.spiking import binned_rates
from spikeneuro.nn import CrossModalAttention, EventLinear, OverTime
from spikeneuro.nn.cross_modal_attention import scaled_in_time

FUSIONS = ("cma", "input", "intermediate", "late")
#: Most common steps by default.
MOST_STEPS = 128
#: Steps of the separable convolution of a signal's branch, as in `SpikingEEGNet`.
_SEPARABLE = 15
#: Length of the temporal filters: seconds, or steps where time is counted in them.
_KERNEL = {"seconds": 0.5, "steps": 9.0}
_ALL = "all"


@dataclass(frozen=True)
class Layout:
    """Settings of the branches and of what follows them; see `CrossModalSNN` for what each means."""

    fusion: str
    where: str | None
    when: str | None
    spatial: bool
    temporal: bool
    hidden: int
    filters: Sequence[int]
    kernel_length: float | None
    kernel_size: int
    n_steps: int | None
    still: int
    n_bins: int
    pooling: str
    seconds: bool
    modality_dropout: float
    drop_prob: float


#: Makes a nonlinearity: shape of its features, whether it is the first of a signal's branch, length of a step.
MakeLayer = Callable[[tuple[int, ...], bool, float], nn.Module]


class CrossModalNetwork(nn.Module):
    """Base of `CrossModalSNN` and `CrossModalCNN`.

    Parameters
    ----------
    modalities, n_outputs, encoder
        As for `CrossModalSNN`.
    layout : Layout
        The other settings.
    layer : callable
        Makes the nonlinearities.
    """

    def __init__(
        self,
        modalities: Mapping[str, Mapping[str, object]],
        n_outputs: int,
        layout: Layout,
        layer: MakeLayer,
        encoder: str | Encoder | Mapping[str, str | Encoder],
    ) -> None:
        super().__init__()
        _check(layout, n_outputs)
        self.modalities = as_modalities(modalities)
        self.n_outputs, self.fusion, self.pooling = n_outputs, layout.fusion, layout.pooling
        self.modality_dropout = layout.modality_dropout
        self.where, self.when = _roles(layout, list(self.modalities))
        self.maps = len({m.image_size for m in self.modalities.values()} - {None}) == 1 and all(
            m.image_size is not None for m in self.modalities.values()
        )
        durations = {name: self._duration(m, layout) for name, m in self.modalities.items()}
        held = layout.n_steps or common_steps(
            self.modalities, as_encoders(encoder, self.modalities, 1), MOST_STEPS, layout.still
        )
        self.n_steps = held
        self.n_bins = min(layout.n_bins, self.n_steps)
        self.encoder = as_encoders(encoder, self.modalities, self.n_steps)
        # what stands still is held as long as the longest modality lasts
        longest = max(durations.values())
        lasting = {name: durations[name] if m.moves else longest for name, m in self.modalities.items()}
        if self.fusion == "input":
            self.in_steps = self._input_steps()
            self.branches = nn.ModuleDict({_ALL: self._joint_branch(layout, layer, longest)})
        else:
            self.branches = nn.ModuleDict(
                {name: self._branch(m, layout, layer, lasting[name]) for name, m in self.modalities.items()}
            )
        self._shapes: dict[str, tuple[int, ...]] = {n: branch.shape for n, branch in self.branches.items()}  # type: ignore[misc]
        self.attention = nn.ModuleDict()
        if self.fusion == "cma":
            for name in self.modalities:
                if name != self.where:
                    self.attention[name] = CrossModalAttention(
                        self._shapes[self.where], self._shapes[name], self.n_steps, spatial=layout.spatial,
                        temporal=layout.temporal and name == self.when,
                    )  # fmt: skip
        self.dropout = nn.Dropout(layout.drop_prob)
        if self.fusion == "late":
            self.heads = nn.ModuleDict({name: self._head(shape) for name, shape in self._shapes.items()})
        else:
            self._build_fusion(layout, layer, longest / self.n_steps)

    # Building

    def _duration(self, modality: Modality, layout: Layout) -> float:
        """Length of a sample in the unit of the time constants."""
        if not modality.moves:
            return 0.0 if any(m.moves for m in self.modalities.values()) else float(layout.n_steps or layout.still)
        if layout.seconds:
            reason = f"time constants of modality {modality.name!r} are in seconds (or count them in steps with "
            rate = check_sfreq(modality.sfreq, reason + "tau_unit='steps')")
            return modality.n_times / rate
        return float(modality.n_times)

    def _input_steps(self) -> int:
        """Steps on which the inputs are joined: those of the fastest modality, or the common ones for maps."""
        moving = [self._encoder(n).n_steps(m.n_times) for n, m in self.modalities.items() if m.moves]
        return self.n_steps if self.maps or not moving else max(moving)

    def _encoder(self, name: str) -> Encoder:
        found = self.encoder[name]
        assert isinstance(found, Encoder)
        return found

    def _width(self, modality: Modality) -> int:
        """Channels that the encoder makes; of frames, those there are."""
        if modality.kind == "frames":
            return modality.channels
        return self._encoder(modality.name).out_features(modality.channels)

    def _branch(self, modality: Modality, layout: Layout, layer: MakeLayer, duration: float) -> nn.Module:
        constant = stands_still(modality, self._encoder(modality.name))
        width = self._width(modality)
        if modality.kind == "signal":
            steps = self._encoder(modality.name).n_steps(modality.n_times)
            if layout.seconds and layout.kernel_length is None:
                check_fast_enough(modality, _KERNEL["seconds"] * steps / duration)
            return self._signal_branch(width, steps, layout, layer, duration)
        dt = duration / self.n_steps
        if modality.kind == "features":
            neurons = layer((layout.hidden,), False, dt)
            return VectorBranch(width, layout.hidden, self.n_steps, constant=constant, neurons=neurons)
        assert modality.image_size is not None
        return self._map_branch(width, modality.image_size, layout, layer, dt, constant)

    def _map_branch(
        self, width: int, image_size: tuple[int, int], layout: Layout, layer: MakeLayer, dt: float, constant: bool
    ) -> MapBranch:
        return MapBranch(
            width, image_size, self.n_steps, filters=layout.filters, kernel_size=layout.kernel_size,
            hidden=None if self.maps else layout.hidden, constant=constant,
            neurons=lambda shape: layer(shape, False, dt),
        )  # fmt: skip

    def _signal_branch(self, width: int, steps: int, layout: Layout, layer: MakeLayer, duration: float) -> SignalBranch:
        length = layout.kernel_length or _KERNEL["seconds" if layout.seconds else "steps"]
        dt = duration / steps
        return SignalBranch(
            width, layout.hidden, self.n_steps, kernel=_odd(min(length / dt, steps)),
            separable_kernel=_odd(min(_SEPARABLE, self.n_steps)), pooling=layout.pooling, drop_prob=layout.drop_prob,
            first=layer((layout.hidden,), True, dt), second=layer((layout.hidden,), False, duration / self.n_steps),
        )  # fmt: skip

    def _joint_branch(self, layout: Layout, layer: MakeLayer, duration: float) -> nn.Module:
        """One branch for all inputs together."""
        if self.maps:
            size = next(iter(self.modalities.values())).image_size
            assert size is not None
            constant = all(stands_still(m, self._encoder(n)) for n, m in self.modalities.items())
            width = sum(self._width(m) for m in self.modalities.values())
            return self._map_branch(width, size, layout, layer, duration / self.n_steps, constant)
        width = sum(self._flat_width(m) for m in self.modalities.values())
        return self._signal_branch(width, self.in_steps, layout, layer, duration)

    def _flat_width(self, modality: Modality) -> int:
        height, breadth = modality.image_size or (1, 1)
        return self._width(modality) * height * breadth

    def _build_fusion(self, layout: Layout, layer: MakeLayer, dt: float) -> None:
        width = sum(shape[0] for shape in self._shapes.values())
        place = next(iter(self._shapes.values()))[1:]
        self.joint: nn.Module
        if place:
            maps = max(shape[0] for shape in self._shapes.values())
            convolution = nn.Conv2d(width, maps, 3, padding=1, bias=False)
            self.joint = OverTime(nn.Sequential(convolution, nn.BatchNorm2d(maps)))
            self.fused = layer((maps, 1, 1), False, dt)
            self.head = self._head((maps, *place))
        else:
            norm = OverTime(nn.BatchNorm1d(layout.hidden))
            self.joint = nn.Sequential(EventLinear(width, layout.hidden, bias=False), norm)
            self.fused = layer((layout.hidden,), False, dt)
            self.head = self._head((layout.hidden,))

    def _head(self, shape: tuple[int, ...]) -> nn.Linear:
        features = self.n_bins
        for size in shape:
            features *= size
        return nn.Linear(features, self.n_outputs)

    # Running

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Dict of inputs by modality -> logits (batch, n_outputs); what is left out or NaN throughout is absent."""
        given, present = self._received(x)
        if self.fusion == "input":
            features = {_ALL: self.branches[_ALL](self._joined_input(given, present))}
        else:
            features = {
                name: _only(self.branches[name](self._encoded(name, value)), present[name])
                for name, value in given.items()
            }
        if self.fusion == "late":
            return self._late(features, present)
        if self.fusion == "cma":
            features = self._attend(features, present)
        first = next(iter(features.values()))
        whole = [
            features[name] if name in features else first.new_zeros(self.n_steps, first.shape[1], *shape)
            for name, shape in self._shapes.items()
        ]
        fused = self.fused(self.joint(torch.cat(whole, dim=2)))
        return self.head(self.dropout(binned_rates(fused, self.n_bins)))

    def _received(self, x: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
        """Inputs with absent samples made zero, and which samples have each (None: all)."""
        self._check_keys(x)
        given: dict[str, Tensor] = {}
        present: dict[str, Tensor | None] = {}
        for name, modality in self.modalities.items():
            if name not in x:
                continue
            modality.check(x[name])
            try:
                gone = missing(x[name])
            except InputError as error:
                raise InputError(f"modality {name!r}: {error}") from error
            given[name], present[name] = x[name], None
            if gone is not None:
                given[name], present[name] = without_gaps(x[name], ~gone, self.training), ~gone
        _refuse_nothing(present)
        if self.training:  # of nobody in the batch: as if left out
            for name in [name for name, there in present.items() if there is not None and not there.any()]:
                del given[name], present[name]
        if self.training and self.modality_dropout:
            present = self._dropped(present, next(iter(given.values())))
        return given, present

    def _check_keys(self, x: Mapping[str, Tensor]) -> None:
        names = ", ".join(map(repr, self.modalities))
        if not isinstance(x, Mapping):
            shape = tuple(getattr(x, "shape", ()))
            raise InputError(f"the model takes a dict of the modalities {names}, got one array of shape {shape}.")
        if not x:
            raise InputError(f"every modality is missing; at least one of {names} is needed.")
        for name in x:
            if name not in self.modalities:
                raise InputError(f"there is no modality {name!r}; {suggestion(str(name), self.modalities)}")
        counts = {name: len(value) for name, value in x.items()}
        if len(set(counts.values())) > 1:
            raise InputError(f"the modalities differ in their number of samples: {counts}.")

    def _dropped(self, present: Mapping[str, Tensor | None], like: Tensor) -> dict[str, Tensor | None]:
        """Leave modalities out at random, sample by sample, but never all that a sample has."""
        everyone = torch.ones(len(like), dtype=torch.bool, device=like.device)
        there = torch.stack([everyone if p is None else p for p in present.values()], dim=1)
        draw = torch.rand(there.shape, device=like.device).masked_fill(~there, -1.0)
        keep = there & ((draw >= self.modality_dropout) | (draw == draw.amax(dim=1, keepdim=True)))
        return {name: keep[:, i] for i, name in enumerate(present)}

    def _encoded(self, name: str, x: Tensor) -> Tensor:
        return encoded(x, self.modalities[name], self._encoder(name))

    def _joined_input(self, given: Mapping[str, Tensor], present: Mapping[str, Tensor | None]) -> Tensor:
        """Encoded inputs side by side on one clock."""
        some = next(iter(given.values()))
        parts = []
        for name, modality in self.modalities.items():
            place = modality.image_size or ()
            if name in given:
                part = _only(aligned(self._encoded(name, given[name]), self.in_steps, "mean"), present[name])
            else:
                part = some.new_zeros(self.in_steps, len(some), self._width(modality), *place)
            parts.append(part if self.maps else part.flatten(2))
        return torch.cat(parts, dim=2)

    def _attend(self, features: dict[str, Tensor], present: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        """Scale each branch in space by the one that says where, and in time by the one that says when."""
        steps = None
        if self.when in features:
            steps = self._attention(self.when).temporal_scores(features[self.when], present[self.when])
        scaled = {}
        for name, spikes in features.items():
            if steps is not None and name != self.when:
                spikes = scaled_in_time(spikes, steps)
            if name != self.where and self.where in features:
                places = self._attention(name).spatial_scores(features[self.where], present[self.where])
                spikes = spikes if places is None else spikes * places
            scaled[name] = spikes
        return scaled

    def _attention(self, name: str) -> CrossModalAttention:
        found = self.attention[name]
        assert isinstance(found, CrossModalAttention)
        return found

    def _late(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor | None]) -> Tensor:
        """Mean of the logits of the modalities that a sample has."""
        logits = [
            self.heads[name](self.dropout(binned_rates(spikes, self.n_bins))) for name, spikes in features.items()
        ]
        masks = [present[name] for name in features]
        if all(mask is None for mask in masks):
            return torch.stack(logits).mean(dim=0)
        whole = torch.ones_like(logits[0][:, 0])
        weight = torch.stack([whole if mask is None else mask.to(whole.dtype) for mask in masks])
        return (torch.stack(logits) * weight.unsqueeze(2)).sum(dim=0) / weight.sum(dim=0).unsqueeze(1)


def _check(layout: Layout, n_outputs: int) -> None:
    check_choice(layout.fusion, FUSIONS, "fusion")
    check_choice(layout.pooling, ("mean", "max"), "pooling")
    check_sizes(n_outputs=n_outputs, hidden=layout.hidden, n_bins=layout.n_bins)
    if not isinstance(layout.filters, Sequence) or not layout.filters:
        raise InputError(f"filters={layout.filters!r} must hold the maps of one block or more, such as (8, 16).")
    check_sizes(**{f"filters[{i}]": maps for i, maps in enumerate(layout.filters)})
    check_odd(layout.kernel_size, "kernel_size")
    check_dropout(drop_prob=layout.drop_prob, modality_dropout=layout.modality_dropout)
    if layout.n_steps is not None:
        check_sizes(n_steps=layout.n_steps)
    if layout.kernel_length is not None:
        check_number(layout.kernel_length, "kernel_length", low=0.0, closed="neither")


def _roles(layout: Layout, names: list[str]) -> tuple[str, str]:
    """Which modality says where, and which says when: the first and the second unless named."""
    for role in (layout.where, layout.when):
        if role is not None and role not in names:
            raise InputError(f"there is no modality {role!r}; {suggestion(role, names)}")
    where = layout.where or next(name for name in names if name != layout.when)
    when = layout.when or next(name for name in names if name != where)
    if where == when:
        raise InputError(f"where and when are both {where!r}; attention needs two modalities.")
    return where, when


def _odd(length: float) -> int:
    """Largest odd whole number up to `length`, at least 1."""
    return max(1, (int(length) - 1) // 2 * 2 + 1)


def _only(spikes: Tensor, present: Tensor | None) -> Tensor:
    """Features (time, batch, ...) of the samples that have them, zero for the others."""
    if present is None:
        return spikes
    return spikes * present.to(spikes.dtype).reshape(1, -1, *[1] * (spikes.ndim - 2))


def _refuse_nothing(present: Mapping[str, Tensor | None]) -> None:
    """Raise if a sample has no modality at all."""
    masks = [mask for mask in present.values() if mask is not None]
    if len(masks) < len(present) or torch.compiler.is_compiling() or any(is_fake(mask) for mask in masks):
        return
    alone = (~torch.stack(masks).cpu().any(dim=0)).numpy()
    if alone.any():
        raise InputError(f"sample {int(alone.argmax())} has no modality: it is NaN throughout in {', '.join(present)}.")
