"""hrsnn: Dale's law and connections held in training, time constants, plasticity, its twin, memory, mistakes."""

import math
import pickle
import warnings

import numpy as np
import pytest
import torch

from spikeneuro import energy
from spikeneuro._random import scoped_seed
from spikeneuro.encoders import DirectEncoder
from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.models.dale_recurrence import DaleRecurrentLIF
from spikeneuro.models.hrsnn import HRSNN
from spikeneuro.models.recurrent_stdp import RecurrentSTDPPretraining, heterogeneous_stdp
from spikeneuro.nn.heterogeneity import Constant, Gamma, LogUniform, Mixture
from spikeneuro.plasticity import Normalisation, PairSTDP, as_rule
from spikeneuro.training import NeuroClassifier, predict_memory

F64 = torch.float64


def build(seed=0, **options):
    with scoped_seed(seed):
        return HRSNN(3, 60, 2, 100.0, **options)


def randn(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weight(model):
    return model.recurrent.recurrence().weight.detach()


def trained(model, optimizer, steps=20):
    x, y = randn(16, 3, 60), torch.arange(16) % 2
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def assert_lawful(model, signs):
    now = weight(model)
    assert torch.equal(now[signs == 0], torch.zeros(int((signs == 0).sum())))
    assert bool((now[signs > 0] >= 0).all())
    assert bool((now[signs < 0] <= 0).all())
    for column, kind in zip(now.T, model.kinds, strict=True):
        assert bool((column * kind >= 0).all())


@pytest.mark.parametrize(
    "optimizer", [lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1), lambda p: torch.optim.SGD(p, 5.0, 0.9)]
)
def test_signs_and_absent_connections_hold_while_gradients_train(optimizer):
    model = build()
    signs, before = model.recurrent.signs.clone(), weight(model).clone()
    trained(model, optimizer(model.parameters()))
    after = weight(model)
    assert_lawful(model, signs)
    moved = (after - before)[signs != 0]
    assert float(moved.abs().mean()) > 0.05  # steps large enough to have broken the law
    assert bool((model.recurrent.weight.detach() * signs < 0).any())
    assert torch.equal(model.recurrent.weight.detach()[signs == 0], torch.zeros(int((signs == 0).sum())))


def test_gradient_is_that_of_the_signed_weight():
    signs = torch.tensor([[0.0, -1.0], [1.0, 1.0]], dtype=F64)
    layer = DaleRecurrentLIF(2, signs, signs * 0.5, dtype=F64)
    with torch.no_grad():
        layer.weight[1, 1] = -0.25
    factor = torch.tensor([[3.0, 5.0], [7.0, 11.0]], dtype=F64)
    (layer.recurrence().weight * factor).sum().backward()
    # d|v|/dv is the sign of v: w = z |v| with v = -0.5, 0.5 and -0.25
    assert layer.weight.grad.tolist() == [[0.0, 5.0], [7.0, -11.0]]


def test_layer_equals_a_dense_one_with_the_same_weights():
    from spikeneuro.nn import RecurrentLIF

    model = build().double().eval()
    plain = RecurrentLIF(64, bias=False, beta=model.recurrent.beta, dt=0.01, dtype=F64)
    with torch.no_grad():
        plain.weight.copy_(weight(model))
    x = randn(50, 2, 64).double()
    assert torch.equal(plain(x), model.recurrent(x))


def test_one_in_five_is_inhibitory_and_connections_fall_with_distance():
    model = build(hidden=512, probability=1.0, length=1.5)
    assert int((model.kinds < 0).sum()) == round(512 * 0.2)
    distance = torch.cdist(model.positions, model.positions)
    exists = model.recurrent.exists
    for d in (1.0, math.sqrt(2.0), 2.0):
        at = (distance - d).abs() < 1e-6
        chance, n = math.exp(-((d / 1.5) ** 2)), int(at.sum())
        assert abs(float(exists[at].double().mean()) - chance) < 5 * math.sqrt(chance * (1 - chance) / n)
    assert not bool(exists.diagonal().any())


