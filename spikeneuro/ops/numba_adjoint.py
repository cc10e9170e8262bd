"""One step of the adjoint of the LIF recurrence on a piece of neurons, for the compiled kernels.

Names are those of `numba_steps`, with g for the gradient of. `gs` is the gradient of the step's spikes, `h` the
surrogate derivative, `q` the gradient that passes through it, `gu` that of the membrane before the reset, `gv` that of
the membrane after it, `gth` that of the threshold.
"""

from typing import Any

import numpy as np

from spikeneuro.ops.numba_arguments import GROUP, Choice, Numbers, Wanted
from spikeneuro.ops.numba_compile import choose, element_function, kernel_function
from spikeneuro.ops.numba_steps import after_spike, copy, fires
from spikeneuro.ops.numba_surrogates import surrogate_gradient


@kernel_function
def plain_adjoint(
    choice: Choice, u: Any, th: Any, vz: Any, beta: Any, gain: Any, gs: Any, gut: Any, h: Any, gv: Any, gx: Any
) -> None:
    """Adjoint of `numba_steps.plain_step` for constant parameters: the gradients of the current and of `v` before."""
    real = u.dtype.type
    one, zero, infinite = real(1.0), real(0.0), real(np.inf)
    keep = real(choice.mode != 2)
    less, to = (choice.mode == 1) & (not choice.detach), (choice.mode == 2) & (not choice.detach)
    for j in range(u.size):
        hit = fires(choice, u[j], th[j])
        back = gv[j]
        # Selected, not multiplied by 0: neurons that never fire have an infinite threshold.
        change = choose(to, vz[j] - u[j], choose(less & (th[j] < infinite), -th[j], zero))
        through = h[j] * (gs[j] + back * change)
        gu = back * choose(hit, keep, one) + gut[j] + through
        gx[j] = gain[j] * gu
        gv[j] = beta[j] * gu


@kernel_function
def masked_adjoint(
    choice: Choice, code: int, surrogate: Any, groups: Any, u: Any, th: Any, vz: Any, m: Any, beta: Any, gain: Any,
    gst: Any, ring: Any, gut: Any, h: Any, gv: Any, gx: Any, gu: Any, gth: Any,
) -> None:  # fmt: skip
    """Adjoint of neurons with reset in the same step; groups that are OFF are only filled in."""
    whole, zero, k = u.size // GROUP, u.dtype.type(0.0), 0
    while k < whole:
        first = np.uint64(k * GROUP)
        if groups[k] == 0:
            for j in range(first, first + np.uint64(GROUP)):
                gx[j] = zero
                gu[j] = zero
                gth[j] = zero
            k += 1
            continue
        end = k + 1
        while end < whole and groups[end] != 0:
            end += 1
        a, b = k * GROUP, end * GROUP
        surrogate_gradient(code, surrogate, u[a:b], th[a:b], h[a:b])
        for group in range(k, end):
            first = np.uint64(group * GROUP)
            for j in range(first, first + np.uint64(GROUP)):
                neuron_adjoint(j, choice, u, th, vz, m, beta, gain, gst, ring, gut, h, gv, gx, gu, gth)
        k = end
    a, b = whole * GROUP, u.size
    surrogate_gradient(code, surrogate, u[a:b], th[a:b], h[a:b])
    for j in range(np.uint64(a), np.uint64(b)):
        neuron_adjoint(j, choice, u, th, vz, m, beta, gain, gst, ring, gut, h, gv, gx, gu, gth)


@element_function
def neuron_adjoint(
    j: Any, choice: Choice, u: Any, th: Any, vz: Any, m: Any, beta: Any, gain: Any, gst: Any, ring: Any, gut: Any,
    h: Any, gv: Any, gx: Any, gu: Any, gth: Any,
) -> None:  # fmt: skip
    """Adjoint of neuron j's step; an OFF neuron hands the gradient of its membrane on."""
    real = u.dtype.type
    one, zero, infinite = real(1.0), real(0.0), real(np.inf)
    keep, subtracted = real(choice.mode != 2), choice.mode == 1
    less, to = subtracted & (not choice.detach), (choice.mode == 2) & (not choice.detach)
    on = m[j] != zero
    hit = fires(choice, u[j], th[j]) & on
    back = gv[j]
    # Selected, not multiplied by 0: neurons that never fire have an infinite threshold.
    change = choose(to, vz[j] - u[j], choose(less & (th[j] < infinite), -th[j], zero))
    through = h[j] * (gst[j] + ring[j] + back * change)
    through = choose(on, through, zero)
    direct = back * choose(hit, keep, one) + gut[j]
    whole = choose(on, direct + through, zero)
    gu[j] = whole
    gx[j] = gain[j] * whole
    gv[j] = beta[j] * whole + choose(on, zero, direct)
    gth[j] = -through - choose(subtracted & hit, back, zero)


