"""Sharing work out to OpenMP's threads from inside compiled code.

The threads never enter Python. Were they to call a kernel from there, each would first wait for the interpreter's lock,
asleep, and a sleeping thread is often woken on the processor of the one that it is to help, where it waits for that one
to end while that one waits for it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from spikeneuro.ops.numba_compile import intrinsic

_values_of: Any = cgutils.unpack_tuple  # these have no type hints
_field: Any = cgutils.gep_inbounds
_room: Any = cgutils.alloca_once

_COUNT, _FLAG = ir.IntType(64), ir.IntType(32)
_POINTER = ir.IntType(8).as_pointer()
# Places in what the threads of a region have in common, before the arguments of their function.
_NEXT, _SHARES, _FIRST, _LAST, _FAILED, _ARGUMENTS = range(6)


@intrinsic
def share_out(typing: Any, function: Any, _team: Any, _first: Any, _last: Any, arguments: Any) -> Any:
    """Call ``function(first, last, *arguments)`` over shares of ``first <= k < last`` on the threads of `team`.

    `function` is compiled and returns nothing. Returns whether all shares
    were run to their end: a share ends early where memory is short.
    """
    taken = (types.int64, types.int64, *arguments.types)
    signature = function.get_call_type(typing, taken, {})
    if signature.args != taken or signature.return_type != types.none:
        return None
    compiled = function.dispatcher.get_compile_result(signature)

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        context.add_linking_libs([compiled.library])
        _, (entry, shares), begin, end, packed = (
            _values_of(builder, value) if place == 1 else value for place, value in enumerate(values)
        )
        common = ir.LiteralStructType([_COUNT] * _ARGUMENTS + [context.get_value_type(own.args[4])])
        place = _room(builder, common)
        for field, value in ((_NEXT, _COUNT(0)), (_SHARES, shares), (_FIRST, begin), (_LAST, end), (_FAILED, _COUNT(0)),
                             (_ARGUMENTS, packed)):  # fmt: skip
            builder.store(value, _field(builder, place, 0, field))
        region = _region(context, builder.module, compiled, signature, common)
        anything = builder.bitcast(place, _POINTER)
        with builder.if_else(builder.icmp_signed("==", entry, _COUNT(0))) as (alone, together):
            with alone:
                builder.call(region, [anything])
            with together:
                kind = ir.FunctionType(ir.VoidType(), [region.type, _POINTER, _FLAG, _FLAG])
                parallel = builder.inttoptr(entry, kind.as_pointer())
                builder.call(parallel, [region, anything, builder.trunc(shares, _FLAG), _FLAG(0)])
        failed = builder.load(_field(builder, place, 0, _FAILED))
        return builder.icmp_signed("==", failed, _COUNT(0))

    return types.boolean(function, _team, types.int64, types.int64, arguments), generate


def _region(context: Any, module: Any, compiled: Any, signature: Any, common: Any) -> Any:
    """Function that each thread of a region runs: shares that no other thread has taken, until none is left."""
    region = ir.Function(module, ir.FunctionType(ir.VoidType(), [_POINTER]), module.get_unique_name("region"))
    region.linkage = "internal"
    builder = ir.IRBuilder(region.append_basic_block("entry"))
    place = builder.bitcast(region.args[0], common.as_pointer())

    def read(field: int) -> Any:
        return builder.load(_field(builder, place, 0, field))

    shares, first, last = read(_SHARES), read(_FIRST), read(_LAST)
    arguments = _values_of(builder, read(_ARGUMENTS))
    many = builder.sub(last, first)
    take, run, failed, end = (region.append_basic_block(name) for name in ("take", "run", "failed", "end"))
    builder.branch(take)
    builder.position_at_end(take)
    # A region may get fewer threads than it asked for: whoever is done takes what is left.
    share = builder.atomic_rmw("add", _field(builder, place, 0, _NEXT), _COUNT(1), "seq_cst")
    builder.cbranch(builder.icmp_signed("<", share, shares), run, end)
    builder.position_at_end(run)
    bounds = [
        builder.add(first, builder.sdiv(builder.mul(many, number), shares))
        for number in (share, builder.add(share, _COUNT(1)))
    ]
    status, _ = context.call_internal_no_propagate(builder, compiled.fndesc, signature, [*bounds, *arguments])
    builder.cbranch(status.is_error, failed, take)
    builder.position_at_end(failed)
    builder.store(_COUNT(1), _field(builder, place, 0, _FAILED))
    builder.branch(take)
    builder.position_at_end(end)
    builder.ret_void()
    return region
