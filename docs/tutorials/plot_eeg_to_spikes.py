"""
From an EEG recording to a spiking classifier and its energy
============================================================

We take EEG epochs of imagined hand movements, turn them into spikes, train a spiking network that never sees the
people it is tested on, and ask whether it is any cheaper than a convolutional network.

The recordings here are *simulated* with a spherical head model, so that this page runs anywhere. With your own data
only the first step changes: `spikeneuro.data.from_mne`, `from_bids` and `from_moabb` return the same object.
"""

# %%
# The recording
# -------------
#
# `Recordings` holds the signals in volts and a table that says who each sample came from. Everything that must not
# leak is decided from that table.

import matplotlib.pyplot as plt
import numpy as np

import spikeneuro as sn

recordings = sn.data.simulate_motor_imagery(n_subjects=6, n_trials=40, random_state=0)
recordings

# %%

recordings.metadata.head()

# %%
# One trial, two electrodes over the left and right motor cortex. Imagining the right hand weakens the rhythm over the
# left hemisphere (C3), and the other way round.

trial = int(np.flatnonzero(recordings.y == 1)[0])
times = np.arange(recordings.X.shape[-1]) / recordings.sfreq
fig, axes = plt.subplots(2, 1, figsize=(7, 3), sharex=True, layout="constrained")
for ax, name in zip(axes, ("C3", "C4"), strict=True):
    ax.plot(times, recordings.X[trial, recordings.names.index(name)] * 1e6, color="#0072b2", linewidth=0.9)
    ax.set_ylabel(f"{name} (µV)")
axes[0].set_title(f"One simulated trial: {recordings.label_names[recordings.y[trial]]}", loc="left")
axes[1].set_xlabel("time (s)")
plt.show()

# %%
# From voltage to spikes
# ----------------------
#
# A delta encoder emits an *on* spike where the signal rose by more than a threshold since the last sample and an *off*
# spike where it fell. The threshold of each channel is learned, so it is fitted on training samples only. Encoders
# take `(batch, channels, times)` and return `(steps, batch, features)`: time comes first inside spiking networks.

train = recordings.metadata["subject"] != recordings.metadata["subject"].iloc[0]
encoder = sn.encoders.DeltaEncoder().fit(recordings.X[train])
spikes = encoder(sn.data.to_tensor(recordings.X[trial : trial + 1]))
print("signal", recordings.X[trial : trial + 1].shape, "-> spikes", tuple(spikes.shape))
print(f"{float(spikes.mean()):.3f} spikes per feature and step")

step, feature = np.nonzero(spikes[:, 0].numpy())
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.scatter(step / recordings.sfreq, feature, s=2, marker="|", color="#d55e00")
ax.set_xlabel("time (s)")
ax.set_ylabel("feature (on, then off, per channel)")
ax.set_title("The same trial as spikes", loc="left")
plt.show()

# %%
# A spiking network, tested on people it never saw
# ------------------------------------------------
#
# `NeuroClassifier` is a scikit-learn estimator. It sets whole people aside for validation (`groups`), fits its scaler
# and the model's encoder on the remaining ones, and trains by surrogate gradients through time.

splitter = sn.data.splits.make_splitter("leave-groups-out", by="subject", n_splits=3, random_state=0)
subjects = recordings.metadata["subject"].to_numpy()

models = {
    "spiking-eegnet": sn.NeuroClassifier("spiking-eegnet", sfreq=recordings.sfreq, max_epochs=25, random_state=0),
    "cnn1d": sn.NeuroClassifier("cnn1d", sfreq=recordings.sfreq, max_epochs=25, random_state=0),
}
scores = {name: [] for name in models}
for fold in sn.data.splits.folds(recordings.metadata, recordings.y, splitter):
    sn.data.splits.audit(recordings.metadata, fold)  # raises if a person were on both sides
    for name, model in models.items():
        model.fit(recordings.X[fold.train], recordings.y[fold.train], groups=subjects[fold.train])
        scores[name].append(model.score(recordings.X[fold.test], recordings.y[fold.test]))

for name, values in scores.items():
    print(f"{name}: accuracy {np.mean(values):.2f} on unseen people (folds: {np.round(values, 2)})")

# %%
# What training looked like, and how the neurons fared: dead neurons never fire, saturated ones hardly ever stop.

spiking = models["spiking-eegnet"]
for layer, firing in spiking.health_["firing"].items():
    print(f"{layer}: {firing['rate']:.3f} spikes per step, {firing['dead']:.0%} dead, {firing['saturated']:.0%} saturated")

fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for name, model in models.items():
    ax.plot([epoch["valid_loss"] for epoch in model.history_], label=name)
ax.set_xlabel("epoch")
ax.set_ylabel("validation loss")
ax.legend(frameon=False)
plt.show()

# %%
# Is it cheaper?
# --------------
#
# The ledger watches the operations of a real forward pass. A product with a spike is an accumulate, any other product
# a multiply-accumulate; inputs that are zero are skipped (`macs`, `acs`) or counted all the same (`dense`).

ledgers = {name: sn.energy.count(model, recordings.X[:32]) for name, model in models.items()}
for name, ledger in ledgers.items():
    print(
        f"{name}: {ledger.macs:,.0f} multiply-accumulates and {ledger.acs:,.0f} accumulates per sample, "
        f"{ledger.energy('horowitz45-fp32') * 1e9:,.0f} nJ"
    )

# %%
# Layer by layer it becomes clear where the energy goes. The first convolution of the spiking network works on the real
# signal, so its products are multiply-accumulates like any other network's.

ledgers["spiking-eegnet"].table()

# %%
# Read such a comparison with care: it prices arithmetic only, at one technology's figures, and moving data often costs
# more than computing. The suites in `benchmarks/` make this comparison on real recordings, with intervals over people.