@kernel_function
def adaptive_adjoint(
    choice: Choice, rest: bool, numbers: Numbers, p: int, u: Any, a: Any, m: Any, gst: Any, before: Any, ring: Any,
    gut: Any, gat: Any, h: Any, gv: Any, ga: Any, gx: Any, gu: Any, gth: Any, u_before: Any, a_before: Any,
    m_before: Any, s_first: Any, g_beta: Any, g_rho: Any,
) -> None:  # fmt: skip
    """Adjoint of `numba_steps.adaptive_step`, with the gradients of both decays.

    ``_before`` marks the step before; at the first step (`rest`) membrane and spikes before it are those of the state,
    `u_before` and `s_first`.
    """
    real, n = u.dtype.type, u.size
    one, zero, infinite = real(1.0), real(0.0), real(np.inf)
    keep, subtracted = real(choice.mode != 2), choice.mode == 1
    less, to = subtracted & (not choice.detach), (choice.mode == 2) & (not choice.detach)
    beta, gain, base = numbers.beta[p : p + n], numbers.gain[p : p + n], numbers.threshold[p : p + n]
    vr, vz = numbers.v_rest[p : p + n], numbers.v_reset[p : p + n]
    rho, kappa = numbers.rho[p : p + n], numbers.kappa[p : p + n]
    for j in range(n):
        th, on, back = base[j] + kappa[j] * a[j], m[j] != zero, gv[j]
        hit = fires(choice, u[j], th) & on
        change = choose(to, vz[j] - u[j], choose(less & (th < infinite), -th, zero))
        through = h[j] * (gst[j] + before[j] + ring[j] + back * change)
        through = choose(on, through, zero)
        direct = back * choose(hit, keep, one) + gut[j]
        whole = choose(on, direct + through, zero)
        lowered = -through - choose(subtracted & hit, back, zero)
        adapted = ga[j] + kappa[j] * lowered + gat[j]
        th_b, u_b = base[j] + kappa[j] * a_before[j], u_before[j]
        hit_b = fires(choice, u_b, th_b) & (m_before[j] != zero)
        v_b = choose(hit_b & (not rest), after_spike(choice, u_b, th_b, vz[j]), u_b)
        s_b = choose(rest, s_first[j], choose(hit_b, one, zero))
        gu[j] = whole
        gx[j] = gain[j] * whole
        gv[j] = beta[j] * whole + choose(on, zero, direct)
        gth[j] = lowered
        before[j] = (one - rho[j]) * adapted
        ga[j] = rho[j] * adapted
        g_beta[j] += whole * (v_b - vr[j])
        g_rho[j] += adapted * (a_before[j] - s_b)


@kernel_function
def decay_gradient(choice: Choice, u: Any, m: Any, th: Any, vr: Any, vz: Any, gu: Any, row: Any) -> None:
    """Add to `row` the gradient of beta; `u` and `m` are membrane and mask of the step before."""
    zero = u.dtype.type(0.0)
    for j in range(u.size):
        hit = fires(choice, u[j], th[j]) & (m[j] != zero)
        row[j] += gu[j] * (choose(hit, after_spike(choice, u[j], th[j], vz[j]), u[j]) - vr[j])


@kernel_function
def gather(choice: Choice, gst: Any, before: Any, ring: Any, m: Any, gr: Any, gs: Any) -> None:
    """Sum what reaches the spikes of a step: from outputs, adaptation, recurrent connections and the pending reset.

    `gr` becomes the part that goes on to the pending reset of the step before, where an OFF step left it waiting.
    """
    zero = gs.dtype.type(0.0)
    copy(gst, gs)
    if choice.adapts:
        add(before, gs)
    if choice.recurrent:
        add(ring, gs)
    if choice.late:
        waits = choice.preserve & choice.masked
        if not choice.detach:
            for j in range(gs.size):
                gs[j] += choose(waits & (m[j] == zero), zero, gr[j])
        for j in range(gs.size):
            gr[j] = choose(waits & (m[j] == zero), gr[j], zero)


