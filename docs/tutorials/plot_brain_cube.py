"""
A brain cube that learns the paths of spikes
============================================

NeuCube puts spiking neurons at places in the brain, feeds them where signals were measured, and lets connections learn
by the timing of spikes which neurons follow which. A readout then learns from the spikes, and what the cube has learned
can be looked up by place. We go from EEG to spikes, to a cube, to a deSNN readout, and to pictures of the cube.

The EEG is *simulated*: background activity of a spherical head model, into which we put sharp discharges that spread
from one side to the other. So we know what there is to be found, and this page says nothing about real brains.
"""

# %%
# Recordings in which one side leads
# ----------------------------------
#
# Each trial holds one discharge, at a random time. In one class it reaches the left electrodes first and the right ones
# 50 ms later, in the other class it is the other way round. Sizes and times vary; only the order tells the classes
# apart.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import spikeneuro as sn
from spikeneuro.encoders import DeltaEncoder
from spikeneuro.report import plots
from spikeneuro.reservoir import DeSNN, NeuCube

background = sn.data.simulate_motor_imagery(n_subjects=4, n_trials=40, desynchronisation=0.0, random_state=0)
names, sfreq = list(background.names), background.sfreq
n, _, times = background.X.shape
seconds = np.arange(times) / sfreq

random = np.random.default_rng(0)
y = random.permutation(np.arange(n) % 2)
labels = ("left leads", "right leads")
X = background.X.copy()
begin = random.uniform(0.5, 1.0, n)
for side, electrodes in enumerate((("F7", "FC5", "T7", "C3", "CP5", "P7"), ("F8", "FC6", "T8", "C4", "CP6", "P8"))):
    for name in electrodes:
        onset = begin + 0.05 * (y != side) + random.normal(0, 0.01, n)
        after = seconds - onset[:, np.newaxis]
        discharge = 120e-6 * np.exp(-0.5 * (after / 0.015) ** 2) - 60e-6 * np.exp(-0.5 * ((after - 0.12) / 0.05) ** 2)
        X[:, names.index(name)] += random.uniform(0.7, 1.3, (n, 1)) * discharge

subjects = background.metadata["subject"].to_numpy()
train = np.isin(subjects, np.unique(subjects)[:2])  # two people for training, two others for testing

fig, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
trial = int(np.flatnonzero(y == 0)[0])
for name, color in (("C3", "#0072b2"), ("C4", "#d55e00")):
    side = "left" if name == "C3" else "right"
    ax.plot(seconds, X[trial, names.index(name)] * 1e6, color=color, linewidth=0.9, label=f"{name}, {side}")
ax.set(xlabel="time (s)", ylabel="EEG (µV)")
ax.set_title(f"One trial: {labels[0]}", loc="left")
ax.legend(frameon=False)
plt.show()

# %%
# Encode, learn, read out
# -----------------------
#
# All of it is one scikit-learn estimator. `NeuCube` fits its code to the training trials: a spike where the change from
# one sample to the next exceeds a threshold of each electrode, here set high (``factor=5``), so that little but the
# discharges gets through. It projects the electrodes onto the cortex of the MNI152 brain, and draws 1879 neurons 1 cm
# apart, connected at random with their neighbours. Then the training trials run through it once, without labels: where
# a neuron fires after another one that leads to it, their connection grows, and more so the closer in time.
# Falling signals feed neurons of their own, one more for each electrode; with ``negative="mirror"`` these begin with
# the weights of those that rising signals feed.
#
# The default readout, `DeSNN`, compares the order in which neurons fire first.
#
# The potential at which neurons fire (``threshold``) decides what becomes of a discharge: at 0.5, NeuCube's value, few
# neurons answer, at 0.2 they excite each other for ever.

settings = {"names": names, "negative": "mirror", "threshold": 0.4, "random_state": 0,
            "encoder": DeltaEncoder(factor=5, strict=True)}  # fmt: skip
cube = NeuCube(rate=0.01, **settings).fit(X[train], y[train])
print(f"{len(cube.cube_.positions)} neurons, {len(cube.connections())} connections")

# %%
# What comes in are the spikes of the inputs, drawn here on the scalp in parts of half a second. Sides look alike: which
# of them leads within a part cannot be seen.

duration = times / sfreq
feed = cube.input_activation(X[~train], bins=4)
plots.cube_input_activity(feed, names, duration=duration, title="Spikes that feed the cube", figure=plt.figure())
plt.show()

# %%
# Is it any good?
# ---------------
#
# The people of the test part have not been seen in training. Beside the cube we try what it has to be compared with: a
# cube as it was drawn (``rounds=0``), and readouts of the input spikes without any cube, by their order and by their
# rates.

at_inputs = np.flatnonzero(cube.cube_.is_input)
spikes = cube.spikes(X)[:, :, at_inputs]
rates = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(spikes[train].mean(axis=1), y[train])
scores = {
    "cube that has learned, deSNN": cube.score(X[~train], y[~train]),
    "cube as drawn, deSNN": NeuCube(rounds=0, **settings).fit(X[train], y[train]).score(X[~train], y[~train]),
    "no cube, deSNN": np.mean(DeSNN(ties="dense").fit(spikes[train], y[train]).predict(spikes[~train]) == y[~train]),
    "no cube, rates of the inputs": rates.score(spikes[~train].mean(axis=1), y[~train]),
}
for label, score in scores.items():
    print(f"{label}: {score:.2f}")

# %%
# Order is what tells these classes apart, so rates of the inputs do worst, and deSNN does best where it sees the inputs
# alone: they tell the order already, which hundreds of other neurons blur. Always make this comparison. What the cube
# gives beside its predictions is the picture of what it has learned.
#
# What has been learned, and where
# --------------------------------
#
# Connections whose weight changed most, in a glass brain.

inputs = dict(zip(names, cube.cube_.inputs.tolist(), strict=True))
plots.cube_connections(
    cube.connections(), cube.cube_.positions, inputs=inputs, title="What the cube has learned", figure=plt.figure()
)
plt.show()

# %%
# ``plots.cube_connections_html`` gives the same as a page of its own, in which the brain can be turned.
#
# Who drives whom
# ---------------
#
# Following spikes backward along the connections says which electrode each neuron gets most of its traffic from. The
# traffic between these clusters is a map of who drives whom.

traffic = cube.input_traffic(X[~train])
plots.cube_traffic(traffic, names, cube.positions_, title="Traffic between the clusters of the electrodes",
                   figure=plt.figure())  # fmt: skip
plt.show()

# %%
# Activity over time
# ------------------
#
# Firing rates of the neurons inside, one class minus the other, in the two halves of the trials: red where neurons fire
# more when the left side leads. Inputs are left out.

inside = ~cube.cube_.is_input
difference = cube.activation(X[y == 0], bins=2) - cube.activation(X[y == 1], bins=2)
plots.cube_activity(
    difference[:, inside], cube.cube_.positions[inside], duration=duration, label="difference of spikes a step",
    title="Left leads minus right leads", figure=plt.figure(),
)  # fmt: skip
plt.show()

# %%
# What it costs
# -------------
#
# The ledger counts a spike once for every connection it travels. The cube itself is cheap; comparing with every stored
# training sample, as deSNN does, is not.

table = sn.energy.count(cube, X[~train][:8]).table().set_index("module")
table[["type", "acs", "additions", "multiplications", "comparisons", "spike_rate"]].round(3)

# %%
# :doc:`/how-to/build-a-brain-cube` shows cubes of fMRI regions and voxels, other codes, and cubes in suites.
