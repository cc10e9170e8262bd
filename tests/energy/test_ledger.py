"""The ledger as a user meets it: invariances, a model left alone, errors, sums, storage, prices."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeneuro import energy, errors
from spikeneuro import nn as spiking
from spikeneuro.encoders import DeltaEncoder
from spikeneuro.ops.counts import KINDS, OperationCounts


class Everything(nn.Module):
    """Products, recurrence, attention, normalisation, spikes and a learned decay, on (batch, 3, 12)."""

    def __init__(self):
        super().__init__()
        self.encoder = DeltaEncoder(threshold=0.5)
        self.spiking = nn.Sequential(
            nn.Linear(6, 5), spiking.LIF(5, learn="tau_mem"), spiking.RecurrentLIF(5), spiking.LeakyReadout(5)
        )
        self.conv = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.AvgPool1d(2))
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.transformer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=6, batch_first=True)
        self.start = nn.Parameter(torch.randn(1, 1, 4))

    def forward(self, x):
        features = self.conv(x).transpose(1, 2)
        features = torch.cat([self.start.expand(len(x), -1, -1), features], 1)
        positions = torch.arange(features.shape[1], dtype=x.dtype)[:, None].cos()
        hidden = self.transformer(self.lstm(features + positions)[0])
        return self.spiking(self.encoder(x)).sum(-1) + hidden.mean((1, 2))


@pytest.fixture(scope="module")
def everything():
    torch.manual_seed(0)
    return Everything(), 2 * torch.randn(6, 3, 12)


def totals(ledger):
    return [
        round(value * ledger.n_samples, 6)
        for counts in (ledger.dense, ledger.effective)
        for value in counts.as_dict().values()
    ]


@given(batch_size=st.integers(1, 7))
@settings(max_examples=7, deadline=None)
def test_batch_split_changes_nothing(everything, batch_size):
    model, x = everything
    whole, split = energy.count(model, x), energy.count(model, x, batch_size=batch_size)
    assert totals(split) == totals(whole)
    assert split.preparation == whole.preparation
    assert [row.spikes for row in split.layers] == [row.spikes for row in whole.layers]


@given(order=st.permutations(range(6)))
@settings(max_examples=5, deadline=None)
def test_batch_order_changes_nothing(everything, order):
    model, x = everything
    assert totals(energy.count(model, x[list(order)])) == totals(energy.count(model, x))


@given(cut=st.integers(1, 5))
@settings(max_examples=5, deadline=None)
def test_ledgers_add_up(everything, cut):
    model, x = everything
    whole = energy.count(model, x)
    total = energy.count(model, x[:cut]) + energy.count(model, x[cut:])
    assert total.n_samples == 6
    assert totals(total) == totals(whole)
    assert total.energy() == pytest.approx(whole.energy())


def test_effective_is_at_most_dense_and_rows_sum_to_totals(everything):
    model, x = everything
    ledger = energy.count(model, x)
    dense, effective = ledger.dense.as_dict(), ledger.effective.as_dict()
    assert all(effective[kind] <= dense[kind] for kind in KINDS)
    assert 0 < ledger.acs < ledger.dense.acs
    table = ledger.table()
    assert table["macs"].sum() == pytest.approx(ledger.macs)
    assert table["dense_acs"].sum() == pytest.approx(ledger.dense.acs)
    named = table.set_index("module")
    assert named.loc["conv.0", "dense_macs"] == 12 * 4 * 3 * 3
    assert named.loc["conv.1", "multiplications"] == named.loc["conv.1", "additions"] == 4 * 12
    assert np.isnan(named.loc["conv.0", "spike_rate"])
    assert 0 < named.loc["spiking.1", "spike_rate"] < 1


def test_encoder_spikes_are_listed_but_not_in_the_rate_of_neurons(everything):
    model, x = everything
    ledger = energy.count(model, x)
    rows = {row.name: row for row in ledger.layers}
    with torch.no_grad():
        assert rows["encoder"].spikes == int(model.encoder(x).sum())
    assert rows["encoder"].encoder
    neurons = [rows["spiking.1"], rows["spiking.2"]]
    assert ledger.spike_rate == sum(r.spikes for r in neurons) / sum(r.neuron_steps for r in neurons)


def test_decay_from_a_learned_time_constant_is_preparation(everything):
    model, x = everything
    assert energy.count(model, x).preparation.nonlinearities >= 2
    fixed = energy.count(nn.Sequential(nn.Linear(12, 4)), x)
    assert not fixed.preparation


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


class Hidden(nn.Module):
    """Keeps state in attributes, draws random numbers, and normalises: everything that could leave a trace."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.leaky = snntorch.Leaky(0.9, init_hidden=True)
        self.generator = torch.Generator().manual_seed(5)
        self.calls, self.trace = 0, []
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        self.trace.append(x)
        self.seen += 1
        noise = torch.rand(x.shape, generator=self.generator) + torch.rand_like(x) + float(np.random.rand())
        return self.leaky(self.norm(self.linear(x + noise)))