def test_magnitudes_that_arrive_sum_to_the_scale():
    assert float(weight(build(recurrent_scale=0.7)).abs().sum(1).mean()) == pytest.approx(0.7, rel=1e-5)
    assert not bool(weight(build(recurrent_scale=0.0)).any())
    assert not bool(weight(build(probability=0.0)).any())


def test_time_constants_have_the_moments_of_their_gamma():
    model = build(hidden=4000, length=0.6, tau=0.2, tau_inhibitory=0.4, concentration=4.0)
    tau = model.recurrent.tau_mem.double()
    for kind, mean, n in ((1, 0.2, 3200), (-1, 0.4, 800)):
        drawn = tau[model.kinds == kind]
        deviation = mean / math.sqrt(4.0)
        assert len(drawn) == n
        assert abs(float(drawn.mean()) - mean) < 4 * deviation / math.sqrt(n)
        assert float(drawn.std()) == pytest.approx(deviation, rel=0.1)


def test_time_constants_shorter_than_a_step_are_told():
    with scoped_seed(0), pytest.warns(UserWarning, match="neurons drew .*tau_unit='steps'") as told:
        model = HRSNN(3, 60, 2, 25.0, hidden=200)
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    count = int(str(told[0].message).split()[0])
    assert count == int((model.recurrent.tau_mem <= 0.04 * 1.0001).sum())
    assert count / 200 == pytest.approx(0.43, abs=0.1)  # a gamma of shape 3 and mean 1.25 steps
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build()
        HRSNN(3, 60, 2, tau_unit="steps")


def test_mixture_of_fast_medium_and_slow_neurons():
    mixture = Mixture((Constant(1.0), Constant(10.0), Constant(100.0)), (0.1, 0.6, 0.3))
    drawn = mixture(10000, torch.Generator().manual_seed(0))
    for value, share in ((1.0, 0.1), (10.0, 0.6), (100.0, 0.3)):
        assert abs(float((drawn == value).double().mean()) - share) < 4 * math.sqrt(share * (1 - share) / 10000)
    model = build(hidden=400, tau=((0.1, 0.02), (0.6, 0.1), (0.3, 0.5)), concentration=1000.0)
    tau = model.recurrent.tau_mem
    counts = [int(((tau > mean / 1.5) & (tau < mean * 1.5)).sum()) for mean in (0.02, 0.1, 0.5)]
    assert sum(counts) == 400
    assert all(abs(count - 400 * share) < 5 * 10 for count, share in zip(counts, (0.1, 0.6, 0.3), strict=True))
    assert mixture((2, 3)).shape == (2, 3)
    assert mixture(0).shape == (0,)


@pytest.mark.parametrize("learn_tau", [False, True])
def test_twin_differs_in_its_time_constants_alone(learn_tau):
    model = build(learn_tau=learn_tau)
    twin = model.homogeneous_twin()
    built = build(learn_tau=learn_tau, homogeneous=True)
    own, theirs, direct = model.state_dict(), twin.state_dict(), built.state_dict()
    differing = {name for name in own if own[name].shape != theirs[name].shape}
    assert differing == {f"neurons.0.membrane_decay.{'log_tau' if learn_tau else 'fixed'}"}
    assert all(torch.equal(own[name], theirs[name]) for name in own if name not in differing)
    assert all(torch.equal(direct[name], theirs[name]) for name in own)
    assert twin.recurrent.tau_mem.item() == pytest.approx(model.recurrent.tau_mem.mean().item(), rel=1e-5)
    assert model.recurrent.tau_mem.std().item() > 0.005
    assert twin.eval()(randn(2, 3, 60)).shape == (2, 2)


