"""CfC and LTC against their equations, closed forms, and the networks of ncps with the same weights."""

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from spikeneuro import energy
from spikeneuro._random import scoped_seed
from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.training import NeuroClassifier

ncps = pytest.importorskip("ncps.torch")


def built(name, **options):
    with scoped_seed(0):
        return create(name, n_chans=3, n_times=20, n_outputs=2, **{"drop_prob": 0.0} | options).double().eval()


def signal(n=2, n_times=20, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 3, n_times)))


def states(model, x, spans=None):
    spans = None if spans is None else spans.expand(x.shape[0], x.shape[2])
    with torch.no_grad():
        return torch.stack(model._states(x.permute(2, 0, 1), spans), dim=1)


class TestCfC:
    @pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
    @pytest.mark.parametrize("span", [1.0, 0.3])
    def test_a_step_equals_the_equations(self, mode, span):
        model = built("cfc", mode=mode, hidden=5)
        cell, u = model.cell, np.random.default_rng(1).normal(size=3)
        h = np.random.default_rng(2).normal(size=5)
        if mode == "pure":
            with torch.no_grad():
                cell.w_tau.copy_(torch.linspace(-1, 1, 5))
        w = {name: p.detach().numpy() for name, p in cell.named_parameters()}
        z = 1.7159 * np.tanh(0.666 * (w["backbone.0.weight"] @ np.concatenate([u, h]) + w["backbone.0.bias"]))
        f1 = w["ff1.weight"] @ z + w["ff1.bias"]
        if mode == "pure":
            A = w["A"][0]
            expected = A - A * np.exp(-span * (np.abs(w["w_tau"][0]) + np.abs(f1))) * f1
        else:
            f1, f2 = np.tanh(f1), np.tanh(w["ff2.weight"] @ z + w["ff2.bias"])
            gate = (w["time_a.weight"] @ z + w["time_a.bias"]) * span + w["time_b.weight"] @ z + w["time_b.bias"]
            g = 1 / (1 + np.exp(-gate))
            expected = f1 + g * f2 if mode == "no_gate" else f1 * (1 - g) + g * f2
        out, _ = cell(torch.from_numpy(u)[None], torch.from_numpy(h)[None], span)
        np.testing.assert_allclose(out.detach().numpy()[0], expected, atol=1e-12)

    def test_a_closed_gate_leaves_f1(self):
        model = built("cfc", hidden=6)
        with torch.no_grad():
            for part in (model.cell.time_a, model.cell.time_b):
                part.weight.zero_()
                part.bias.zero_()
            model.cell.time_b.bias.fill_(-800.0)
        x = signal()
        reached, h = states(model, x), torch.zeros(2, 6).double()
        for t in range(20):
            z = model.cell.backbone(torch.cat([x[..., t], h], dim=1))
            h = torch.tanh(model.cell.ff1(z)).detach()
            torch.testing.assert_close(reached[:, t], h, rtol=0, atol=1e-15)

    @pytest.mark.parametrize("mixed_memory", [False, True])
    @pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
    def test_sequence_equals_that_of_ncps(self, mode, mixed_memory):
        ours = built("cfc", mode=mode, mixed_memory=mixed_memory, hidden=7, backbone_units=11).float()
        theirs = ncps.CfC(3, 7, mode=mode, mixed_memory=mixed_memory, backbone_units=11, backbone_layers=1)
        theirs.rnn_cell.load_state_dict(ours.cell.state_dict())
        if mixed_memory:
            theirs.lstm.load_state_dict(ours.memory.state_dict())
        x = signal().float()
        expected, _ = theirs(x.transpose(1, 2))
        torch.testing.assert_close(states(ours, x), expected.detach(), rtol=1e-5, atol=1e-6)

    def test_two_half_steps_are_not_one_step(self):
        # the update forgets where it came from but through the backbone: it is no flow in time, and says so here
        model, x = built("cfc", hidden=8), signal(n_times=1)
        one = states(model, x, torch.tensor([1.0]).double())[:, -1]
        two = states(model, x.repeat(1, 1, 2), torch.tensor([0.5, 0.5]).double())[:, -1]
        assert (one - two).abs().max() > 1e-2


