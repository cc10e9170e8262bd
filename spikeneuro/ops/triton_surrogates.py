"""Surrogate derivatives for kernels compiled by Triton: the one place where they are written by code.

The codes and the order of the parameters are those of `spikeneuro.ops.surrogates`, against which this is tested.
Imported only when a kernel is used.
"""

import triton
import triton.language as tl

_INVERSE_ROOT_OF_2_PI = tl.constexpr(0.3989422804014327)
_HALF_PI = tl.constexpr(1.5707963267948966)


@triton.jit
def surrogate_gradient(
    x: tl.tensor, code: tl.constexpr, p0: tl.tensor, p1: tl.tensor, p2: tl.tensor, p3: tl.tensor
) -> tl.tensor:
    """Return the derivative at ``x = u - threshold``, in the dtype of `x`, float32 or float64.

    `p0` to `p3` are the surrogate's parameters, numbers (which Triton hands to a kernel in float32); those it does not
    have are not looked at. `code` is known when the kernel is compiled, so that one surrogate alone is left in it.
    """
    if code == 0:  # fast sigmoid
        z = 1.0 + p0 * tl.abs(x)
        y = p1 / (z * z)
    elif code == 1:  # arctangent
        z = _HALF_PI * p0 * x
        y = 0.5 * p0 / (1.0 + z * z)
    elif code == 2:  # sigmoid
        e = tl.exp(-p0 * tl.abs(x))
        y = p0 * p1 * e / ((1.0 + e) * (1.0 + e))
    elif code == 3:  # triangle
        y = p0 * tl.maximum(1.0 - tl.abs(x) / p1, 0.0)
    elif code == 4:  # rectangle
        y = tl.where(tl.abs(x) < 0.5 * p0, p1, 0.0).to(x.dtype)
    elif code == 5:  # several Gaussians
        wide = p2 * p3
        flanks = _normal(x - p3, wide) + _normal(x + p3, wide)
        y = p0 * ((1.0 + p1) * _normal(x, p3) - p1 * flanks)
    elif code == 6:  # exponential
        y = p0 * tl.exp(-p1 * tl.abs(x - p2))
    elif code == 7:  # Gaussian
        y = p1 * _normal(x, p0)
    else:  # straight through
        tl.static_assert(code == 8, "no surrogate has this code")
        y = tl.where(x > 0.0, p1, p0).to(x.dtype)
    return y


@triton.jit
def _normal(x: tl.tensor, deviation: tl.tensor) -> tl.tensor:
    """Density at `x` of the normal distribution around 0."""
    z = x / deviation
    return _INVERSE_ROOT_OF_2_PI / deviation * tl.exp(-0.5 * z * z)
