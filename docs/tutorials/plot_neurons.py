"""
Spiking neurons, one property at a time
=======================================

What a spiking neuron computes, drawn: membrane, threshold, reset, time constants, synapses, adaptation, refractory
period, rhythm, recurrence. Then the derivative that makes it trainable, and two neurons of another kind, Hodgkin and
Huxley's and Izhikevich's. :doc:`/explanation/neurons` has the whole equation.

Everything follows one convention: a layer maps a sequence ``(time, batch, neurons)`` to spikes of the same shape, zeros
and ones. Time constants are in seconds, and so is ``dt``, the length of a step. The membrane of these neurons has no
unit: its threshold is 1.
"""

# %%
# A leaky integrator with a threshold
# -----------------------------------
#
# The membrane of a leaky integrate-and-fire (LIF) neuron is pulled up by its input and leaks back to rest with its time
# constant. When it crosses the threshold, the neuron emits a spike and the threshold is taken off the membrane. We give
# one neuron a small current for 100 ms, then a larger one, then none.

import matplotlib.pyplot as plt
import torch

from spikeneuro import ops
from spikeneuro.nn import LIF, HodgkinHuxley, Izhikevich, RecurrentLIF, heterogeneity

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#6b6b6b"
dt = 0.001  # seconds: a step is a millisecond


def pulse(level, start, stop, steps=300):
    """Input to one neuron: `level` from one step to another, 0 elsewhere."""
    x = torch.zeros(steps, 1, 1)
    x[start:stop] = level
    return x


current = pulse(0.045, 20, 120) + pulse(0.09, 120, 220)
neuron = LIF(1, tau_mem=0.02, dt=dt)
result = neuron.run(current, record=("potential", "threshold"))
print(f"{int(result.spikes.sum())} spikes")

# %%
# ``neuron(current)`` gives the spikes alone. ``run`` also gives the state after the last step, from which the next
# piece of a sequence can go on, and the traces asked for: here the membrane before the reset, and the threshold.


def draw(ax, result, title=None, color=BLUE, top=1.35):
    """Membrane, threshold (dashed) and spikes (ticks above) of one neuron over time in ms."""
    ax.plot(result.traces["potential"].flatten(), color=color, linewidth=1.2)
    ax.plot(result.traces["threshold"].expand_as(result.spikes).flatten(), color=GREY, linestyle="--", linewidth=0.9)
    fired = result.spikes.flatten().nonzero().flatten()
    ax.eventplot(fired, lineoffsets=top, linelengths=0.16, colors=color, linewidths=1.2)
    ax.set_ylabel("membrane")
    ax.set_title(title, loc="left", fontsize=10)


fig, axes = plt.subplots(2, 1, figsize=(7, 3.6), sharex=True, height_ratios=(1, 3), layout="constrained")
axes[0].plot(current.flatten(), color=GREY)
axes[0].set_ylabel("input")
draw(axes[1], result, top=1.3)
axes[1].set_xlabel("time (ms)")
plt.show()

# %%
# The small current never makes it: a constant input x settles at x / (1 - beta), with beta = exp(-dt / tau_mem) the
# share of the membrane that is left after a step. Under the larger one the neuron fires at a steady pace.

settles = 0.045 / (1 - neuron.beta.item())
print(f"beta = {neuron.beta.item():.3f}; an input of 0.045 settles at {settles:.2f}, below the threshold of 1")

# %%
# What a spike does to the membrane
# ---------------------------------
#
# *Subtract* takes the threshold off and keeps what was above it, so that strong input is not lost. *Zero* forgets it.
# *None* leaves the membrane alone: the neuron then reports every step in which it is above the threshold.

strong = pulse(0.4, 10, 40, steps=80)
fig, axes = plt.subplots(1, 3, figsize=(8, 2.8), sharex=True, layout="constrained")
for ax, reset, top in zip(axes, ("subtract", "zero", "none"), (1.8, 1.8, 7.0), strict=True):
    result = LIF(1, tau_mem=0.02, dt=dt, reset=reset).run(strong, record=("potential", "threshold"))
    draw(ax, result, f"{reset}: {int(result.spikes.sum())} spikes", top=top)
    ax.set_ylim(-0.05 * top, 1.1 * top)
    ax.set_xlabel("time (ms)")
