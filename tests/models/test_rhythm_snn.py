"""rhythm-snn: the published network, its options, streams, spikes and energy by duty, mistakes."""

import warnings

import numpy as np
import pytest
import torch

from spikeneuro import energy
from spikeneuro._random import scoped_seed
from spikeneuro.encoders import DirectEncoder
from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.models.rhythm_presets import PRESETS, published
from spikeneuro.models.rhythm_snn import RhythmSNN
from spikeneuro.nn import LIF, RecurrentLIF, RhythmWarning
from spikeneuro.nn.heterogeneity import LogSpaced

pytestmark = pytest.mark.filterwarnings("ignore::spikeneuro.nn.RhythmWarning")
F64 = torch.float64


def build(seed=0, **options):
    with scoped_seed(seed):
        return RhythmSNN(3, 60, 2, 100.0, **options).double().eval()


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def released_ffsnn(x, weights, masks, decay, thresh):
    """The program of the publication: (batch, steps) pixels to spikes of the last layer, (steps, batch, neurons)."""
    batch, steps = x.shape
    mem = [np.zeros((batch, w.shape[0])) for w, _ in weights]
    spike = [np.zeros_like(m) for m in mem]
    out = []
    for t in range(steps):
        below = x[:, t : t + 1]
        for layer, (w, b) in enumerate(weights):
            before = mem[layer]
            mem[layer] = mem[layer] * decay * (1 - spike[layer]) + below @ w.T + b
            mem[layer] = np.where(masks[layer][t], mem[layer], before)
            spike[layer] = (mem[layer] > thresh) * masks[layer][t] * 1.0
            below = spike[layer]
        out.append(below)
    return np.stack(out)


@pytest.mark.parametrize(("name", "decay"), [("s-mnist", 0.5), ("ps-mnist", 0.9)])
def test_published_network_is_the_released_program(name, decay):
    with scoped_seed(0):
        model = create("rhythm-snn", n_chans=1, n_times=784, n_outputs=10, **published(name)).double().eval()
        for linear in model.linears:
            torch.nn.init.normal_(linear.weight, std=3 / linear.in_features**0.5)
    assert [layer.shape for layer in model.neurons] == [(64,), (256,), (256,)]
    masks = [layer.rhythm.mask(784)[:, 0].numpy() for layer in model.neurons]
    weights = [(linear.weight.detach().numpy(), linear.bias.detach().numpy()) for linear in model.linears]
    x = randn(2, 784, seed=1).abs()
    expected = released_ffsnn(x.numpy(), weights, masks, float(model.neurons[0].beta[0]), 0.3)
    result = model.run(x.unsqueeze(1))
    assert float(model.neurons[0].beta[0]) == pytest.approx(decay, rel=1e-6)
    assert np.mean(result.spikes[-1].detach().numpy() != expected) < 1e-4  # rounding of sums at the threshold
    assert expected.sum() > 100
    # readout: linear in the mean of the last layer's spikes
    logits = expected.mean(0) @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
    np.testing.assert_allclose(model(x.unsqueeze(1)).detach().numpy(), logits, atol=2e-3)


