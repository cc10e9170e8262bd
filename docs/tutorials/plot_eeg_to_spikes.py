"""
From an EEG recording to a spiking classifier and its energy
============================================================

We take EEG of imagined hand movements, turn it into spikes, train a spiking network that is tested on people it never
saw, and ask whether it is any cheaper than a convolutional network.

The recordings are *simulated* with a spherical head model, and with clearer rhythms than most people have, so that this
page runs anywhere in a minute. They show how things are done and say nothing about how well people can be decoded. With
your own data only the first step changes: ``from_mne``, ``from_bids`` and ``from_moabb`` of `spikeneuro.data` return
the same object.
"""

# %%
# The recording
# -------------
#
# `Recordings` holds the signals in volts, shaped ``(trials, channels, times)``, and a table that says who each trial
# came from. Everything that must not leak is decided from that table.

import matplotlib.pyplot as plt
import numpy as np
import torch

import spikeneuro as sn

recordings = sn.data.simulate_motor_imagery(
    n_subjects=6, n_trials=40, desynchronisation=0.85, rhythm_uv=10.0, random_state=0
)
recordings

# %%

recordings.metadata.head()

# %%
# One trial, at two electrodes over the left (C3) and the right (C4) motor cortex.

trial = int(np.flatnonzero(recordings.y == 1)[0])
times = np.arange(recordings.X.shape[-1]) / recordings.sfreq
label = recordings.label_names[recordings.y[trial]]

fig, axes = plt.subplots(2, 1, figsize=(7, 3.2), sharex=True, sharey=True, layout="constrained")
for ax, name in zip(axes, ("C3", "C4"), strict=True):
    ax.plot(times, recordings.X[trial, recordings.names.index(name)] * 1e6, color="#0072b2", linewidth=0.9)
    ax.set_ylabel(f"{name} (µV)")
axes[0].set_title(f"One simulated trial: imagined movement, {label}", loc="left")
axes[1].set_xlabel("time after the cue (s)")
plt.show()

# %%
# What tells the hands apart does not show in one trial: imagining a movement weakens the 8 to 30 Hz rhythms over the
# *opposite* hemisphere. It shows in the power averaged over trials.

spectra = np.abs(np.fft.rfft(recordings.X * 1e6, axis=-1)) ** 2
frequencies = np.fft.rfftfreq(recordings.X.shape[-1], 1 / recordings.sfreq)
shown = (frequencies >= 4) & (frequencies <= 35)

fig, axes = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True, layout="constrained")
for ax, name in zip(axes, ("C3", "C4"), strict=True):
    for hand, color in enumerate(("#0072b2", "#d55e00")):
        power = spectra[recordings.y == hand, recordings.names.index(name)].mean(axis=0)
        ax.plot(frequencies[shown], 10 * np.log10(power[shown]), color=color, label=recordings.label_names[hand])
    ax.set_title(name, loc="left")
    ax.set_xlabel("frequency (Hz)")
axes[0].set_ylabel("power (dB, arbitrary reference)")
axes[0].legend(frameon=False)
plt.show()

# %%
# From voltage to spikes
# ----------------------
#
# A delta encoder emits an *on* spike where the signal rose by more than a threshold since the last sample and an *off*
# spike where it fell. The threshold of each channel is learned from data, so it is fitted on training samples only.
# Encoders take ``(batch, channels, times)`` and return ``(steps, batch, features)``: time comes first inside spiking
# networks.

train = (recordings.metadata["subject"] != recordings.metadata["subject"].iloc[trial]).to_numpy()
encoder = sn.encoders.DeltaEncoder().fit(recordings.X[train])
signal = torch.as_tensor(recordings.X[trial : trial + 1])
spikes = encoder(signal)
print("signal", tuple(signal.shape), "-> spikes", tuple(spikes.shape))
print(f"{float(spikes.mean()):.3f} spikes per feature and step")

# %%

layers = {"delta code": spikes[:, 0].numpy()}
dt = 1 / recordings.sfreq  # seconds per step
sn.report.plots.raster(layers, dt, "The same trial as spikes", most=64, rows="features", figure=plt.figure())
plt.show()

# %%
# A spiking network, tested on people it never saw
# ------------------------------------------------
#
# `NeuroClassifier` is a scikit-learn estimator. It sets whole people aside for validation (``groups``), fits its scaler
# and the model's encoder on the remaining ones, and trains by surrogate gradients through time. The model here takes
# the signal itself as input current (*direct* code) and has spiking neurons of many time constants inside.
#
# Two of the six people are left out in turn. ``audit`` raises if anything of theirs were in the training part.