plt.show()

# %%
# Every neuron its own time constant
# ----------------------------------
#
# Any number may be one for all neurons, or one for each. Here 32 neurons get membranes from 5 to 80 ms and all the same
# noisy input. Fast membranes follow the moment, slow ones collect; ``gain="1-beta"`` makes them settle at one level.

slow = torch.sin(torch.arange(400) / 400 * 4 * torch.pi).clamp(min=0) * 1.6
noisy = slow.reshape(-1, 1, 1) + 0.9 * torch.randn(400, 1, 1, generator=torch.Generator().manual_seed(1))
layer = LIF(32, tau_mem=heterogeneity.LogSpaced(0.005, 0.08), dt=dt, gain="1-beta")
result = layer.run(noisy.expand(400, 1, 32), record="membrane")

fig, axes = plt.subplots(2, 1, figsize=(7, 4), sharex=True, layout="constrained")
for neuron_index, color in ((0, ORANGE), (31, BLUE)):
    tau_ms = 1000 * layer.tau_mem[neuron_index].item()
    axes[0].plot(
        result.traces["membrane"][:, 0, neuron_index],
        color=color,
        linewidth=1.1,
        label=f"time constant {tau_ms:.0f} ms",
    )
axes[0].set_ylabel("membrane")
axes[0].set_ylim(top=1.5)
axes[0].legend(frameon=False, loc="upper left", ncols=2, fontsize=8)
when, which = result.spikes[:, 0].nonzero(as_tuple=True)
axes[1].scatter(when, 1000 * layer.tau_mem[which], s=4, color=GREY)
axes[1].set_yscale("log")
axes[1].set_yticks([5, 10, 20, 40, 80], ["5", "10", "20", "40", "80"])
axes[1].minorticks_off()
axes[1].set_ylabel("time constant (ms)")
axes[1].set_xlabel("time (ms)")
plt.show()

# %%
# With ``learn="tau_mem"`` they are parameters like any weight, held as their logarithm so that they stay positive.
#
# Synaptic current
# ----------------
#
# With ``tau_syn`` an input spike does not act at once: it feeds a current that decays, and the membrane integrates
# that. The response to a single spike becomes smooth, late and long.

single = pulse(1.0, 20, 21, steps=120)
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharex=True, layout="constrained")
for tau_syn, color, label in ((None, GREY, "no synaptic current"), (0.005, BLUE, "5 ms"), (0.02, ORANGE, "20 ms")):
    neuron = LIF(1, tau_mem=0.02, dt=dt, tau_syn=tau_syn, threshold=100.0)
    traces = neuron.run(single, record=("current", "membrane")).traces
    axes[0].plot(traces["current"].flatten(), color=color)
    axes[1].plot(traces["membrane"].flatten() / traces["membrane"].max(), color=color, label=label)
axes[0].set_ylabel("current")
axes[1].set_ylabel("membrane / its peak")
axes[1].legend(frameon=False, fontsize=8)
for ax in axes:
    ax.set_xlabel("time (ms)")
plt.show()

# %%
# Adaptation
# ----------
#
# With ``tau_adapt`` and ``kappa`` every spike raises the threshold, which sinks back slowly. A neuron answers what is
# new and grows quiet under what persists; the threshold is a memory that outlasts the membrane by far.

adaptive = LIF(1, tau_mem=0.02, dt=dt, tau_adapt=0.3, kappa=40.0)
result = adaptive.run(pulse(0.2, 20, 200), record=("potential", "threshold"))
fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
draw(ax, result, top=2.8)
ax.set_xlabel("time (ms)")
plt.show()
gaps = result.spikes.flatten().nonzero().flatten().diff()
print("milliseconds between spikes:", gaps.tolist())

# %%
# Refractory period and rhythm
# ----------------------------
#
# After a spike a *refractory* neuron cannot fire for some steps. A *rhythm* is a mask over time, given to ``run``:
# where it is 0 the neuron is OFF, its membrane frozen, and it emits nothing. It takes up where it was when it is ON
# again. OFF steps are skipped, and a gradient passes through them unchanged.

