"""Products of spikes and of gradients with recurrent weights, for the compiled kernels.

Forward, a step needs the sum of the rows of neurons that fired: `add_spikes` touches only these, or, where more than
half of the neurons fired, runs over all of them for four samples at a time. Both add rows in the order of the neurons,
one after the other, so the result does not depend on which was taken. Backward, the gradient is dense and so is the
product, except that neurons which are OFF have no gradient and are left out.
"""

from typing import Any

from spikeneuro.ops.numba_arguments import GROUP
from spikeneuro.ops.numba_compile import bits_of_group, contracting_function, kernel_function, lowest_bit

#: Share of firing neurons above which the dense product is the faster one (benchmarks/speed).
DENSE_ABOVE = 0.5


@kernel_function
def add_spikes(s: Any, outgoing: Any, drive: Any, fired: Any) -> None:
    """Add to `drive` (samples * n) the rows of `outgoing` (n, n) of the neurons that fired in `s` (samples * n).

    `fired` is room for the places of four samples, (4, n).
    """
    n = outgoing.shape[0]
    samples = drive.size // n
    for first in range(0, samples, 4):
        last = min(first + 4, samples)
        total, ends = 0, (0, 0, 0, 0)
        for b in range(first, last):
            count = list_places(s[b * n : (b + 1) * n], fired[b - first])
            total += count
            ends = (ends[1], ends[2], ends[3], count)
        if last - first == 4 and total > DENSE_ABOVE * 4 * n:
            add_rows(s[first * n : last * n], outgoing, drive[first * n : last * n])
            continue
        for b in range(first, last):
            count = ends[4 - (last - b)]
            add_events(s[b * n : (b + 1) * n], outgoing, fired[b - first, :count], drive[b * n : (b + 1) * n])


@kernel_function
def list_places(row: Any, places: Any) -> int:
    """Write the places of `row` that are not zero to `places`, in their order, and return their number."""
    count, zero = 0, row.dtype.type(0.0)
    whole = row.size - row.size % GROUP
    for first in range(0, whole, GROUP):
        bits = bits_of_group(row, first)
        while bits != 0:
            places[count] = first + lowest_bit(bits)
            count += 1
            bits &= bits - 1
    for j in range(whole, row.size):
        if row[j] != zero:
            places[count] = j
            count += 1
    return count


@kernel_function
def add_events(s: Any, outgoing: Any, fired: Any, target: Any) -> None:
    """Add the rows `fired` of `outgoing`, times their spikes: one after the other, four in a pass over the target."""
    whole = fired.size - fired.size % 4
    for k in range(0, whole, 4):
        ka, kb, kc, kd = fired[k], fired[k + 1], fired[k + 2], fired[k + 3]
        a, b, c, d = s[ka], s[kb], s[kc], s[kd]
        wa, wb, wc, wd = outgoing[ka], outgoing[kb], outgoing[kc], outgoing[kd]
        for j in range(target.size):
            target[j] = (((target[j] + a * wa[j]) + b * wb[j]) + c * wc[j]) + d * wd[j]
    for k in range(whole, fired.size):
        row, amount = outgoing[fired[k]], s[fired[k]]
        for j in range(target.size):
            target[j] += amount * row[j]


@kernel_function
def add_rows(s: Any, outgoing: Any, drive: Any) -> None:
    """Add all rows of `outgoing`, times the spikes of four samples, in the order of `add_events`."""
    n = outgoing.shape[0]
    oa, ob, oc, od = drive[:n], drive[n : 2 * n], drive[2 * n : 3 * n], drive[3 * n :]
    for k in range(0, n - n % 2, 2):
        p, q = outgoing[k], outgoing[k + 1]
        a0, a1, b0, b1 = s[k], s[k + 1], s[n + k], s[n + k + 1]
        c0, c1, d0, d1 = s[2 * n + k], s[2 * n + k + 1], s[3 * n + k], s[3 * n + k + 1]
        for j in range(n):
            oa[j] = (oa[j] + a0 * p[j]) + a1 * q[j]
            ob[j] = (ob[j] + b0 * p[j]) + b1 * q[j]
            oc[j] = (oc[j] + c0 * p[j]) + c1 * q[j]
            od[j] = (od[j] + d0 * p[j]) + d1 * q[j]
    for k in range(n - n % 2, n):
        row = outgoing[k]
        for b in range(4):
            target, amount = drive[b * n : (b + 1) * n], s[b * n + k]
            for j in range(n):
                target[j] += amount * row[j]