@kernel_function
def spike_adjoint(
    choice: Choice, u: Any, s: Any, th: Any, vz: Any, m: Any, free: Any, gs: Any, gut: Any, h: Any, gv: Any, q: Any,
    gu: Any, hold: Any,
) -> None:  # fmt: skip
    """Adjoint of firing and same-step reset; `hold` is what passes an OFF step on to the membrane before it."""
    real = u.dtype.type
    one, zero, infinite = real(1.0), real(0.0), real(np.inf)
    here, carry = not choice.late, (not choice.late) & (not choice.detach)
    keep = real(not (here & (choice.mode == 2)))
    less, to = carry & (choice.mode == 1), carry & (choice.mode == 2)
    masked, gated = choice.masked, choice.refractory > 0
    for j in range(u.size):
        on = (m[j] != zero) | (not masked)
        able = on & ((free[j] != zero) | (not gated))
        back = gv[j]
        direct = back * choose(s[j] != zero, keep, one) + gut[j]
        change = choose(to, vz[j] - u[j], choose(less & (th[j] < infinite), -th[j], zero))
        through = h[j] * (gs[j] + back * change)
        through = choose(able, through, zero)
        q[j] = through
        gu[j] = choose(on, direct + through, zero)
        hold[j] = choose(on, zero, direct)


@kernel_function
def threshold_adjoint(choice: Choice, s: Any, gv: Any, q: Any, gth: Any) -> None:
    """Write the gradient of the threshold, through the spike and through a same-step reset by subtraction."""
    for j in range(gth.size):
        gth[j] = -q[j]
    if (choice.mode == 1) & (not choice.late):
        for j in range(gth.size):
            gth[j] -= s[j] * gv[j]


@kernel_function
def late_threshold_adjoint(r: Any, gu: Any, gth: Any) -> None:
    """Add the gradient of the threshold through a subtraction that was due from the step before."""
    for j in range(gth.size):
        gth[j] -= r[j] * gu[j]


@kernel_function
def parameter_adjoint(
    choice: Choice, wanted: Wanted, p: int, numbers: Numbers, s: Any, r: Any, w: Any, drive: Any, gv: Any, gu: Any,
    gth: Any, at: Any, first: int, g: Any,
) -> None:  # fmt: skip
    """Add a step's share to the gradients `g` (its rows as `Wanted` has them) of what acts on membrane and threshold.

    `w` is the membrane that decayed, `drive` the current that was integrated, `gv` still that after the step; the
    parameters' places begin at `p`, the columns at `first`.
    """
    n = gu.size
    last, beta = first + n, numbers.beta[p : p + n]
    if wanted.beta:
        decayed_gradient(w, numbers.v_rest[p : p + n], gu, g[0, first:last])
    if wanted.gain:
        multiply_add(gu, drive, g[1, first:last])
    if wanted.threshold:
        add(gth, g[2, first:last])
    if wanted.v_rest:
        decay_to_rest(beta, gu, g[3, first:last])
    if wanted.v_reset & (choice.mode == 2):
        row = g[4, first:last]
        if not choice.late:
            multiply_add(s, gv, row)
        elif not choice.discards:
            for j in range(n):
                row[j] += r[j] * beta[j] * gu[j]
    if wanted.kappa:
        multiply_add(gth, at, g[7, first:last])


@kernel_function
def discard_adjoint(
    wanted: bool, numbers: Numbers, p: int, r: Any, w: Any, drive: Any, gu: Any, gr: Any, g_reset: Any
) -> None:
    """Adjoint of a late reset that wipes the step's input as well; `gu` becomes the gradient before it."""
    n = gu.size
    one = gu.dtype.type(1.0)
    beta, gain = numbers.beta[p : p + n], numbers.gain[p : p + n]
    vr, vz = numbers.v_rest[p : p + n], numbers.v_reset[p : p + n]
    if wanted:
        multiply_add(r, gu, g_reset)
    for j in range(n):
        gr[j] += gu[j] * (vz[j] - (vr[j] + beta[j] * (w[j] - vr[j]) + gain[j] * drive[j]))
    for j in range(n):
        gu[j] *= one - r[j]


