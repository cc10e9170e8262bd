"""How the kernels are compiled: options, and machine code kept on disk for as long as all sources are the same.

Numba compares only the file of the kernel itself with what it kept, while the mathematics stand in functions of other
files that a kernel calls. Here the content of every compiled file decides.
"""

import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numba
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.compiler import Flags
from numba.core.cpu import CPUTargetOptions
from numba.core.options import TargetOptions
from numba.np.arrayobj import make_array


def _unnamed_options() -> dict[str, bool]:
    """Options that numba has without a public name, as far as the installed release has them.

    ``noalias`` promises that the arrays of one call do not overlap, as numba's own parallel loops do; without it each
    inner loop begins with a comparison of every two arrays, which costs more than a short loop itself. ``_nrt=False``
    leaves out the counting of references to slices, ``forceinline`` calls between kernel functions. A release that has
    them elsewhere compiles slower kernels of the same result.
    """
    if hasattr(Flags, "noalias") and not hasattr(CPUTargetOptions, "noalias"):
        mapping: Any = TargetOptions.Mapping
        CPUTargetOptions.noalias = mapping("noalias")
    wanted = {"noalias": True, "_nrt": False, "forceinline": True}
    return {name: value for name, value in wanted.items() if hasattr(CPUTargetOptions, name)}


#: `numba.extending.intrinsic`, which has no type hints, as the others here.
intrinsic: Any = extending.intrinsic
_array_of: Any = make_array
_function_of: Any = cgutils.get_or_insert_function
_njit: Any = numba.njit  # the options below are not in its public signature
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_UNNAMED = _unnamed_options()

#: Compiles a function that kernels call. What it writes must not overlap with anything else that it is given. It has no
#: memory of its own: counting references to each slice would cost more than the arithmetic on it.
kernel_function = _njit(**_OPTIONS, **_UNNAMED)

#: Compiles one element of a loop that stands in several kernel functions.
element_function = _njit(**_OPTIONS, **{name: value for name, value in _UNNAMED.items() if name != "noalias"})

#: As `kernel_function`, free to contract products and sums: for gradients, whose last bit follows no order.
contracting_function = _njit(**_OPTIONS, **_UNNAMED, fastmath={"contract"})


#: Compiles what one thread does of a kernel: this may allocate memory.
share_function = _njit(**_OPTIONS)


@intrinsic
def choose(_context: Any, condition: Any, one: Any, other: Any) -> Any:
    """Select between two values that are both computed: ``one if condition else other`` without a branch.

    Branches in a loop become masked stores, of which each costs as much as several additions.
    """
    if not isinstance(condition, types.Boolean) or one != other:
        return None

    def select(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.select(*values)

    return one(condition, one, other), select


def _prefetch(array: Any, *, write: bool) -> Any:
    """Signature and code of a request for a cache line."""
    if not isinstance(array, types.Array) or array.ndim != 1 or array.layout != "C":
        return None

    def ask(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = _array_of(signature.args[0])(context, builder, values[0]).data
        pointer = builder.bitcast(builder.gep(data, [values[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        function = _function_of(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, number(int(write)), number(2), number(1)])  # into the second-level cache; data
        return context.get_dummy_value()

    return types.void(array, types.uint64), ask


@intrinsic
def prefetch(_context: Any, array: Any, _place: Any) -> Any:
    """Ask for the cache line of ``array[place]``, which will be read soon."""
    return _prefetch(array, write=False)


@intrinsic
def prefetch_to_write(_context: Any, array: Any, _place: Any) -> Any:
    """Ask for the cache line of ``array[place]``, which will be written soon."""
    return _prefetch(array, write=True)


@intrinsic
def bits_of_group(_context: Any, array: Any, _place: Any) -> Any:
    """Which of the 16 elements from ``array[place]`` on differ from zero, as the lowest bits of a number."""
    if not isinstance(array, types.Array) or array.ndim != 1 or array.layout != "C":
        return None

    def read(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = _array_of(signature.args[0])(context, builder, values[0]).data
        group = ir.VectorType(data.type.pointee, 16)
        pointer = builder.bitcast(builder.gep(data, [values[1]]), group.as_pointer())
        elements = builder.load(pointer, align=array.dtype.bitwidth // 8)
        differs = builder.fcmp_unordered("!=", elements, ir.Constant(group, [0.0] * 16))
        return builder.zext(builder.bitcast(differs, ir.IntType(16)), ir.IntType(64))

    return types.int64(array, types.intp), read


@intrinsic
def lowest_bit(_context: Any, _bits: Any) -> Any:
    """Place of the lowest bit of a number that is not 0."""

    def count(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), count


@intrinsic
def number_of_bits(_context: Any, _bits: Any) -> Any:
    """Number of the bits that are set."""

    def count(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.ctpop(values[0])

    return types.int64(types.int64), count


@intrinsic
def stream_group(_context: Any, source: Any, target: Any, _place: Any) -> Any:
    """Copy the 16 elements from ``source[place]`` on to the same place of `target`, past the caches.

    An ordinary write reads first what it will replace. The place in `target` lies at a multiple of 64 bytes; when all
    is written, `finish_streams` follows.
    """
    if any(not isinstance(array, types.Array) or array.ndim != 1 or array.layout != "C" for array in (source, target)):
        return None

    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointers = []
        for kind, value in zip(signature.args[:2], values[:2], strict=True):
            data = _array_of(kind)(context, builder, value).data
            group = ir.VectorType(data.type.pointee, 16)
            pointers.append(builder.bitcast(builder.gep(data, [values[2]]), group.as_pointer()))
        read = builder.load(pointers[0], align=source.dtype.bitwidth // 8)
        store = builder.store(read, pointers[1], align=64)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return context.get_dummy_value()

    return types.void(source, target, types.uint64), write


@intrinsic
def finish_streams(_context: Any) -> Any:
    """Let other threads see what was streamed."""

    def fence(context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), fence


def sources_stamp() -> str:
    """SHA-256 of the names and the content of all files of compiled functions beside this one."""
    found = hashlib.sha256()
    for file in sorted(files("spikeneuro.ops").iterdir(), key=lambda entry: entry.name):
        if file.name.startswith("numba_") and file.name.endswith(".py"):
            content = file.read_bytes()
            found.update(f"{file.name} {len(content)}\n".encode())
            found.update(content)
    return found.hexdigest()


_STAMP = sources_stamp()


def cached_kernel(function: Callable[..., None]) -> Any:
    """Compile as `numba.njit` does, and keep the machine code on disk under the stamp of all sources.

    Numba has no public way to choose the stamp. In a release that keeps it elsewhere, the kernel is not kept on disk:
    every process then compiles it anew, which is slow, but never runs code that was changed since.
    """
    kernel: Any = _njit(**_OPTIONS, cache=True)(function)
    kept: Any = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if not hasattr(kept, "_source_stamp"):
        return _njit(**_OPTIONS)(function)
    kept._source_stamp = _STAMP
    return kernel