steady = pulse(0.12, 10, 200, steps=220)
on = (torch.arange(220) // 30 % 2 == 0).reshape(-1, 1, 1)
fig, axes = plt.subplots(3, 1, figsize=(7, 4.6), sharex=True, sharey=True, layout="constrained")
traces = ("potential", "threshold")
plain = LIF(1, tau_mem=0.02, dt=dt)
draw(axes[0], plain.run(steady, record=traces), "plain", top=2.2)
draw(axes[1], LIF(1, tau_mem=0.02, dt=dt, refractory=20).run(steady, record=traces), "refractory for 20 ms", top=2.2)
draw(axes[2], plain.run(steady, record=traces, mask=on), "rhythm, OFF where shaded", top=2.2)
axes[2].fill_between(range(220), 0, 1, where=~on.flatten().numpy(), color="#dddddd", step="post", linewidth=0,
                     transform=axes[2].get_xaxis_transform(), zorder=0)  # fmt: skip
axes[2].set_xlabel("time (ms)")
plt.show()

# %%
# In the middle the membrane rises above the threshold all the same, as it goes on integrating; it fires as soon as it
# may. ``refractory_integrates=False`` makes it deaf instead.
#
# Neurons that hear each other
# ----------------------------
#
# `RecurrentLIF` connects the neurons of a layer all to all, here with random weights. Input comes for the first 100 ms
# only; where neurons are connected, they keep each other going.

torch.manual_seed(4)
options = {"tau_mem": 0.02, "tau_syn": 0.005, "dt": dt, "refractory": 4}
network = RecurrentLIF(80, recurrent_scale=0.6, **options)
kick = torch.zeros(400, 1, 80)
kick[:100] = 0.03 * torch.rand(1, 1, 80)
with torch.no_grad():
    connected, alone = network(kick), LIF(80, **options)(kick)

fig, axes = plt.subplots(1, 2, figsize=(7.5, 3), sharex=True, sharey=True, layout="constrained")
for ax, spikes, title in ((axes[0], alone, "not connected"), (axes[1], connected, "connected")):
    when, which = spikes[:, 0].nonzero(as_tuple=True)
    ax.scatter(when, which, s=3, color=BLUE)
    ax.axvspan(0, 100, color="#eeeeee", zorder=0)
    ax.set_title(f"{title}, input where shaded", loc="left", fontsize=10)
    ax.set_xlabel("time (ms)")
axes[0].set_ylabel("neuron")
plt.show()

# %%
# The derivative of a spike
# -------------------------
#
# A spike is a step function of the membrane: its derivative is zero nearly everywhere, and nothing could be learned. In
# the backward pass another curve takes its place, the *surrogate gradient*; the forward pass stays an exact step. Which
# curve matters less than its width: only neurons within it learn.

u = torch.linspace(-1.5, 1.5, 601)
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
chosen = {
    "fast_sigmoid": (BLUE, "-"),
    "atan": (ORANGE, "-"),
    "triangle": (GREEN, "-"),
    "rectangle": (GREY, "--"),
    "multi_gaussian": ("#cc79a7", "-"),
}
for name, (color, style) in chosen.items():
    ax.plot(u, ops.surrogates.resolve(name).gradient(u), style, color=color, label=name, linewidth=1.4)
ax.set_xlabel("membrane minus threshold")
ax.set_ylabel("derivative used backward")
ax.legend(frameon=False, fontsize=8)
plt.show()

# %%
# With it, gradient descent reaches through spikes, resets and time. Let a neuron learn the time constant with which it
# fires as often as another one does at each moment of 32 samples of noise.

target = LIF(1, tau_mem=0.03, dt=dt)
learner = LIF(1, tau_mem=0.008, dt=dt, learn="tau_mem", surrogate="atan")
noise = 0.12 * torch.rand(300, 32, 1, generator=torch.Generator().manual_seed(0))
wanted = target(noise).mean(dim=(0, 2))
optimiser = torch.optim.Adam(learner.parameters(), lr=0.05)
course = []
for _ in range(80):
    optimiser.zero_grad()
    loss = (learner(noise).mean(dim=(0, 2)) - wanted).square().mean()
    loss.backward()
    optimiser.step()
    course.append(1000 * learner.tau_mem.item())

fig, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
ax.plot(course, color=BLUE)
ax.axhline(30, color=GREY, linestyle="--", linewidth=0.9, label="the other neuron's")
ax.legend(frameon=False, fontsize=8)
ax.set_xlabel("step of the optimiser")
ax.set_ylabel("time constant (ms)")
plt.show()

# %%
# Hodgkin and Huxley's neuron
# ---------------------------
#
# Here nothing is reset. The spike is what two ion channels do: sodium rushes in, the gates that let it in close again,
# potassium flows out. The membrane is in millivolts, the input in µA/cm², and a step must be short: 50 steps of
# integration within each millisecond.

neuron = HodgkinHuxley(1, dt=2e-4, substeps=10)
with torch.no_grad():
    result = neuron.run(pulse(10.0, 50, 250), record=("membrane", "m", "h", "n"))
time = torch.arange(300) * 0.2

fig, axes = plt.subplots(2, 1, figsize=(7, 4), sharex=True, layout="constrained")
axes[0].plot(time, result.traces["membrane"].flatten(), color=BLUE)
axes[0].set_ylabel("membrane (mV)")
names = {"m": "m, sodium opens", "h": "h, sodium still available", "n": "n, potassium opens"}
for (gate, label), color in zip(names.items(), (ORANGE, GREEN, BLUE), strict=True):
    axes[1].plot(time, result.traces[gate].flatten(), color=color, label=label)
axes[1].set_ylabel("share of gates")
axes[1].set_xlabel("time (ms)")
axes[1].legend(frameon=False, fontsize=8, loc="upper right")
plt.show()

# %%
# How often it fires depends on the current in a way no LIF neuron shows: below about 6.3 µA/cm² it fires a few times at
# most and falls silent, above it keeps on, at once at more than 50 spikes a second. Each current is one sample here.

currents = torch.linspace(0, 20, 41)
with torch.no_grad():
    spikes = HodgkinHuxley(1, dt=2e-4, substeps=4)(currents.reshape(1, -1, 1).expand(2000, -1, 1))


def settled_rate(spikes):
    """Spikes a second, from the intervals in the second half of the 400 ms."""
    times = 2e-4 * spikes[1000:].nonzero().flatten()
    return float(1 / times.diff().mean()) if len(times) > 1 else 0.0


rates = [settled_rate(spikes[:, sample, 0]) for sample in range(len(currents))]

fig, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
ax.plot(currents, rates, "o-", color=BLUE, markersize=3)
ax.set_xlabel("current (µA/cm²)")
ax.set_ylabel("spikes per second")
plt.show()

# %%
# Izhikevich's neuron
# -------------------
#
# Two variables and four numbers suffice for the firing patterns of many cells of the cortex. The presets carry the
# names of those patterns; all get the same current.

kinds = {
    "RS": "regular spiking", "IB": "intrinsically bursting", "CH": "chattering",
    "FS": "fast spiking", "LTS": "low-threshold spiking",
}  # fmt: skip
fig, axes = plt.subplots(len(kinds), 1, figsize=(7, 6), sharex=True, sharey=True, layout="constrained")
for ax, (preset, name) in zip(axes, kinds.items(), strict=True):
    neuron = Izhikevich(1, preset=preset, dt=dt)
    membrane = neuron.run(pulse(10.0, 20, 400, steps=400), record="membrane").traces["membrane"]
    ax.plot(membrane.flatten().clamp(max=30), color=BLUE, linewidth=0.9)
    ax.set_title(f"{preset}, {name}", loc="left", fontsize=9)
axes[2].set_ylabel("membrane (mV)")
axes[-1].set_xlabel("time (ms)")
plt.show()

# %%
# Your own neuron takes about thirty lines: :doc:`/how-to/add-a-neuron`.