@kernel_function
def decay_adjoint(
    choice: Choice, numbers: Numbers, p: int, th: Any, r: Any, v: Any, gu: Any, hold: Any, gr: Any, gv: Any
) -> None:
    """Adjoint of the decay and of a late reset: gradients of the membrane `v` before the step and its pending reset."""
    n = gu.size
    one, zero, infinite = gu.dtype.type(1.0), gu.dtype.type(0.0), gu.dtype.type(np.inf)
    beta, vz = numbers.beta[p : p + n], numbers.v_reset[p : p + n]
    for j in range(n):
        gv[j] = beta[j] * gu[j]
    if choice.late & (choice.mode == 1):
        for j in range(n):
            gr[j] -= choose(th[j] < infinite, th[j], zero) * gu[j]
    elif choice.late & (not choice.discards):
        for j in range(n):
            gr[j] += gv[j] * (vz[j] - v[j])
        for j in range(n):
            gv[j] *= one - r[j]
    if choice.masked:
        add(hold, gv)


@kernel_function
def drive_adjoint(choice: Choice, gain: Any, free: Any, gu: Any, gx: Any) -> None:
    """Write the gradient of the current that was integrated."""
    zero = gu.dtype.type(0.0)
    if (choice.refractory > 0) & (not choice.integrates):
        for j in range(gu.size):
            gx[j] = choose(free[j] != zero, gain[j] * gu[j], zero)
    else:
        for j in range(gu.size):
            gx[j] = gain[j] * gu[j]


@kernel_function
def current_adjoint(wanted: bool, alpha: Any, previous: Any, gi: Any, gx: Any, g_alpha: Any) -> None:
    """Adjoint of the synaptic current: `gx` becomes the gradient of its drive, `gi` that of the current before."""
    add(gi, gx)
    if wanted:
        multiply_add(gx, previous, g_alpha)
    for j in range(gi.size):
        gi[j] = alpha[j] * gx[j]


@kernel_function
def adaptation_adjoint(
    wanted: bool, rho: Any, kappa: Any, a_before: Any, s_before: Any, gth: Any, gat: Any, ga: Any, before: Any,
    g_rho: Any,
) -> None:  # fmt: skip
    """Adjoint of the adaptation: `before` becomes the gradient of the spikes of the step before."""
    n = ga.size
    one = ga.dtype.type(1.0)
    for j in range(n):
        whole = ga[j] + kappa[j] * gth[j] + gat[j]
        before[j] = (one - rho[j]) * whole
        ga[j] = rho[j] * whole
        gth[j] = whole
    if wanted:
        for j in range(n):
            g_rho[j] += gth[j] * (a_before[j] - s_before[j])


@kernel_function
def add(source: Any, row: Any) -> None:
    """Add a piece to a row of gradients."""
    for j in range(row.size):
        row[j] += source[j]


@kernel_function
def multiply_add(one: Any, other: Any, row: Any) -> None:
    """Add the product of two pieces to a row of gradients."""
    for j in range(row.size):
        row[j] += one[j] * other[j]


@kernel_function
def decay_to_rest(beta: Any, gu: Any, row: Any) -> None:
    """Add a step's share to the gradient of the resting potential."""
    whole = gu.dtype.type(1.0)
    for j in range(row.size):
        row[j] += (whole - beta[j]) * gu[j]


@kernel_function
def reset_gradient(choice: Choice, u: Any, th: Any, m: Any, gv: Any, row: Any) -> None:
    """Add a step's share to the gradient of the value that a spike resets the membrane to."""
    zero = u.dtype.type(0.0)
    for j in range(row.size):
        hit = fires(choice, u[j], th[j]) & (m[j] != zero)
        row[j] += choose(hit, gv[j], zero)


@kernel_function
def decayed_gradient(v: Any, vr: Any, gu: Any, row: Any) -> None:
    """Add a step's share to the gradient of the membrane's decay; `v` is the membrane that decayed."""
    for j in range(row.size):
        row[j] += gu[j] * (v[j] - vr[j])
