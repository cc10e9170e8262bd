"""Pre-training of a layer by plasticity, alone and as a callback of an estimator."""

import numpy as np
import pytest
import torch
from torch import nn

import spikeneuro as sn
from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, OverTime
from spikeneuro.plasticity import (
    Normalisation,
    PairSTDP,
    STDPPretraining,
    ThresholdHomeostasis,
    as_rule,
    connect,
    learning,
    pretrain,
)

RULE = PairSTDP(a_plus=0.02, a_minus=0.015, mu_plus=1.0, mu_minus=1.0)


def network(seed=0):
    model = nn.Sequential(nn.Linear(12, 8, bias=False), LIF(8, threshold=torch.ones(8)), nn.Linear(8, 2))
    with torch.no_grad():
        model[0].weight.uniform_(0.2, 0.6, generator=torch.Generator().manual_seed(seed))
    return model


def test_layer_changes_by_its_own_trains_and_the_rest_stays(train) -> None:
    model, other = network(), network()
    x = [train(30, 4, 12, seed=s, dtype=torch.float32, rate=0.3) for s in range(2)]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    done = pretrain(model, x, "0", "1", RULE, low=0.0, high=1.0, epochs=2)
    with learning(connect(other[0], 0.0, 1.0), RULE) as learner:
        for batch in x * 2:
            learner.update(batch, other[1](other[0](batch)).detach())
    torch.testing.assert_close(model[0].weight, other[0].weight)
    assert model.training
    assert not torch.equal(model[0].weight, before["0.weight"])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items() if k != "0.weight")
    assert len(done.change) == len(done.rate) == len(done.low) == len(done.high) == 4
    assert all(c > 0 for c in done.change)
    assert 0 <= min(done.low) <= max(done.high) <= 1


def test_convolution_inside_over_time(train) -> None:
    conv = nn.Conv2d(2, 4, 3, bias=False)
    nn.init.uniform_(conv.weight, 0.1, 0.5)
    model = nn.Sequential(OverTime(conv), LIF((4, 1, 1)), nn.Flatten(2), nn.Linear(64, 2))
    x = train(20, 3, 2, 6, 6, dtype=torch.float32, rate=0.4)
    slow = PairSTDP(a_plus=2e-4, a_minus=1e-4)  # changes are summed over positions
    change = slow.delta(x, model[1](model[0](x)).detach(), connect(conv, 0.0, 1.0))
    expected = conv.weight.detach() + change
    assert change.abs().max() > 0.01
    pretrain(model, [x], "0.module", "1", slow, low=0.0, high=1.0)
    torch.testing.assert_close(conv.weight.detach(), expected)


def test_homeostasis_reaches_weights_and_thresholds(train) -> None:
    model = network()
    keep = (ThresholdHomeostasis(increment=0.01, every="sequence"), Normalisation(total=3.0))
    pretrain(
        model, [train(30, 4, 12, dtype=torch.float32, rate=0.3)], "0", "1", RULE, low=0.0, high=1.0, homeostasis=keep
    )
    torch.testing.assert_close(model[0].weight.sum(1), torch.full((8,), 3.0))
    assert (model[1].threshold > 1).any()


def test_mistakes_are_named(train) -> None:
    x = train(30, 4, 12, dtype=torch.float32, rate=0.3)
    bounds = {"low": 0.0, "high": 1.0}
    with pytest.raises(InputError, match="synapses='linear' is no module of the network; it has 0, 1, "):
        pretrain(network(), [x], "linear", "1", RULE, **bounds)
    with pytest.raises(InputError, match="pre must hold spikes"):
        pretrain(network(), [x * 0.7], "0", "1", RULE, **bounds)
    with pytest.raises(InputError, match="no spike reaches '0'"):
        pretrain(network(), [x * 0], "0", "1", RULE, **bounds)
    with pytest.raises(InputError, match="there was no batch"):
        pretrain(network(), [], "0", "1", RULE, **bounds)
    with pytest.raises(InputError, match="weights lie outside their bounds"):
        pretrain(network(), [x], "0", "1", RULE, low=0.0, high=0.3)
    with pytest.raises(InputError, match="the rule's steps are of 0.001 s but those of the neurons of 0.004 s"):
        pretrain(network(), [x], "0", "1", PairSTDP(dt=0.001), **bounds)
    with pytest.raises(InputError, match="epochs must lie in"):
        pretrain(network(), [x], "0", "1", RULE, epochs=0, **bounds)
    with pytest.raises(InputError, match="post must be"):
        pretrain(network(), [x], "0", "2", RULE, **bounds)
    quiet = network()
    quiet[1].threshold.fill_(1e6)
    with pytest.raises(InputError, match="no neuron of '1' ever fired"):
        pretrain(quiet, [x], "0", "1", RULE, **bounds)
    half = network()
    half[1].threshold[:5] = 1e6
    with pytest.warns(UserWarning, match="62% of the neurons of '1' never fired"):
        pretrain(half, [x], "0", "1", RULE, **bounds)


def normalised():
    """Two layers with a normalisation each, and the second layer's, behind all that learns."""
    torch.manual_seed(0)
    parts = [nn.Linear(12, 8, bias=False), OverTime(nn.BatchNorm1d(8)), LIF(8), nn.Linear(8, 6, bias=False)]
    return nn.Sequential(*parts, OverTime(nn.BatchNorm1d(6)), LIF(6), nn.Linear(6, 2), OverTime(nn.BatchNorm1d(2)))


