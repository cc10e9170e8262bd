"""One step of the LIF recurrence for the GPU kernels, on a block of neurons held in registers.

Every choice is a compile-time constant (`Options`), so each combination of settings becomes a kernel without
branches. The order of operations is that of `spikeneuro.ops.reference`, and the kernels are built without fused
multiply-adds: each operation is rounded on its own, as torch rounds it, and spikes are the same.

Names: `u` membrane before the reset, `v` after it, `i` current, `a` adaptation, `s` spikes, `r` pending reset, `c`
refractory steps left, `on` rhythm, `p` the eight numbers in the order of `Learned`. Annotations are strings because
the compiler reads them and knows no `Any`.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl


class Options(NamedTuple):
    """Choices of the recurrence as the kernels take them."""

    mode: int  # reset: 0 none, 1 subtract, 2 zero
    late: bool  # in the next step
    detach: bool
    inclusive: bool
    discards: bool
    synapse: bool
    adapts: bool
    masked: bool
    refractory: bool
    integrates: bool
    preserves: bool  # a pending reset outlives OFF steps; only where there are both
    code: int  # of the surrogate


class Learned(NamedTuple):
    """Numbers whose gradient is wanted, in the order of the rows that the kernels read and write."""

    beta: bool
    gain: bool
    threshold: bool
    v_rest: bool
    v_reset: bool
    alpha: bool
    rho: bool
    kappa: bool


@triton.jit
def fire(x: "Any", opt: tl.constexpr) -> "Any":
    """Spikes where the membrane exceeds the threshold by `x`."""
    s = x >= 0.0 if opt.inclusive else x > 0.0
    return s.to(x.dtype)


@triton.jit
def level(a: "Any", p: "Any", opt: tl.constexpr) -> "Any":
    """Firing threshold with its adaptation."""
    return p[2] + p[7] * a if opt.adapts else p[2]


@triton.jit
def after_reset(u: "Any", s: "Any", th: "Any", p: "Any", opt: tl.constexpr) -> "Any":
    """Membrane after the same-step reset."""
    v = u
    if not opt.late:
        if opt.mode == 1:
            v = u - th * s
        elif opt.mode == 2:
            v = (1.0 - s) * u + s * p[4]
    return v


@triton.jit
def charge_of(i: "Any", may: "Any", opt: tl.constexpr) -> "Any":
    """Current that reaches the membrane; `may` is where the neuron is not refractory."""
    return i * may.to(i.dtype) if opt.refractory and not opt.integrates else i


@triton.jit
def integrate(v: "Any", charge: "Any", r: "Any", th: "Any", p: "Any", opt: tl.constexpr) -> "Any":
    """Membrane before threshold and same-step reset, except that a reset that discards input is still to come."""
    beta, gain, v_rest, v_reset = p[0], p[1], p[3], p[4]
    if opt.late and opt.mode == 2 and not opt.discards:
        v = (1.0 - r) * v + r * v_reset
    u = v_rest + beta * (v - v_rest) + gain * charge
    if opt.late and opt.mode == 1:
        u = u - th * r
    return u


@triton.jit
def adapt(a: "Any", s: "Any", p: "Any", opt: tl.constexpr) -> "Any":
    """Adaptation after the spikes `s`."""
    return p[6] * a + (1.0 - p[6]) * s if opt.adapts else a


@triton.jit
def next_refractory(s: "Any", c: "Any", limit: "Any") -> "Any":
    """Refractory steps left after a step that gave the spikes `s`."""
    return tl.where(s > 0.0, limit, tl.maximum(c - 1.0, 0.0)).to(c.dtype)


@triton.jit
def forward_step(
    drive: "Any", state: "Any", on: "Any", limit: "Any", p: "Any", opt: tl.constexpr
) -> "Any":  # fmt: skip
    """Return u and the `state` (v, i, a, s, r, c) after one step."""
    v, i, a, s, r, c = state
    i = p[5] * i + drive if opt.synapse else drive
    a = adapt(a, s, p, opt)
    th = level(a, p, opt)
    may = c <= 0.0
    u = integrate(v, charge_of(i, may, opt), r, th, p, opt)
    if opt.discards:
        u = (1.0 - r) * u + r * p[4]
    s = fire(u - th, opt)
    if opt.refractory:
        s = s * may.to(s.dtype)
    if opt.masked:
        s = s * on.to(s.dtype)
        u = tl.where(on, u, v)
    if opt.refractory:
        c = next_refractory(s, c, limit)
    v = after_reset(u, s, th, p, opt)
    if opt.late:
        r = tl.where(on, s, r) if opt.preserves else s
    return u, (v, i, a, s, r, c)