@pytest.mark.parametrize("training", [True, False])
def test_model_and_randomness_are_left_alone(training):
    model = Hidden().train(training)
    model.linear.eval()
    before, attributes = state_of(model), dict(vars(model.leaky))
    random = torch.get_rng_state(), np.random.get_state()[1].copy(), model.generator.get_state()
    energy.count(model, torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    after = state_of(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (model.training, model.norm.training, model.linear.training) == (training, training, False)
    assert (model.calls, model.trace) == (0, [])
    assert dict(vars(model.leaky)).keys() == attributes.keys()
    assert torch.equal(random[0], torch.get_rng_state())
    assert np.array_equal(random[1], np.random.get_state()[1])
    assert torch.equal(random[2], model.generator.get_state())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_settings_of_torch_are_put_back_even_after_an_error():
    before = torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        energy.count(model, torch.randn(2, 4))
    assert (torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()) == before
    assert model.training
    assert torch.is_grad_enabled()
    assert not model[0]._forward_hooks


def test_counting_inside_inference_mode_sees_the_same():
    model, x = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    outside = energy.count(model, x)
    with torch.inference_mode():
        inside = energy.count(model, torch.randn(2, 5, 3).copy_(x))
    assert totals(inside) == totals(outside)


def test_unknown_operation_names_itself_its_module_and_the_way_out():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Bilinear(3, 3, 2)

        def forward(self, x):
            return self.part(x, x)

    with pytest.raises(errors.UnknownOperationError) as caught:
        energy.count(Net(), torch.randn(2, 3))
    message = str(caught.value)
    assert "aten::_trilinear" in message
    assert "'part' (Bilinear)" in message
    assert "energy.register('aten::_trilinear'" in message
    assert "\n" not in message


def test_ledger_can_be_taught_an_operator():
    @torch.library.custom_op("ledgertests::clip_sum", mutates_args=())
    def clip_sum(x: torch.Tensor) -> torch.Tensor:
        return x.clamp(min=0).sum(-1)

    class Net(nn.Module):
        def forward(self, x):
            return torch.ops.ledgertests.clip_sum(x)

    x = torch.randn(4, 5)
    with pytest.raises(errors.UnknownOperationError, match="ledgertests::clip_sum"):
        energy.count(Net(), x)

    def rule(call):
        inside = call.args[0].numel()
        return OperationCounts(comparisons=inside, additions=inside - call.size)

    energy.register(torch.ops.ledgertests.clip_sum, rule, memory="reduce")
    counts = energy.count(Net(), x).dense
    assert (counts.comparisons, counts.additions, counts.reads, counts.writes) == (5, 4, 5, 1)
    with pytest.raises(errors.InputError, match="registered already"):
        energy.register("ledgertests::clip_sum", rule)
    with pytest.raises(errors.InputError, match="no operator"):
        energy.register("clip_sum", rule)
    with pytest.raises(errors.InputError, match="memory"):
        energy.register("ledgertests::other", rule, memory="none of them")


class Outside(nn.Module):
    def __init__(self, fill):
        super().__init__()
        self.inner, self.linear = fill, nn.Linear(4, 2)

    def forward(self, x):
        return self.linear(self.inner(x))


class ThroughNumpy(nn.Module):
    def forward(self, x):
        return torch.from_numpy(np.sign(x.numpy()))


class FilledByNumpy(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        out.numpy()[:] = x.numpy() > 0
        return out


@pytest.mark.parametrize("part", [ThroughNumpy(), FilledByNumpy()])
def test_work_done_out_of_sight_is_refused(part):
    with pytest.raises(errors.UnknownOperationError, match="NumPy or compiled code"):
        energy.count(Outside(part), torch.randn(3, 4))


def test_complex_arithmetic_is_refused():
    class Net(nn.Module):
        def forward(self, x):
            return torch.view_as_real(torch.complex(x, x) * 2)

    with pytest.raises(errors.UnknownOperationError, match="complex"):
        energy.count(Net(), torch.randn(2, 3))


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (nn.Linear(2, 2), torch.zeros(0, 2), "at least one"),
        (nn.Linear(2, 2), [[1.0, 2.0]], "tensor, an array"),
        (object(), torch.zeros(1, 2), "torch.nn.Module or a fitted estimator"),
    ],
)
def test_wrong_input_is_refused(model, x, message):
    with pytest.raises(errors.InputError, match=message):
        energy.count(model, x)


def test_arrays_estimators_and_several_inputs_are_accepted():
    layer = nn.Linear(3, 2)
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert energy.count(layer, x).dense.macs == 6

    class Estimator:
        def network_input(self, X):
            return torch.as_tensor(X[:, :3], dtype=torch.float32)

    estimator = Estimator()
    with pytest.raises(errors.InputError, match="not fitted"):
        energy.count(estimator, x)
    estimator.net_ = type("Net", (), {"module_": layer})()
    assert energy.count(estimator, np.hstack([x, x])).dense.macs == 6

    class Two(nn.Module):
        def forward(self, a, b):
            return a @ b.transpose(-1, -2)

    assert energy.count(Two(), (torch.randn(5, 2, 3), torch.randn(5, 4, 3))).dense.macs == 2 * 4 * 3


def test_ledger_survives_json(everything):
    model, x = everything
    ledger = energy.count(model, x)
    again = energy.Ledger.from_dict(json.loads(json.dumps(ledger.to_dict())))
    assert again == ledger
    assert pickle.loads(pickle.dumps(ledger)) == ledger
    with pytest.raises(errors.InputError, match="format"):
        energy.Ledger.from_dict({"format": 99})
    with pytest.raises(errors.InputError, match="different models"):
        ledger + energy.count(nn.Linear(12, 1), x)


# Published totals (giga-operations) and their energy in millijoules: spiking ResNet-18, ResNet-18, SEW ResNet-18.
@pytest.mark.parametrize(
    ("macs", "acs", "millijoules"), [(0.14e9, 0.10e9, 0.734), (1.82e9, 0, 8.372), (2.75e9, 0.50e9, 13.10)]
)
def test_published_energies_follow_from_published_counts(macs, acs, millijoules):
    counts = OperationCounts(macs=macs, acs=acs)
    assert energy.cost_model("horowitz45-fp32").price(counts) * 1e3 == pytest.approx(millijoules, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "mac", "ac", "ratio"),
    [("horowitz45-fp32", 4.6, 0.9, 5.1), ("horowitz45-int32", 3.2, 0.1, 32), ("horowitz45-int8", 0.23, 0.03, 7.7)],
)
def test_cost_models_hold_the_published_prices(name, mac, ac, ratio):
    model = energy.cost_model(name)
    assert (model.picojoules["macs"], model.picojoules["acs"]) == (mac, ac)
    assert mac / ac == pytest.approx(ratio, abs=0.05)
    assert mac == pytest.approx(model.picojoules["multiplications"] + model.picojoules["additions"])
    assert model.source
    assert model.boundary
    assert model.assumptions
    assert name in energy.cost_model_names()