def test_normalisations_get_the_statistics_of_all_batches_before_plasticity(train) -> None:
    x = [train(30, n, 12, seed=n, dtype=torch.float32, rate=rate) for n, rate in ((4, 0.1), (3, 0.5))]
    model = normalised().train()
    pretrain(model, x, "3", "5", PairSTDP(), low=-1.0, high=1.0)
    assert model.training
    assert model[4].module.num_batches_tracked == 2
    assert model[7].module.num_batches_tracked == 0  # behind the neurons that learn
    with torch.no_grad():
        first = torch.cat([model[0](batch).flatten(0, 1) for batch in x])
        torch.testing.assert_close(model[1].module.running_mean, first.mean(0))
        torch.testing.assert_close(model[1].module.running_var, first.var(0))
        model.eval()
        between = [model[2](model[1](model[0](batch))) for batch in x]
    start = normalised()[3].weight.detach()  # the second statistics are those before learning
    second = torch.cat([(batch @ start.T).flatten(0, 1) for batch in between])
    torch.testing.assert_close(model[4].module.running_mean, second.mean(0))
    torch.testing.assert_close(model[4].module.running_var, second.var(0))


def test_normalisations_that_have_seen_data_stay(train) -> None:
    x = [train(30, 4, 12, dtype=torch.float32, rate=0.3)]
    model = normalised()
    for _ in range(50):
        model(x[0])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pretrain(model, x, "3", "5", PairSTDP(), low=-1.0, high=1.0)
    after = model.state_dict()
    assert {name for name in after if not torch.equal(after[name], before[name])} == {"3.weight"}


@pytest.mark.parametrize("short", ["tau_plus", "tau_minus"])
def test_named_rules_with_a_window_shorter_than_a_step_are_refused(short) -> None:
    with pytest.raises(InputError, match=f"{short}=0.001, less than a step"):
        as_rule({"name": "triplet", "tau_plus": 0.02, "tau_minus": 0.02, "tau_x": 0.1} | {short: 0.001}, 0.01)
    assert as_rule({"name": "triplet", "tau_plus": 0.01, "tau_x": 0.001}, 0.01).tau_x == 0.001


def test_batches_that_one_pass_uses_up_are_refused(train) -> None:
    x = train(30, 4, 12, dtype=torch.float32, rate=0.3)
    with pytest.raises(InputError, match="gone through several times; give a list"):
        pretrain(network(), iter([x]), "0", "1", RULE, low=0.0, high=1.0)


def test_what_was_done_is_summed_up(train) -> None:
    model, x = network(), [train(30, 4, 12, seed=s, dtype=torch.float32, rate=0.3) for s in range(2)]
    start = model[0].weight.detach().clone()
    depressing = PairSTDP(a_plus=0.0, a_minus=0.02)
    rates = [float(torch.cat([model[1](model[0](batch)) for batch in x], 1).detach().mean())]
    done = pretrain(model, x, "0", "1", depressing, low=0.0, high=1.0, epochs=2)
    rates.append(float(torch.cat([model[1](model[0](batch)) for batch in x], 1).detach().mean()))
    assert [done.before, done.after] == pytest.approx(rates)
    assert done.after < done.before
    assert done.largest == pytest.approx(float((model[0].weight.detach() - start).abs().max()))
    assert done.lost == pytest.approx(float((model[0].weight == 0).float().mean()))
    assert done.lost > 0


def recordings(n=48):
    """Two classes that differ in which channels are fast."""
    draw = np.random.default_rng(0)
    y = np.arange(n) % 2
    t = np.arange(60) / 100.0
    fast = np.where((np.arange(4) < 2)[None, :] == (y == 1)[:, None], 12.0, 3.0)
    phase = draw.uniform(0, 2 * np.pi, (n, 4, 1))
    return np.sin(2 * np.pi * fast[..., None] * t + phase) + 0.1 * draw.normal(size=(n, 4, 60)), y


def test_callback_pretrains_on_training_data_and_gradients_follow() -> None:
    X, y = recordings()
    rule = PairSTDP(a_plus=0.02, a_minus=0.02, mu_plus=1.0, mu_minus=1.0, dt=0.01)

    def callback():
        return STDPPretraining("linears.0", "neurons.0", rule, low=-1.0, high=1.0, draw=(0.2, 0.5), epochs=2)

    def classifier(max_epochs, *callbacks):
        return sn.NeuroClassifier(
            "recurrent-snn", sfreq=100.0, module__hidden=16, module__encoder="delta", module__norm="none",
            max_epochs=max_epochs, batch_size=16, random_state=0, callbacks=callbacks,
        )  # fmt: skip

    seen = []

    class Watch(STDPPretraining):
        def on_train_begin(self, net, X=None, y=None, **kwargs):
            seen.append(len(net.get_split_datasets(X, y)[0]))
            super().on_train_begin(net, X, y)
            self.weight_ = net.module_.linears[0].weight.detach().clone()

    watch = Watch("linears.0", "neurons.0", rule, low=-1.0, high=1.0, draw=(0.2, 0.5), epochs=2)
    fitted = classifier(8, watch).fit(X, y)
    assert seen == [len(fitted.train_index_)]
    assert len(fitted.validation_index_) > 0
    watched = next(cb for _, cb in fitted.net_.callbacks_ if isinstance(cb, Watch))
    assert sum(c > 0 for c in watched.pretraining_.change) > 0
    assert not torch.equal(fitted.net_.module_.linears[0].weight.detach(), watched.weight_)  # fine-tuned
    assert fitted.score(X, y) > 0.9
    again = classifier(8, callback()).fit(X, y)
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))  # the seed covers what is drawn
    plain = classifier(8).fit(X, y)
    assert not np.array_equal(plain.predict_proba(X), fitted.predict_proba(X))
