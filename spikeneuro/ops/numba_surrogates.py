"""Surrogate derivatives for compiled kernels: the one place where they are written by code.

The codes and the order of the parameters are those of `spikeneuro.ops.surrogates`, against which this is tested.
Imported only when a kernel is used.
"""

import math
from typing import Any

import numba


@numba.njit(nogil=True, error_model="numpy")
def surrogate_gradient(code: int, p: Any, u: Any, th: Any, out: Any) -> None:
    """Write the derivative at ``u - th`` into `out`; `p` holds the parameters in the dtype of `u`.

    One loop per surrogate, so that each compiles to vector instructions; constants carry the dtype, since a Python
    literal would turn float32 into float64.
    """
    real = u.dtype.type
    one, half, pi = real(1.0), real(0.5), real(math.pi)
    if code == 0:
        for j in range(u.size):
            z = one + p[0] * abs(u[j] - th[j])
            out[j] = one / (z * z)
    elif code == 1:
        top, scale = p[0] * half, pi * half * p[0]
        for j in range(u.size):
            z = scale * (u[j] - th[j])
            out[j] = top / (one + z * z)
    elif code == 2:
        for j in range(u.size):
            z = one / (one + math.exp(-p[0] * (u[j] - th[j])))
            out[j] = p[0] * z * (one - z)
    elif code == 3:
        for j in range(u.size):
            z = one - abs(u[j] - th[j]) / p[1]
            out[j] = p[0] * max(z, real(0.0))
    elif code == 4:
        limit = p[0] * half
        for j in range(u.size):
            out[j] = p[1] if abs(u[j] - th[j]) < limit else real(0.0)
    else:
        _multi_gaussian(p, u, th, out)


@numba.njit(nogil=True, error_model="numpy")
def _multi_gaussian(p: Any, u: Any, th: Any, out: Any) -> None:
    real = u.dtype.type
    gamma, h, sigma, wide = p[0], p[1], p[3], p[2] * p[3]
    root = real(math.sqrt(2.0 * math.pi))
    one, half = real(1.0), real(0.5)
    for j in range(u.size):
        x = u[j] - th[j]
        a, b, c = x / sigma, (x - sigma) / wide, (x + sigma) / wide
        centre = (one + h) * math.exp(-half * a * a) / (sigma * root)
        flanks = (math.exp(-half * b * b) + math.exp(-half * c * c)) / (wide * root)
        out[j] = gamma * (centre - h * flanks)