def test_plasticity_moves_connections_within_their_bounds_and_nothing_else():
    model = build()
    signs, before = model.recurrent.signs.clone(), {k: v.clone() for k, v in model.state_dict().items()}
    largest = float(weight(model).abs().max())
    done = model.pretrain([randn(4, 3, 60), randn(4, 3, 60, seed=1)], epochs=2)
    assert len(done.change) == 4
    assert min(done.change) > 0
    assert_lawful(model, signs)
    assert float(weight(model).abs().max()) <= largest
    after = model.state_dict()
    statistics = {f"norms.0.module.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"neurons.0.weight"} | statistics
    assert torch.equal(weight(model), model.recurrent.weight.detach())


def test_plasticity_equals_the_rule_written_out():
    # neuron 0 -> 1 excitatory, 1 -> 0 inhibitory; each driven to fire at known steps
    signs = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64)
    layer = DaleRecurrentLIF(2, signs, signs * 0.01, bias=False, beta=0.0, dt=1.0, dtype=F64)
    rule = heterogeneous_stdp(layer, eta_plus=0.1, eta_minus=0.2, tau_plus=3.0, tau_minus=6.0)
    rule = type(rule)(**{**rule.__dict__, **{k: getattr(rule, k).double() for k in ("a_plus", "a_minus")}})
    fires = torch.zeros(12, 1, 2, dtype=F64)
    fires[[1, 6], 0, 0], fires[[3, 9], 0, 1] = 2.0, 2.0
    from spikeneuro.models.recurrent_stdp import learn_recurrence

    learn_recurrence(layer, lambda: [fires], rule, epochs=1, max_weight=0.05, plastic="all")
    expected = {}
    for name, pre, post, low, high, start in (
        ("01", [2, 7], [3, 9], 0.0, 0.05, 0.01),  # a spike arrives one step after it was fired
        ("10", [4, 10], [1, 6], -0.05, 0.0, -0.01),
    ):
        w = start
        for t in range(12):
            gain = sum(math.exp(-(t - p) / 3.0) for p in pre if p <= t) if t in post else 0.0
            loss = sum(math.exp(-(t - p) / 6.0) for p in post if p < t) if t in pre else 0.0
            w += 0.1 * (high - w) * gain - 0.2 * (w - low) * loss
        expected[name] = w
    assert layer.weight[1, 0].item() == pytest.approx(expected["01"], rel=1e-6)
    assert layer.weight[0, 1].item() == pytest.approx(expected["10"], rel=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_plasticity_learns_from_the_currents_that_gradients_see(scale):
    model, x = build(), [randn(16, 3, 60, seed=s, scale=scale) for s in range(3)]
    done = model.pretrain(x, heterogeneous_stdp(model.recurrent, eta_plus=0.0, eta_minus=0.0))
    assert done.largest == 0
    current = torch.cat([model.linears[0](model.encoder(batch)).detach().flatten(0, 1) for batch in x])
    norm = model.norms[0].module
    torch.testing.assert_close(norm.running_mean, current.mean(0), rtol=1e-4, atol=1e-5 * scale)
    torch.testing.assert_close(norm.running_var, current.var(0), rtol=1e-4, atol=0.0)
    fired = []
    model.recurrent.register_forward_hook(lambda _, __, spikes: fired.append(float(spikes.detach().mean())))
    model.train()
    for batch in x:
        model(batch)
    assert done.rate == pytest.approx(fired, rel=0.15)
    assert done.before == pytest.approx(np.mean(fired), rel=0.05)


def test_readout_training_keeps_the_statistics_of_pretraining():
    model = build(train="readout")
    model.pretrain([randn(8, 3, 60)])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained(model, torch.optim.SGD(model.parameters(), 0.1), 3)
    assert model.training
    after = model.state_dict()
    assert {name for name in after if not torch.equal(after[name], before[name])} == {"head.weight", "head.bias"}


def test_readout_training_without_pretraining_takes_the_first_batch():
    model, x = build(train="readout"), randn(8, 3, 60)
    model.eval()(x)
    assert model.norms[0].module.num_batches_tracked == 0
    model.train()(x)
    current = model.linears[0](model.encoder(x)).flatten(0, 1)
    torch.testing.assert_close(model.norms[0].module.running_var, current.var(0))
    model(10 * x)
    torch.testing.assert_close(model.norms[0].module.running_var, current.var(0))


def test_statistics_that_were_loaded_are_kept():
    source, x = build(train="readout"), randn(8, 3, 60)
    source.pretrain([x])
    loaded = pickle.loads(pickle.dumps(build(1, train="readout")))
    loaded.load_state_dict(source.state_dict())
    loaded.train()(10 * x)
    assert torch.equal(loaded.norms[0].module.running_var, source.norms[0].module.running_var)
    new = build(train="readout")
    new.load_state_dict(build(1, train="readout").state_dict())  # nothing to keep
    new.train()(x)
    assert new.norms[0].module.num_batches_tracked == 1


@pytest.mark.parametrize("train", ["all", "readout"])
def test_memory_of_training_can_be_predicted(train):
    assert predict_memory(build(train=train), (8, 3, 60)).peak > 0


def driven():
    """A network that fires in about every third step, as on EEG, and batches for it."""
    with scoped_seed(0):
        model = HRSNN(8, 120, 2, 125.0)
    return model, [randn(8, 8, 120, seed=s).cumsum(-1) * 0.2 for s in range(6)]


def test_plasticity_alone_runs_away_and_homeostasis_holds_the_rate():
    rule = {"name": "triplet-visual-cortex", "mu_plus": 1.0, "mu_minus": 1.0}
    for named, bound in ((None, 0.6), (rule, 0.8)):
        found = {}
        for homeostasis in (None, "normalisation", "threshold", {"name": "synaptic-scaling", "beta": 10.0}):
            model, x = driven()
            learnt = model.stdp(generator=torch.Generator().manual_seed(0)) if named is None else as_rule(named, 0.008)
            sums = weight(model).abs().sum(1)
            done = model.pretrain(x, learnt, homeostasis=homeostasis)
            found[str(homeostasis)] = done
            if homeostasis == "normalisation":
                torch.testing.assert_close(weight(model).abs().sum(1), sums, rtol=1e-4, atol=1e-6)
                assert done.lost == 0
            assert_lawful(model, model.recurrent.signs)
        free = found.pop("None")
        assert 0.2 < free.before < 0.4
        assert free.after > bound
        for done in found.values():
            assert done.before == free.before
            assert 0.7 * done.before < done.after < 1.3 * done.before


def test_normalisation_is_the_default_and_homeostasis_is_named():
    results = []
    for options in (
        {},
        {"homeostasis": ["normalisation"]},
        {"homeostasis": {"name": "normalisation", "every": "step"}},
    ):
        model, x = driven()
        model.pretrain(x[:2], model.stdp(generator=torch.Generator().manual_seed(0)), **options)
        results.append(weight(model))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    model, x = driven()
    for homeostasis, message in (
        ("normalization", "did you mean 'normalisation'"),
        ({"name": "threshold", "targt": 2.0}, "did you mean 'target'"),
        ({"name": "normalisation", "total": -1.0}, "total"),
        ([Normalisation(total=torch.ones(3))], "3 sums, but there are 64 neurons"),
    ):
        with pytest.raises(InputError, match=message):
            model.pretrain(x, homeostasis=homeostasis)


def test_connections_that_plasticity_ends_are_counted_and_have_no_gradient():
    model, x = driven()
    depressing = PairSTDP(a_plus=0.0, a_minus=0.05, dt=0.008)
    done = model.pretrain(x, depressing, homeostasis=None, plastic="excitatory")
    there = model.recurrent.signs > 0
    gone = there & (model.recurrent.weight == 0)
    assert done.lost == pytest.approx(float(gone.sum() / there.sum()))
    assert done.lost > 0
    model(x[0]).square().sum().backward()
    assert not bool(model.recurrent.weight.grad[gone].any())


def test_only_excitatory_connections_learn_if_asked():
    model = build()
    before = weight(model).clone()
    model.pretrain([randn(4, 3, 60)], plastic="excitatory")
    moved = weight(model) != before
    assert bool(moved.any())
    assert not bool(moved[model.recurrent.signs < 0].any())


def test_constants_of_plasticity_are_drawn_per_neuron_or_synapse():
    model = build(hidden=50)
    rule = model.stdp(tau_plus=LogUniform(0.02, 0.2), eta_minus=0.0, generator=torch.Generator().manual_seed(3))
    assert rule.a_plus.shape == rule.tau_minus.shape == (50, 1)
    assert rule.tau_plus.shape == (1, 50)
    assert len(rule.tau_plus.unique()) == 50
    assert not bool(rule.a_minus.any())
    per_synapse = model.stdp(per="synapse", eta_plus=Gamma(0.02))
    assert per_synapse.a_plus.shape == per_synapse.tau_plus.shape == (50, 50)
    assert model.pretrain([randn(2, 3, 20)], per_synapse).change[0] > 0


def test_estimator_learns_by_plasticity_then_trains_the_readout():
    generator = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = generator.standard_normal((60, 3, 60)) * (1.0 + 2.0 * y[:, None, None])
    callback = RecurrentSTDPPretraining(eta_plus=0.05)
    model = NeuroClassifier(
        "hrsnn", sfreq=100.0, module__hidden=40, module__train="readout", max_epochs=60, lr=0.05, random_state=0,
        callbacks=[callback],
    ).fit(X, y)  # fmt: skip
    network = model.net_.module_
    assert callback.pretraining_.change[0] > 0
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}
    assert model.score(X, y) > 0.9


