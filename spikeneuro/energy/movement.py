"""Operations without arithmetic, listed one by one: making, viewing, copying and selecting tensors."""

from __future__ import annotations

from typing import Any

from spikeneuro.energy.elementwise import per_element
from spikeneuro.energy.provenance import Kind, scalar_kind
from spikeneuro.energy.rules import Call, Cost, Rule
from spikeneuro.ops.counts import OperationCounts

_NOTHING = OperationCounts()

_VIEWS = (
    "view reshape _reshape_alias _unsafe_view t transpose permute expand expand_as squeeze unsqueeze select slice "
    "split split_with_sizes unsafe_split unsafe_split_with_sizes unsafe_chunk chunk unbind detach alias as_strided "
    "diagonal unfold narrow movedim swapaxes flatten unflatten view_as lift_fresh lift positive resize set "
    "is_same_size is_nonzero _local_scalar_dense item sym_size sym_stride sym_numel sym_storage_offset dim size "
    "stride numel _has_compatible_shallow_copy_type _fused_sdp_choice is_pinned _assert_async "
    "_assert_tensor_metadata record_stream equal is_contiguous storage_offset view_as_real conj _conj resolve_conj "
    "resolve_neg "
    # A copy for the sake of layout is the implementation's affair (it depends even on the batch size).
    "clone contiguous"
)
_COPIES = (
    "_to_copy cat stack hstack vstack repeat repeat_interleave tile flip roll rot90 index _unsafe_index "
    "index_select gather take take_along_dim masked_select tril triu diag diag_embed im2col pixel_shuffle "
    "pixel_unshuffle channel_shuffle native_channel_shuffle reflection_pad1d reflection_pad2d reflection_pad3d "
    "replication_pad1d replication_pad2d replication_pad3d upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "_upsample_nearest_exact1d _upsample_nearest_exact2d embedding index_put _index_put_impl index_copy scatter "
    "slice_scatter select_scatter diagonal_scatter masked_scatter nonzero unique_consecutive _unique2 one_hot "
    "block_diag constant_pad_nd"
)
_BLANKS = "empty empty_like empty_strided empty_permuted new_empty new_empty_strided"
_CONSTANTS = "zeros zeros_like new_zeros zero ones ones_like new_ones eye"
_COUNTERS = "arange linspace logspace"


def _none(call: Call) -> Cost:
    return Cost(_NOTHING, kind=call.mixed_kind() if call.tensors else Kind.GRADED)


def _mixed(call: Call) -> Cost:
    """Values of the operands, and of a constant if one is written between them; indices only say which."""
    pointers = {id(tensor) for name in ("index", "indices", "mask", "repeats") for tensor in _listed(call.arg(name))}
    kinds = [call.kind(tensor) for tensor in call.tensors if id(tensor) not in pointers]
    kinds += [scalar_kind(call.arg(name)) for name in ("value", "fill_value") if _is_number(call.arg(name))]
    return Cost(_NOTHING, kind=max(kinds, default=Kind.GRADED))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _constant(kind: Kind) -> Rule:
    return Rule(lambda _: Cost(_NOTHING, kind=kind), "none")


def _filled(call: Call) -> Cost:
    value = call.arg("fill_value", call.arg("value", call.arg("s")))
    return Cost(_NOTHING, kind=call.kind(value))


def _scattered_sum(call: Call) -> OperationCounts:
    """`index_add` and `scatter_add`: one addition per source element."""
    return OperationCounts(additions=call.arg("source", call.arg("src")).numel())


RULES: dict[str, Rule] = {
    **{f"aten::{name}": Rule(_none, "none") for name in _VIEWS.split()},
    **{f"aten::{name}": Rule(_mixed, "copy") for name in _COPIES.split()},
    **{f"aten::{name}": _constant(Kind.UNWRITTEN) for name in _BLANKS.split()},
    **{f"aten::{name}": _constant(Kind.NEUTRAL) for name in _CONSTANTS.split()},
    **{f"aten::{name}": _constant(Kind.GRADED) for name in _COUNTERS.split()},
    **{f"aten::{name}": Rule(_filled, "none") for name in ("full", "full_like", "new_full", "fill", "scalar_tensor")},
    **{f"aten::{name}": Rule(_scattered_sum, "copy") for name in ("index_add", "scatter_add")},
    "aten::copy": Rule(lambda call: Cost(_NOTHING, kind=call.kind(call.args[1])), "copy"),
    "aten::col2im": Rule(per_element(additions=1), "copy"),
}