def test_energy_is_the_priced_sum(everything):
    model, x = everything
    ledger = energy.count(model, x)
    prices = energy.cost_model("horowitz45-int8")
    by_hand = sum(getattr(ledger.effective, kind) * price for kind, price in prices.picojoules.items()) * 1e-12
    assert ledger.energy("horowitz45-int8") == pytest.approx(by_hand)
    assert sum(prices.breakdown(ledger.effective).values()) == pytest.approx(by_hand)
    assert ledger.energy_dense("horowitz45-int8") > by_hand


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("horowitz45-fp23", "did you mean 'horowitz45-fp32'"),
        ({"precision": None}, "lacks precision"),
        ({"pikojoules": {}}, "did you mean 'picojoules'"),
        ({"picojoules": {"mac": 1}}, "did you mean 'macs'"),
        ({"picojoules": {"macs": -1}}, "picojoules.macs"),
        ({"picojoules": 3}, "must map"),
        (3, "must be a name"),
    ],
)
def test_bad_cost_models_are_refused(change, message):
    given_model = change
    if isinstance(change, dict):
        good = dict.fromkeys(("name", "title", "source", "precision", "boundary", "technology"), "text")
        given_model = {**good, "picojoules": {"macs": 1.0}, **change}
        given_model = {key: value for key, value in given_model.items() if value is not None}
    with pytest.raises(errors.InputError, match=message):
        energy.cost_model(given_model)


@given(
    a=st.lists(st.integers(0, 10**6), min_size=len(KINDS), max_size=len(KINDS)),
    b=st.lists(st.integers(0, 10**6), min_size=len(KINDS), max_size=len(KINDS)),
    factor=st.integers(0, 9),
)
def test_counts_add_and_scale(a, b, factor):
    left, right = OperationCounts(*a), OperationCounts(*b)
    assert list((left + right).as_dict().values()) == [p + q for p, q in zip(a, b, strict=True)]
    assert sum([left, right], OperationCounts()) == sum([left, right]) == left + right
    assert factor * (left + right) == factor * left + right * factor
    assert OperationCounts.from_dict(left.as_dict()) == left
    assert bool(left) == any(a)
    with pytest.raises(errors.InputError, match="did you mean 'macs'"):
        OperationCounts.from_dict({"mac": 1})


def test_prices_are_known_by_their_content():
    """Another price is another identity; the words around it are not."""
    model = energy.cost_model("horowitz45-fp32")
    dearer = dataclasses.replace(model, picojoules={**model.picojoules, "macs": 4.7})
    assert model.identity.startswith("horowitz45-fp32 sha256:")
    assert dearer.identity != model.identity
    assert dataclasses.replace(model, source="another edition").identity == model.identity