def conductances(cell, size, sensory):
    """Numbers of an LTC cell as arrays, positive where the cell makes them so."""
    p = {name: value.detach().double() for name, value in cell.state_dict().items()}
    for name in ("w", "sensory_w", "cm", "gleak"):
        p[name] = softplus(p[name])
    assert p["w"].shape == (size, size)
    assert p["sensory_w"].shape == (sensory, size)
    return {name: value.numpy() for name, value in p.items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class TestLTC:
    def linear(self, unfolds):
        """A network whose synapses have slope 0: their conductance is constant, the equation linear."""
        model = built("ltc", hidden=4, unfolds=unfolds)
        with torch.no_grad():
            model.cell.sigma.zero_()
            model.cell.sensory_sigma.zero_()
        p = conductances(model.cell, 4, 3)
        conductance = p["gleak"] + 0.5 * p["w"].sum(axis=0) + 0.5 * p["sensory_w"].sum(axis=0)
        driven = (
            p["gleak"] * p["vleak"]
            + 0.5 * (p["w"] * p["erev"]).sum(axis=0)
            + 0.5 * (p["sensory_w"] * p["sensory_erev"]).sum(axis=0)
        )
        return model, p["cm"], conductance, driven / conductance

    def test_linear_limit_is_the_geometric_approach_of_the_scheme(self):
        model, c, g, rest = self.linear(unfolds=6)
        reached = states(model, signal())[0].numpy()
        factor = 6 * c / (6 * c + g)
        expected = rest * (1 - factor ** (6 * np.arange(1, 21)[:, np.newaxis]))
        np.testing.assert_allclose(reached, expected, atol=1e-6)  # the scheme divides by 1e-8 more

    def test_linear_limit_converges_to_the_exponential(self):
        spans = torch.tensor([0.5, 1.0, 0.25, 0.1]).double()
        errors = []
        for unfolds in (25, 50, 100):
            model, c, g, rest = self.linear(unfolds)
            reached = states(model, signal(n_times=4), spans)[0].numpy()
            time = np.cumsum(spans.numpy())[:, np.newaxis]
            errors.append(np.abs(reached - rest * (1 - np.exp(-time * g / c))).max())
        assert errors[-1] < 0.01
        assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)  # first order, as an implicit Euler step is
        assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)

    def test_a_step_equals_the_equations(self):
        model = built("ltc", hidden=5, unfolds=6)
        p, rng = conductances(model.cell, 5, 3), np.random.default_rng(0)
        u, v, span = rng.normal(size=3), rng.normal(size=5), 0.7
        out, _ = model.cell(torch.from_numpy(u)[None], torch.from_numpy(v)[None], span)
        into = p["sensory_w"] * sigmoid(
            p["sensory_sigma"] * ((u * p["input_w"] + p["input_b"])[:, np.newaxis] - p["sensory_mu"])
        )
        capacity = p["cm"] / (span / 6)
        for _ in range(6):
            among = p["w"] * sigmoid(p["sigma"] * (v[:, np.newaxis] - p["mu"]))
            above = capacity * v + p["gleak"] * p["vleak"]
            above += (among * p["erev"]).sum(axis=0) + (into * p["sensory_erev"]).sum(axis=0)
            v = above / (capacity + p["gleak"] + among.sum(axis=0) + into.sum(axis=0) + 1e-8)
        np.testing.assert_allclose(out.detach().numpy()[0], v, atol=1e-12)

    @pytest.mark.parametrize("mixed_memory", [False, True])
    def test_sequence_equals_that_of_ncps(self, mixed_memory):
        ours = built("ltc", hidden=6, mixed_memory=mixed_memory).float()
        theirs = ncps.LTC(3, 6, mixed_memory=mixed_memory, output_mapping=None)
        theirs.rnn_cell.load_state_dict(ours.cell.state_dict())
        if mixed_memory:
            theirs.lstm.load_state_dict(ours.memory.state_dict())
        x = signal().float()
        expected, _ = theirs(x.transpose(1, 2))
        torch.testing.assert_close(states(ours, x), expected.detach(), rtol=1e-5, atol=1e-6)

    def test_two_half_steps_are_nearly_one_step(self):
        x, gaps = signal(n=8, n_times=1), []
        for unfolds in (6, 24):
            model = built("ltc", hidden=8, unfolds=unfolds)
            one = states(model, x, torch.tensor([1.0]).double())[:, -1]
            two = states(model, x.repeat(1, 1, 2), torch.tensor([0.5, 0.5]).double())[:, -1]
            gaps.append(float((one - two).abs().max()))
        assert gaps[0] < 0.1
        assert gaps[1] < gaps[0] / 2  # what is left is the error of the solver

    def test_potentials_stay_between_the_reversal_potentials(self):
        model = built("ltc", hidden=8)
        reached = states(model, 50 * signal(8))
        assert reached.abs().max() <= 1.0 + 1e-6  # reversal potentials are ±1 and leaks lie between

    def test_masks_are_neither_trained_nor_left_behind(self):
        model = create("ltc", n_chans=3, n_times=20, n_outputs=2, hidden=4)
        assert "cell.sparsity_mask" in dict(model.named_buffers())
        assert all(parameter.requires_grad for parameter in model.parameters())
        model.double()
        assert model.cell._params["sparsity_mask"].dtype == torch.float64


