"""Surrogate derivatives for kernels compiled by Numba: the one place where they are written by code.

The codes and the order of the parameters are those of `spikeneuro.ops.surrogates`, against which this is tested.
Imported only when a kernel is used. There is one loop per surrogate, so that each compiles to vector instructions;
constants carry the dtype, since a Python literal would turn float32 into float64.
"""

import math
from typing import Any

import numpy as np
from numba import extending, types

from spikeneuro.ops.numba_compile import kernel_function


@kernel_function
def surrogate_gradient(code: int, p: Any, u: Any, th: Any, out: Any) -> None:
    """Write the derivative at ``u - th`` into `out`; `p` holds the parameters in the dtype of `u`."""
    if code == 0:
        _fast_sigmoid(p, u, th, out)
    elif code == 1:
        _atan(p, u, th, out)
    elif code == 2:
        _sigmoid(p, u, th, out)
    elif code == 3:
        _triangle(p, u, th, out)
    elif code == 4:
        _rectangle(p, u, th, out)
    elif code == 5:
        _multi_gaussian(p, u, th, out)
    elif code == 6:
        _exponential(p, u, th, out)
    elif code == 7:
        _gaussian(p, u, th, out)
    elif code == 8:
        _straight_through(p, u, th, out)
    else:
        raise ValueError("no surrogate has this code")


@kernel_function
def _fast_sigmoid(p: Any, u: Any, th: Any, out: Any) -> None:
    one, slope, height = u.dtype.type(1.0), p[0], p[1]
    for j in range(u.size):
        z = one + slope * abs(u[j] - th[j])
        out[j] = height / (z * z)


@kernel_function
def _atan(p: Any, u: Any, th: Any, out: Any) -> None:
    real = u.dtype.type
    one, top, scale = real(1.0), real(0.5) * p[0], real(math.pi / 2) * p[0]
    for j in range(u.size):
        z = scale * (u[j] - th[j])
        out[j] = top / (one + z * z)


@kernel_function
def _sigmoid(p: Any, u: Any, th: Any, out: Any) -> None:
    one, slope, top = u.dtype.type(1.0), p[0], p[0] * p[1]
    for j in range(u.size):
        e = _exp(-slope * abs(u[j] - th[j]))
        z = one + e
        out[j] = top * e / (z * z)


@kernel_function
def _triangle(p: Any, u: Any, th: Any, out: Any) -> None:
    real = u.dtype.type
    zero, one, height, width = real(0.0), real(1.0), p[0], p[1]
    for j in range(u.size):
        z = one - abs(u[j] - th[j]) / width
        out[j] = height * max(z, zero)


@kernel_function
def _rectangle(p: Any, u: Any, th: Any, out: Any) -> None:
    real = u.dtype.type
    zero, limit, height = real(0.0), real(0.5) * p[0], p[1]
    for j in range(u.size):
        out[j] = height if abs(u[j] - th[j]) < limit else zero


@kernel_function
def _multi_gaussian(p: Any, u: Any, th: Any, out: Any) -> None:
    real = u.dtype.type
    gamma, h, sigma, wide = p[0], p[1], p[3], p[2] * p[3]
    root = real(math.sqrt(2.0 * math.pi))
    centre, flank = gamma * (real(1.0) + h) / (sigma * root), gamma * h / (wide * root)
    narrow_scale, wide_scale = real(-0.5) / (sigma * sigma), real(-0.5) / (wide * wide)
    for j in range(u.size):
        x = u[j] - th[j]
        a, b, c = x * x, (x - sigma) * (x - sigma), (x + sigma) * (x + sigma)
        out[j] = centre * _exp(narrow_scale * a) - flank * (_exp(wide_scale * b) + _exp(wide_scale * c))


@kernel_function
def _exponential(p: Any, u: Any, th: Any, out: Any) -> None:
    height, slope, center = p[0], p[1], p[2]
    for j in range(u.size):
        out[j] = height * _exp(-slope * abs(u[j] - th[j] - center))


@kernel_function
def _gaussian(p: Any, u: Any, th: Any, out: Any) -> None:
    real = u.dtype.type
    top, scale = p[1] / (p[0] * real(math.sqrt(2.0 * math.pi))), real(-0.5) / (p[0] * p[0])
    for j in range(u.size):
        x = u[j] - th[j]
        out[j] = top * _exp(scale * (x * x))


@kernel_function
def _straight_through(p: Any, u: Any, th: Any, out: Any) -> None:
    below, above = p[0], p[1]
    for j in range(u.size):
        out[j] = above if u[j] > th[j] else below


def _exp(x: float) -> float:
    """Exponential of a number that is not positive, in its own precision.

    The library's is a call per number; this one is arithmetic alone, which the loops above compile to vector
    instructions. It is ``2**n * exp(r)`` with ``x = n * log(2) + r``. Adding 1.5 times the power of two from which on
    neighbouring floats are 1 apart rounds to n and leaves it in the lowest bits, from where a shift makes it the
    exponent. exp(r) is its Taylor polynomial, exact to rounding for ``|r| <= log(2) / 2``. Results below the smallest
    normal number, and the last few above it, are 0, since arithmetic with such numbers is slow; NaN passes.
    """
    raise NotImplementedError("compiled code only")


@extending.overload(_exp)
def _overload_exp(x: Any) -> Any:
    return {types.float32: _exp32, types.float64: _exp64}.get(x)


_LOG2E = math.log2(math.e)
# log(2) in two parts, of which the first has so few bits that n times it is exact.
_HIGH32, _LOW32 = 0.693359375, -2.1219444005469057e-04
_HIGH64, _LOW64 = 0.6931471803691238, 1.9082149292705877e-10


def _exp32(x: Any) -> Any:
    real, magic = np.float32, np.float32(1.5 * 2.0**23)
    shifted = x * real(_LOG2E) + magic
    n = shifted - magic
    r = x - n * real(_HIGH32) - n * real(_LOW32)
    y = real(1 / 720) + r * real(1 / 5040)
    y = real(1 / 24) + r * (real(1 / 120) + r * y)
    y = real(1.0) + r * (real(1.0) + r * (real(1 / 2) + r * (real(1 / 6) + r * y)))
    bits = np.float32(shifted).view(np.int32)  # Numba wants to see the dtype where it reads the bits
    y *= np.int32((bits + np.int32(127)) << np.int32(23)).view(np.float32)
    return real(0.0) if x < real(-87.0) else y


def _exp64(x: Any) -> Any:
    magic = 1.5 * 2.0**52
    shifted = x * _LOG2E + magic
    n = shifted - magic
    r = x - n * _HIGH64 - n * _LOW64
    y = 1 / 479001600 + r * (1 / 6227020800)
    y = 1 / 3628800 + r * (1 / 39916800 + r * y)
    y = 1 / 40320 + r * (1 / 362880 + r * y)
    y = 1 / 720 + r * (1 / 5040 + r * y)
    y = 1 / 24 + r * (1 / 120 + r * y)
    y = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * y)))
    bits = np.float64(shifted).view(np.int64)
    y *= np.int64((bits + np.int64(1023)) << np.int64(52)).view(np.float64)
    return 0.0 if x < -708.0 else y