@kernel_function
def product(g: Any, weight: Any, out: Any, active: Any, sparse: bool) -> None:
    """Write ``g @ weight`` of each sample to `out` (samples * n); if `sparse`, rows without gradient are left out."""
    n = weight.shape[0]
    samples = g.size // n
    zero = out.dtype.type(0.0)
    for j in range(out.size):
        out[j] = zero
    whole = samples - samples % 4
    for b in range(0, whole, 4):
        rows = g[b * n : (b + 4) * n]
        count = rows_in_use(rows, n, active) if sparse else n
        four_products(rows, weight, active[:count], sparse, out[b * n : (b + 4) * n])
    for b in range(whole, samples):
        one_product(g[b * n : (b + 1) * n], weight, out[b * n : (b + 1) * n], sparse)


@kernel_function
def rows_in_use(rows: Any, n: int, active: Any) -> int:
    """Write the places at which any of the four samples in `rows` has a gradient, and return their number."""
    count, zero = 0, rows.dtype.type(0.0)
    whole = n - n % GROUP
    for first in range(0, whole, GROUP):
        bits = bits_of_group(rows, first) | bits_of_group(rows, n + first)
        bits |= bits_of_group(rows, 2 * n + first) | bits_of_group(rows, 3 * n + first)
        while bits != 0:
            active[count] = first + lowest_bit(bits)
            count += 1
            bits &= bits - 1
    for j in range(whole, n):
        used = (rows[j] != zero) | (rows[n + j] != zero) | (rows[2 * n + j] != zero) | (rows[3 * n + j] != zero)
        active[count] = j
        count += used
    return count


@contracting_function
def four_products(rows: Any, weight: Any, active: Any, sparse: bool, out: Any) -> None:
    """Add the products of four samples, four rows of the weights at a time: each is read once for all four.

    Rows are added one after the other, as in `one_product`: how samples are grouped does not change the result.
    """
    n = weight.shape[0]
    ra, rb, rc, rd = rows[:n], rows[n : 2 * n], rows[2 * n : 3 * n], rows[3 * n :]
    oa, ob, oc, od = out[:n], out[n : 2 * n], out[2 * n : 3 * n], out[3 * n :]
    whole = active.size - active.size % 4
    for place in range(0, whole, 4):
        k0, k1 = (active[place], active[place + 1]) if sparse else (place, place + 1)
        k2, k3 = (active[place + 2], active[place + 3]) if sparse else (place + 2, place + 3)
        w0, w1, w2, w3 = weight[k0], weight[k1], weight[k2], weight[k3]
        a0, a1, a2, a3 = ra[k0], ra[k1], ra[k2], ra[k3]
        b0, b1, b2, b3 = rb[k0], rb[k1], rb[k2], rb[k3]
        c0, c1, c2, c3 = rc[k0], rc[k1], rc[k2], rc[k3]
        d0, d1, d2, d3 = rd[k0], rd[k1], rd[k2], rd[k3]
        for j in range(n):
            p, q, x, y = w0[j], w1[j], w2[j], w3[j]
            oa[j] = (((oa[j] + a0 * p) + a1 * q) + a2 * x) + a3 * y
            ob[j] = (((ob[j] + b0 * p) + b1 * q) + b2 * x) + b3 * y
            oc[j] = (((oc[j] + c0 * p) + c1 * q) + c2 * x) + c3 * y
            od[j] = (((od[j] + d0 * p) + d1 * q) + d2 * x) + d3 * y
    for place in range(whole, active.size):
        k = active[place] if sparse else place
        w, a, b, c, d = weight[k], ra[k], rb[k], rc[k], rd[k]
        for j in range(n):
            oa[j] += a * w[j]
            ob[j] += b * w[j]
            oc[j] += c * w[j]
            od[j] += d * w[j]


@contracting_function
def one_product(g: Any, weight: Any, out: Any, sparse: bool) -> None:
    """Add the product of one sample."""
    n = g.size
    for k in range(n):
        amount = g[k]
        if sparse and amount == 0:
            continue
        row = weight[k]
        for j in range(n):
            out[j] += amount * row[j]