class TestBoth:
    @pytest.mark.parametrize("name", ["cfc", "ltc"])
    def test_spans_of_one_are_the_regular_steps(self, name):
        model, x = built(name), signal(3)
        torch.testing.assert_close(model(x, torch.ones(3, 20)), model(x))
        torch.testing.assert_close(model(x, torch.ones(20)), model(x))
        torch.testing.assert_close(model(x, [1.0] * 20), model(x))
        torch.testing.assert_close(model(x, np.ones((3, 20), dtype=np.float32)), model(x))
        assert (model(x, torch.full((20,), 0.2)) - model(x)).abs().max() > 1e-4

    @pytest.mark.parametrize("name", ["cfc", "ltc"])
    def test_each_sample_has_its_own_spans(self, name):
        # as many samples as units, where broadcasting the wrong way would go unnoticed
        model, x = built(name, hidden=4), signal(4)
        spans = torch.rand(4, 20, generator=torch.Generator().manual_seed(0)).double() + 0.1
        together = model(x, spans)
        for i in range(4):
            torch.testing.assert_close(model(x[i : i + 1], spans[i : i + 1]), together[i : i + 1])

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("cfc", {"mode": "pure"}),
            ("cfc", {"mode": "no_gate", "backbone_layers": 0}),
            ("cfc", {"mixed_memory": True, "backbone_layers": 2}),
            ("ltc", {"mixed_memory": True, "unfolds": 3}),
            ("ltc", {"downsample": 4, "readout": "last"}),
        ],
    )
    def test_every_option_trains_and_is_counted(self, name, options):
        model = built(name, **options).train()
        model(signal(4)).sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
        ledger = energy.count(model.eval(), signal(4))
        assert ledger.macs > 0

    def test_products_of_the_cfc_are_those_of_its_layers(self):
        model = built("cfc", hidden=8, backbone_units=16)
        ledger = energy.count(model, signal())
        assert ledger.dense.macs == pytest.approx(20 * ((3 + 8) * 16 + 4 * 16 * 8 + 2 * 8) + 8 * 2, rel=0.2)
        rows = {row.name: row.dense.macs / 2 for row in ledger.layers}
        assert rows["cell.backbone.0"] == 20 * (3 + 8) * 16
        assert rows["cell.time_a"] == rows["cell.ff1"] == 20 * 16 * 8

    @pytest.mark.parametrize("name", ["cfc", "ltc"])
    def test_learns_through_the_estimator(self, name):
        rng = np.random.default_rng(0)
        y = np.arange(80) % 2
        X = rng.normal(size=(80, 2, 40)) + 0.8 * y[:, None, None]
        model = NeuroClassifier(name, sfreq=40.0, max_epochs=20, lr=0.02, random_state=0).fit(X[:60], y[:60])
        assert model.score(X[60:], y[60:]) > 0.8

    @pytest.mark.parametrize("name", ["cfc", "ltc"])
    def test_mistakes_are_named(self, name):
        model, x = built(name), signal(2)
        with pytest.raises(InputError, match=r"spans must be \(batch, times\)"):
            model(x, torch.ones(2, 19))
        with pytest.raises(InputError, match="spans must be positive"):
            model(x, torch.zeros(20))
        with pytest.raises(InputError, match="spans must be positive and finite"):
            model(x, torch.full((20,), torch.inf))
        with pytest.raises(InputError, match="downsample is 4"):
            built(name, downsample=4)(x, torch.ones(20))
        with pytest.raises(InputError, match="would drop time steps"):
            built(name, downsample=4, task="steps")
        with pytest.raises(InputError, match="too much"):
            built(name, downsample=11)
        with pytest.raises(InputError, match="readout"):
            built(name, readout="max")
        with pytest.raises(InputError, match="hidden"):
            built(name, hidden=0)
        with pytest.raises(InputError, match="did you mean 'mixed_memory'"):
            built(name, mixed_memori=True)
        with pytest.raises(InputError, match="mode='purest' is unknown"):
            built("cfc", mode="purest")
        with pytest.raises(InputError, match="unfolds"):
            built("ltc", unfolds=0)