def test_published_masks():
    for name, fractions in {
        "s-mnist": (0.3483, 0.3384, 0.3384), "ps-mnist": (0.0537, 0.0545, 0.0550), "dvs-gesture": (0.2924, 0.2924),
        "shd": (0.5866, 0.5866), "ecg-waves": (0.75,),
    }.items():  # fmt: skip
        model = create("rhythm-snn", n_chans=4, n_times=784, n_outputs=6, **published(name))
        steps = {"dvs-gesture": 500, "shd": 1000, "ecg-waves": 1300}.get(name, 784)
        found = [layer.rhythm.on_fraction(steps) for layer in model.neurons]
        assert found == pytest.approx(fractions, abs=6e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_published_settings_run_and_learn(name):
    options = published(name)
    with scoped_seed(0):
        model = create("rhythm-snn", n_chans=4, n_times=80, n_outputs=3, **options)
    output = model(3 * randn(5, 4, 80).float().abs())
    assert output.shape == ((5, 3, 80) if name == "ecg-waves" else (5, 3))
    output.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    options["hidden"] = 2  # a copy
    assert published(name)["hidden"] != 2
    connected = published(name).get("recurrent", True)
    assert [isinstance(layer, RecurrentLIF) for layer in model.neurons] == list(
        connected if isinstance(connected, tuple) else [connected] * len(model.neurons)
    )


@pytest.mark.parametrize("name", ["s-mnist-adaptive", "ps-mnist-adaptive", "dvs-gesture"])
def test_adaptive_presets_start_as_released(name):
    """The programs start b at 0.01, which decays once before the first threshold, 0.01 + 1.8 b."""
    model = create("rhythm-snn", n_chans=2, n_times=20, n_outputs=3, **published(name)).eval()
    layer = model.neurons[0]
    result = layer.run(torch.zeros(1, 1, layer.shape[0]), record=("threshold",))
    rho = torch.exp(-1.0 / LogSpaced(*published(name)["tau_adapt"])(layer.shape[0]))
    torch.testing.assert_close(
        result.traces["threshold"][0, 0].sort().values, (0.01 + 0.018 * rho).sort().values.float()
    )


def test_no_rhythm_is_recurrent_snn_and_duty_one_too():
    x = randn(4, 3, 60)
    with scoped_seed(0):
        plain = create("recurrent-snn", n_chans=3, n_times=60, n_outputs=2, sfreq=100.0, hidden=24, n_layers=2)
    plain = plain.double().eval()
    same = build(hidden=24, n_layers=2, rhythm="none")
    assert torch.equal(same(x), plain(x))
    with pytest.warns(RhythmWarning, match="nothing is modulated"):
        ones = build(hidden=24, n_layers=2, duty=(1.0, 1.0))
    assert torch.equal(ones(x), plain(x))
    assert not torch.equal(build(hidden=24, n_layers=2)(x), plain(x))


@pytest.mark.parametrize("readout", ["rate", "max", "steps"])
@pytest.mark.parametrize("options", [{}, {"kappa": 1.0, "tau_adapt": (0.1, 0.2), "tau_syn": (0.01, 0.02)},
                                     {"recurrent": False, "rhythm": "mix", "cycle": (1, 3)}])  # fmt: skip
def test_pieces_give_the_whole(readout, options):
    choice = {"task": "steps"} if readout == "steps" else {"readout": readout}
    model = build(hidden=(16, 8), encoder=DirectEncoder(2), **choice, **options)
    x, state, outputs = randn(2, 3, 60), None, []
    for piece in x.split([1, 17, 2, 40], dim=-1):
        result = model.run(piece, state)
        state = result.state
        outputs.append(result.output)
    together = torch.cat(outputs, dim=-1) if readout == "steps" else outputs[-1]
    torch.testing.assert_close(together, model(x), rtol=1e-9, atol=1e-11)
    assert state.layers[0].step == 120


def test_recomputed_segments_are_the_same_network():
    plain = build(norm="layer", hidden=12, n_layers=2)
    cut = build(norm="layer", hidden=12, n_layers=2, recompute=4)
    torch.testing.assert_close(cut(randn(3, 3, 60)), plain(randn(3, 3, 60)))


def test_cycles_in_hertz_seconds_and_steps_are_the_same_rhythm():
    steps = build(cycle=(10, 10), duty=(0.3, 0.3), phase=0.0).neurons[0].rhythm.mask(200)
    for unit, value in (("hertz", 10.0), ("seconds", 0.1)):
        for tau_unit in ("seconds", "steps"):
            model = build(cycle=(value, value), cycle_unit=unit, duty=(0.3, 0.3), phase=0.0, tau_unit=tau_unit)
            assert torch.equal(model.neurons[0].rhythm.mask(200), steps)
    finer = build(cycle=(10.0, 10.0), cycle_unit="hertz", duty=(0.3, 0.3), phase=0.0, encoder=DirectEncoder(3))
    assert finer.neurons[0].rhythm.cycle.unique().tolist() == [30.0]  # three steps a sample


def test_layers_have_their_own_settings():
    model = build(hidden=[8, 16], recurrent=[False, True], cycle=[[5, 10], [20, 40]], duty=[[0.2, 0.2], [0.5, 0.5]])
    assert [type(layer) for layer in model.neurons] == [LIF, RecurrentLIF]
    cycles = [layer.rhythm.cycle for layer in model.neurons]
    assert [(float(c.min()), float(c.max())) for c in cycles] == [(5, 10), (20, 40)]
    assert model.head.in_features == 16
    one = build(hidden=8, n_layers=3)
    assert len(one.neurons) == 3


def test_spikes_and_energy_fall_with_the_duty():
    x = 2 * randn(6, 3, 60)
    spikes, accumulates = [], []
    for duty in (1.0, 0.7, 0.5, 0.3, 0.1):
        model = build(hidden=64, duty=(duty, duty), cycle=(10, 30), norm="none", gain=8.0)
        spikes.append(int(model.run(x).spikes[0].detach().sum()))
        accumulates.append(energy.count(model, x).acs)
    assert spikes == sorted(spikes, reverse=True)
    assert accumulates == sorted(accumulates, reverse=True)
    assert spikes[0] > 4 * spikes[-1] > 0


def test_feature_vectors_are_signals_of_one_channel():
    from spikeneuro import NeuroClassifier

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((24, 30)), np.arange(24) % 2
    classifier = NeuroClassifier("rhythm-snn", module__tau_unit="steps", module__hidden=8, max_epochs=1, random_state=0)
    assert classifier.fit(X, y).predict_proba(X).shape == (24, 2)


def bump_early(count, seed):
    """A bump at the beginning in one of two channels, then 160 samples of noise: which channel was it?"""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    x = 0.3 * torch.randn(count, 2, 180, generator=generator)
    x[torch.arange(count), y, :20] += 2.0
    return x, y


@pytest.mark.slow
def test_a_rhythm_remembers_what_the_unmodulated_network_forgets():
    """Membranes of 5 steps, read at the end: only who was OFF in between still knows of the beginning."""
    accuracies = {}
    for kind in ("cycle", "none"):
        x, y = bump_early(128, 0)
        with scoped_seed(0):
            model = create(
                "rhythm-snn", n_chans=2, n_times=180, n_outputs=2, tau_unit="steps", tau=(5.0, 5.0), learn_tau=False,
                rhythm=kind, cycle=(140, 178), duty=(0.05, 0.15), phase=0.0, recurrent=False, readout="last",
                tau_readout=(5.0, 5.0), drop_prob=0.0, norm="layer",
            )  # fmt: skip
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
            for _ in range(40):
                for index in torch.randperm(128).split(32):
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(model(x[index]), y[index]).backward()
                    optimizer.step()
        x_new, y_new = bump_early(128, 1)
        with torch.no_grad():
            accuracies[kind] = float((model.eval()(x_new).argmax(1) == y_new).float().mean())
    assert accuracies["cycle"] > accuracies["none"] + 0.2


def test_defaults_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build()
        build(cycle=(4.0, 40.0), cycle_unit="hertz", rounding="none", min_on=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rhythm": "cyclic"}, "did you mean 'cycle'"),
        ({"cycle": (0, 10)}, "cycle must lie"),
        ({"cycle": 10}, "a pair"),
        ({"cycle": ((1, 2), (3, 4))}, "for each of 1 layers"),
        ({"duty": (0.5, 1.2)}, "duty must lie"),
        ({"cycle_unit": "ms"}, "cycle_unit"),
        ({"cycle": (4, 80), "cycle_unit": "hertz"}, "cycle must lie"),  # 80 Hz at 100 Hz
        ({"rhythm": "mix", "cycle": (4, 8), "cycle_unit": "hertz"}, "cycles in steps"),
        ({"rhythm": "mix", "cycle": (1.5, 3)}, "shortest must be an integer"),
        ({"rhythm": "mix", "cycle": (1, 3), "duty": (0.2, 0.5)}, r"'mix' has no duty, got duty=\(0.2, 0.5\)"),
        ({"rhythm": "mix", "cycle": (1, 3), "phase": 0.1}, "'mix' has no phase"),
        ({"rhythm": "mix", "cycle": (1, 3), "rounding": "round"}, "'mix' has no rounding"),
        ({"rhythm": "mix", "cycle": (1, 3), "min_on": 1}, "'mix' has no min_on"),
        ({"rhythm": "mix", "cycle": (1, 3), "across": "drawn"}, "'mix' has no across"),
        ({"preserve_reset": True}, "never leaves; give reset_timing='next_step'"),
        ({"adaptation_start": 0.01}, "needs adaptation; give kappa"),
        ({"kappa": 1.0}, "belong together"),
        ({"tau_adapt": (0.1, 0.2)}, "belong together"),
        ({"hidden": (4, 4), "n_layers": 3}, "give one of them"),
        ({"hidden": (4, 0)}, "hidden"),
        ({"hidden": ()}, "give one of them"),
        ({"hidden": "64"}, "hidden"),
        ({"recurrent": (True, False)}, "recurrent"),
        ({"recurrent": "yes"}, "recurrent"),
        ({"n_layers": 0}, "n_layers"),
        ({"phase": 2.0}, "phase"),
        ({"norm": "group"}, "norm"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(InputError, match=message):
        RhythmSNN(3, 60, 2, 100.0, **options)


def test_missing_sampling_rate_and_unknown_preset():
    with pytest.raises(InputError, match="cycles are in hertz"):
        RhythmSNN(3, 60, 2, None, tau_unit="steps", cycle=(0.01, 0.1), cycle_unit="hertz")
    with pytest.raises(InputError, match="did you mean 'ps-mnist'"):
        published("psmnist")


def test_silent_input_and_one_sample():
    model = build()
    assert torch.isfinite(model(torch.zeros(1, 3, 60, dtype=F64))).all()
    assert torch.isfinite(model(randn(1, 3, 1))).all()