def test_readout_training_leaves_the_rest_alone():
    model = build(train="readout", norm="layer", learn_tau=True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained(model, torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1), 3)
    moved = {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"head"}
    assert not any(p.requires_grad for p in model.homogeneous_twin().neurons.parameters())


def test_learned_time_constants_move():
    model = build(learn_tau=True)
    before = model.recurrent.tau_mem.detach().clone()
    trained(model, torch.optim.Adam(model.parameters(), lr=0.05), 3)
    assert not torch.equal(model.recurrent.tau_mem, before)


def test_pieces_equal_the_whole():
    model = build(task="steps").double().eval()
    x = randn(2, 3, 60).double()
    first = model.run(x[..., :25])
    rest = model.run(x[..., 25:], first.state)
    assert torch.equal(torch.cat([first.output, rest.output], -1), model(x))


def test_states_are_membranes_or_filtered_spikes():
    model = build(encoder=DirectEncoder(steps_per_sample=2)).double()
    x = randn(2, 3, 60).double()
    membrane, spikes = model.states(x)
    assert membrane.shape == spikes.shape == (120, 2, 64)
    current = model.eval().norms[0](model.linears[0](model.encoder(x))).detach()
    v, s = torch.zeros(2, 64, dtype=F64), torch.zeros(2, 64, dtype=F64)
    for t in range(120):
        u = model.recurrent.beta * v + current[t] + s @ weight(model).T
        s = (u > 1.0).double()
        v = u - s
        torch.testing.assert_close(membrane[t], v)
    model.train()
    trace, _ = model.states(x, "trace", tau_trace=0.05)
    steps = torch.arange(120)
    kernel = torch.exp(-(steps[:, None] - steps[None]).clamp(min=0) * 0.005 / 0.05).double().tril()
    torch.testing.assert_close(trace, torch.einsum("ts,sbn->tbn", kernel, spikes))
    assert model.training