subjects = recordings.metadata["subject"].to_numpy()
splitter = sn.data.make_splitter("leave-groups-out", by="subject", n_splits=3, random_state=0)
models = {
    name: sn.NeuroClassifier(name, sfreq=recordings.sfreq, max_epochs=15, lr=0.01, random_state=0)
    for name in ("spiking-eegnet", "cnn1d")
}
correct = {name: np.zeros(len(recordings)) for name in models}
for fold in sn.data.folds(recordings.metadata, recordings.y, splitter):
    sn.data.audit(recordings.metadata, fold)
    for name, model in models.items():
        model.fit(recordings.X[fold.train], recordings.y[fold.train], groups=subjects[fold.train])
        correct[name][fold.test] = model.predict(recordings.X[fold.test]) == recordings.y[fold.test]

# %%
# Trials of one person are not independent, so the score of each *person* counts, and the interval is over people. With
# six of them it is wide, and a test can hardly tell two models apart: 1/32 is the smallest p-value it can give.

per_person = {
    name: np.array([hits[subjects == s].mean() for s in np.unique(subjects)]) for name, hits in correct.items()
}
for name, scores in per_person.items():
    interval = sn.evaluation.bootstrap_interval(scores)
    print(f"{name}: accuracy {scores.mean():.2f} (95 % interval {interval.low:.2f} to {interval.high:.2f})")
test = sn.evaluation.paired_permutation_test(per_person["spiking-eegnet"], per_person["cnn1d"])
print(f"difference {test.difference:+.2f}, p = {test.p_value:.2f} (paired permutation test over {test.n_units} people)")

fig, ax = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
for pair in zip(*per_person.values(), strict=True):
    ax.plot([0, 1], pair, "o-", color="#6b6b6b", alpha=0.6, linewidth=1)
ax.axhline(0.5, color="#999999", linestyle=":")
ax.annotate("chance", (0.5, 0.5), xytext=(0, 3), textcoords="offset points", ha="center", color="#666666")
ax.set_xticks([0, 1], list(per_person))
ax.set_xlim(-0.4, 1.4)
ax.set_ylim(0.4, 1.02)
ax.set_ylabel("accuracy (share of trials)")
ax.set_title("Each line is a person", loc="left")
plt.show()

# %%
# What training looked like in the last fold, and how the neurons fared: dead neurons never fire, saturated ones hardly
# ever stop.

kinds = {"spiking-eegnet": "spiking", "cnn1d": "network"}
sn.report.plots.learning_curves({name: [m.history_] for name, m in models.items()}, kinds, figure=plt.figure())
plt.show()

# %%

sn.report.plots.firing({"spiking-eegnet": models["spiking-eegnet"].health_["firing"]}, figure=plt.figure())
plt.show()

# %%
# Is it cheaper?
# --------------
#
# The ledger watches the operations of a real forward pass. A product with a spike is an accumulate, any other product
# a multiply-accumulate; products with a zero are skipped, for both networks alike (``macs``, ``acs``), or counted all
# the same (``dense``).

ledgers = {name: sn.energy.count(model, recordings.X[:32]) for name, model in models.items()}
for name, ledger in ledgers.items():
    effective, dense = ledger.energy("horowitz45-fp32"), ledger.energy_dense("horowitz45-fp32")
    print(f"{name}, per trial:")
    print(f"  {ledger.macs:,.0f} multiply-accumulates, {ledger.acs:,.0f} accumulates")
    print(f"  {effective * 1e9:,.0f} nJ; {dense * 1e9:,.0f} nJ if every input is counted")

# %%
# Layer by layer it becomes clear where the energy goes. The first convolutions of the spiking network work on the real
# signal, and pooling turns spikes into numbers again, so these products are multiply-accumulates like any other
# network's: what makes this network cheap is that it is small, not that it spikes. The ledger says so; a count of its
# spikes alone would not.

table = ledgers["spiking-eegnet"].table().set_index("module")
table = table[["type", "macs", "acs", "additions", "spike_rate"]]
table[table[["macs", "acs", "additions"]].sum(axis=1) > 0].round(2)

# %%
# Read such a comparison with care: it prices arithmetic only, at one technology's figures, and moving data often costs
# more than computing. The suites in ``benchmarks/`` make it on real recordings, with more people, more rivals, and a
# report for every run; :doc:`/how-to/run-a-suite` shows how.