def test_memory_capacity_is_measured_with_its_cost():
    model = build(hidden=40)
    result = model.memory_capacity(20, n_steps=1500, random_state=0)
    assert 0 < result.total < 21
    assert result.effective == pytest.approx(result.spikes_per_step / result.total)
    assert build(hidden=40).memory_capacity(20, n_steps=1500, random_state=0).total == result.total
    silent = model.memory_capacity(20, n_steps=1500, random_state=0, input_scale=0.0, kind="trace")
    assert silent.total == 0
    assert silent.effective == float("inf")
    slow = HRSNN(1, 60, 2, 100.0, hidden=20, encoder=DirectEncoder(steps_per_sample=3))
    assert slow.memory_capacity(5, n_steps=400).n_test > 100


def test_energy_knows_every_operation():
    ledger = energy.count(build().eval(), randn(2, 3, 60))
    assert ledger.effective.acs > 0


def test_silent_input_is_refused_by_plasticity_but_not_by_the_network():
    model = build(norm="none")
    assert bool(torch.isfinite(model.eval()(torch.zeros(2, 3, 60))).all())
    with pytest.raises(InputError, match="no neuron ever fired"):
        model.pretrain([torch.zeros(2, 3, 60)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden"),
        ({"inhibitory": 1.5}, "inhibitory"),
        ({"train": "some"}, "train"),
        ({"tau": -0.1}, "tau"),
        ({"tau": ((0.5, 0.1), (0.6, 0.2))}, "sum to 1"),
        ({"tau": (0.1, 0.2)}, "pairs of"),
        ({"tau_inhibitory": "fast"}, "tau_inhibitory"),
        ({"grid_shape": (2, 2, 2)}, "holds 8 neurons"),
        ({"probability": {"EE": 0.3}}, "lacks"),
        ({"length": 0.0}, "length"),
        ({"recurrent_scale": -1.0}, "recurrent_scale"),
        ({"concentration": 0.0}, "concentration"),
        ({"task": "clustering"}, "task"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)


def test_mistakes_in_use_are_named():
    model = build()
    x = randn(2, 3, 60)
    with pytest.raises(InputError, match="sfreq"):
        HRSNN(3, 60, 2)
    with pytest.raises(InputError, match="swapped"):
        model.pretrain([x.transpose(1, 2)])
    with pytest.raises(InputError, match="no batch"):
        model.pretrain([])
    with pytest.raises(InputError, match="epochs"):
        model.pretrain([x], epochs=0)
    with pytest.raises(InputError, match="plastic"):
        model.pretrain([x], plastic="inhibitory")
    with pytest.raises(InputError, match="outside their bounds"):
        model.pretrain([x], max_weight=1e-3)
    with pytest.raises(InputError, match="no recurrent connection"):
        build(probability=0.0).pretrain([x])
    with pytest.raises(InputError, match="eta_plus"):
        model.stdp(eta_plus=-1.0)
    with pytest.raises(InputError, match="per"):
        model.stdp(per="layer")
    with pytest.raises(InputError, match="kind"):
        model.states(x, "voltage")
    with pytest.raises(InputError, match="NaN"):
        Mixture((Constant(float("nan")), Constant(1.0)), (0.5, 0.5)) and build(
            tau=Mixture((Constant(float("nan")),), (1.0,))
        )
    for parts, shares in (((), ()), ((Constant(1.0),), (0.5, 0.5)), ((1.0,), (1.0,))):
        with pytest.raises(InputError, match="parts"):
            Mixture(parts, shares)
    with pytest.raises(InputError, match="'hrsnn'"):
        NeuroClassifier("mlp", callbacks=[RecurrentSTDPPretraining()], max_epochs=1).fit(
            np.random.default_rng(0).standard_normal((20, 6)), np.arange(20) % 2
        )


def test_a_single_neuron_is_a_network():
    assert create("hrsnn", n_chans=2, n_times=10, n_outputs=1, tau_unit="steps", hidden=1).eval()(
        torch.zeros(1, 2, 10)
    ).shape == (1, 1)
