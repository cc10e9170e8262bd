"""Does a model use time: on tasks and models of which the answer is known by construction."""

import itertools
import json

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from spikeneuro import NeuroClassifier
from spikeneuro.errors import InputError
from spikeneuro.explain import CONTROLS, TemporalReport, apply_control, temporal_dependence
from spikeneuro.nn import LIF, LastReadout, RateReadout
from spikeneuro.reservoir import DeSNN
from spikeneuro.training import Windowed

QUICK = {"n_repeats": 3, "n_resamples": 500}


class Rule(ClassifierMixin, BaseEstimator):
    """Class 1 where a number worked out from the sample is above a limit."""

    classes_ = np.array([0, 1])

    def __init__(self, number, limit=0.0):
        self.number, self.limit = number, limit

    def predict(self, X):
        return np.array([int(self.number(x) > self.limit) for x in X])


def slope(x):
    return round(float((x[0] * (np.arange(x.shape[-1]) - (x.shape[-1] - 1) / 2)).sum()), 6)


def by_order(n=60, times=24, seed=0):
    """The same integers, rising or falling: only their order tells the classes apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = np.sort(rng.integers(-50, 50, (n, 1, times)), axis=-1)
    X[y == 0] = X[y == 0][..., ::-1]
    return X.astype(np.float64), y


def by_rate(n=60, times=24, seed=0):
    """Spike trains of low and high rate."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return (rng.random((n, 3, times)) < np.where(y, 0.7, 0.2)[:, None, None]).astype(np.float64), y


def test_a_rule_of_order_is_found_out():
    X, y = by_order()
    report = temporal_dependence(Rule(slope), X, y, **QUICK)
    assert report.original.score == 1
    assert report.uses_time is True
    assert report.uses_order is True
    assert report.row("time-reversed").score == 0  # every rising sample falls
    assert report.row("time-reversed").changed == 1
    assert 0.3 < report.row("time-shuffled").score < 0.7
    assert report.row("time-mean").score == pytest.approx((y == 0).mean())  # a constant has no slope
    for name in ("time-shuffled", "time-shuffled-by-channel", "segments-permuted", "time-reversed", "time-mean"):
        assert report.is_worse(report.row(name))
        # reversed, every unit loses the same, and an interval of equal drops says nothing
        assert (report.row(name).drop_low or 0.1) > 0
    assert report.answer().startswith("Yes: the accuracy suffers most from time reversed, 1.000 against 0.000")


def test_a_rule_of_rates_is_exactly_invariant():
    X, y = by_rate()
    report = temporal_dependence(Rule(np.sum, 32), X, y, **QUICK)
    assert report.original.score == 1
    for row in report.rows[1:]:
        assert row.changed == 0
        assert row.drop == 0
        assert row.score == report.original.score
    assert report.uses_time is False
    assert report.uses_order is False
    assert report.answer().startswith("No: no control changed a single prediction")


def test_a_rule_of_variance_uses_change_but_not_its_order():
    rng = np.random.default_rng(1)
    y = np.arange(60) % 2
    X = rng.integers(-2, 3, (60, 1, 40)) * (1.0 + 3 * y[:, None, None])
    report = temporal_dependence(Rule(lambda x: (x**2).sum(), 250), X, y, **QUICK)
    assert report.original.score > 0.95
    assert report.uses_time is True
    assert report.uses_order is False
    assert report.row("time-shuffled").changed == 0
    assert report.is_worse(report.row("time-mean"))
    assert report.answer().startswith("Yes, but not its order")


def test_a_rule_of_coincidence_is_told_from_one_of_order():
    rng = np.random.default_rng(2)
    y = np.arange(60) % 2
    X = rng.integers(-3, 4, (60, 2, 50)).astype(float)
    X[y == 1, 1] = X[y == 1, 0]
    report = temporal_dependence(Rule(lambda x: x[0] @ x[1], 100), X, y, **QUICK)
    assert report.row("time-shuffled").changed == 0
    assert report.is_worse(report.row("time-shuffled-by-channel"))
    assert any("occur together, not when" in sentence for sentence in report.findings())


def test_what_no_control_finds_is_not_shown():
    """A rule that depends on order, but on noise: predictions change, the score does not."""
    X, _ = by_order()
    y = np.random.default_rng(3).integers(0, 2, len(X))
    report = temporal_dependence(Rule(slope), X, y, **QUICK)
    assert report.uses_time is None
    assert report.answer().startswith("Not shown: predictions change")
    assert any("constant answer" in sentence for sentence in report.findings())


def test_drop_p_value_and_holm_by_brute_force():
    """Eight units of several samples: paired difference, all sign patterns, step-down adjustment."""
    X, y = by_order(40, seed=4)
    units = np.repeat(list("abcdefgh"), 5)
    model = Rule(slope)
    names = ["time-reversed", "time-mean"]
    report = temporal_dependence(model, X, y, units=units, controls=names, **QUICK)
    raw = []
    for name in names:
        changed = model.predict(apply_control(X, name))
        right, still = model.predict(X) == y, changed == y
        gap = np.array([right[units == u].mean() - still[units == u].mean() for u in np.unique(units)])
        sums = [abs(np.dot(signs, gap)) for signs in itertools.product((1, -1), repeat=8)]
        raw.append(np.mean(np.array(sums) >= abs(gap.sum()) - 1e-12))
        row = report.row(name)
        assert row.drop == pytest.approx(gap.mean())
        assert row.p_value == pytest.approx(raw[-1])
        assert row.changed == pytest.approx((changed != model.predict(X)).mean())
    order = np.argsort(raw)
    adjusted = np.maximum.accumulate([raw[order[0]] * 2, raw[order[1]]]).clip(max=1)
    for index, p in zip(order, adjusted, strict=True):
        assert report.row(names[index]).p_adjusted == pytest.approx(p)
    assert (report.n_units, report.n_samples) == (8, 40)


def test_errors_that_fall_count_as_drops():
    """For a metric of which less is better, worse is still positive."""

    class Slope(RegressorMixin, BaseEstimator):
        def predict(self, X):
            return np.array([slope(x) for x in X])

    X, _ = by_order()
    y = np.array([slope(x) for x in X])
    report = temporal_dependence(Slope(), X, y, **QUICK)
    assert (report.task, report.metric) == ("regression", "mae")
    row = report.row("time-reversed")
    assert row.score == pytest.approx(2 * np.abs(y).mean())
    assert row.drop == pytest.approx(row.score)
    assert 0 < row.drop_low < row.drop < row.drop_high
    assert row.changed == pytest.approx(2 * np.abs(y).mean())


# networks


class Pool(nn.Module):
    """Sum over time of a nonlinearity of each sample, then a linear layer: blind to order by construction."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))
            self.head.bias.copy_(torch.tensor([32.0, -32.0]))

    def forward(self, x):
        return self.head(x.sum(dim=2))  # sums of zeros and ones are exact in any order


def test_an_ann_that_pools_over_time_is_exactly_invariant():
    X, y = by_rate()
    network = Pool().train()
    for samples in (X, torch.as_tensor(X)):
        report = temporal_dependence(network, samples, y, batch_size=7, **QUICK)
        assert report.original.score == 1
        assert report.uses_time is False
        assert [row.control for row in report.rows[1:]] == list(CONTROLS)
    assert network.training, "the mode was not put back"


def test_an_ann_that_looks_at_the_last_step_uses_time():
    class Last(nn.Module):
        def forward(self, x):
            return torch.stack([-x[:, 0, -1], x[:, 0, -1]], dim=1)

    X, y = by_order()
    names = np.array(["falls", "rises"])
    report = temporal_dependence(Last(), X, names[y], classes=["falls", "rises"], metric="roc_auc", **QUICK)
    assert report.original.score == 1
    assert report.uses_order is True


def coincidence_network():
    """Two input neurons; the second layer fires where both do, the readout counts its spikes."""
    first, second = LIF(2, beta=0.0, threshold=0.5), LIF(1, beta=0.0, threshold=1.5)
    both, head = nn.Linear(2, 1, bias=False), nn.Linear(1, 2)
    with torch.no_grad():
        both.weight.fill_(1.0)
        head.weight.copy_(torch.tensor([[-40.0], [40.0]]))
        head.bias.copy_(torch.tensor([4.0, -4.0]))
    return nn.Sequential(first, both, second, RateReadout(), head)


def coincidences(n=40, steps=40, seed=0):
    """Two trains of 12 spikes each, time first: at the same steps (class 1), or never at the same (class 0)."""
    rng = np.random.default_rng(seed)
    X, y = np.zeros((steps, n, 2), dtype=np.float32), np.arange(n) % 2
    for i in range(n):
        order = rng.permutation(steps)
        X[order[:12], i, 0] = 1
        X[order[:12] if y[i] else order[12:24], i, 1] = 1
    return X, y


def test_spike_timing_inside_a_network():
    """Coincidence survives one order for all neurons and dies with an order for each; what a rate readout reads does
    not depend on the times of the last layer at all. Counts tell nothing: both classes have 12 spikes a neuron."""
    X, y = coincidences()
    report = temporal_dependence(coincidence_network(), X, y, time_axis=0, batch_axis=1, **QUICK)
    assert report.original.score == 1
    assert [row.where for row in report.rows].count("all layers") == 2
    assert report.row("spikes-shuffled", "0").changed == 0
    assert report.is_worse(report.row("spikes-shuffled-by-neuron", "0"))
    assert report.row("spikes-shuffled-by-neuron", "2").changed == 0
    assert report.is_worse(report.row("spikes-shuffled-by-neuron", "all layers"))
    assert report.row("time-shuffled").changed == 0
    assert report.is_worse(report.row("time-shuffled-by-channel"))
    assert any(sentence.startswith("When spikes occur counts inside") for sentence in report.findings())


def test_a_readout_of_rates_needs_no_spike_times():
    network = nn.Sequential(LIF(3, beta=0.0, threshold=0.5), RateReadout(), nn.Linear(3, 2))
    with torch.no_grad():
        network[2].weight.copy_(torch.tensor([[-1.0] * 3, [1.0] * 3]))
        network[2].bias.copy_(torch.tensor([1.35, -1.35]))
    X, y = by_rate()
    report = temporal_dependence(
        network, X.transpose(2, 0, 1), y, time_axis=0, batch_axis=1, controls=["spikes-shuffled-by-neuron"], **QUICK
    )
    assert report.original.score == 1
    assert report.uses_order is False
    assert any("only the counts of spikes matter" in sentence for sentence in report.findings())


def test_a_layer_that_is_not_called_has_a_note_not_a_score():
    network = nn.Sequential(LIF(3, beta=0.9), LastReadout(beta=0.9), nn.Linear(3, 2))
    network.idle = LIF(3, beta=0.9)
    network.forward = lambda x: network[2](network[1](network[0](x)))
    X, y = by_rate()
    report = temporal_dependence(network, X.transpose(2, 0, 1), y, time_axis=0, batch_axis=1, **QUICK)
    row = report.row("spikes-shuffled", "idle")
    assert row.score is None
    assert "was not called" in row.note
    assert report.row("spikes-shuffled", "0").score is not None
    assert any("was not called" in sentence for sentence in report.findings())


def two_orders(n, seed):
    """A bump that is early in the first channel and late in the second, or the other way round."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = 0.3 * rng.normal(size=(n, 2, 40))
    for i, label in enumerate(y):
        X[i, label, 5:12] += 2
        X[i, 1 - label, 25:32] += 2
    return X, np.array(["first", "second"])[y]


@pytest.mark.parametrize("model", ["recurrent-snn", "cnn1d"])
def test_estimators_of_the_harness(model):
    (X, y), (Z, truth) = two_orders(80, 0), two_orders(40, 1)
    options = {"module__readout": "last"} if model == "recurrent-snn" else {}
    classifier = NeuroClassifier(model, sfreq=100.0, max_epochs=25, lr=0.01, random_state=0, **options).fit(X, y)
    assert classifier.score(Z, truth) > 0.9
    before = classifier.predict_proba(Z)
    report = temporal_dependence(classifier, Z, truth, **QUICK)
    assert report.uses_time is True
    assert report.is_worse(report.row("time-reversed"))
    inside = {row.where for row in report.rows if row.control == "spikes-shuffled"}
    assert inside == ({"encoder", "neurons.0", "all layers"} if model == "recurrent-snn" else set())
    assert np.array_equal(classifier.predict_proba(Z), before), "the analysis left something behind"


def test_pipelines_searches_windows_and_readouts_of_spikes():
    (X, y), (Z, truth) = two_orders(60, 2), two_orders(30, 3)
    flat = make_pipeline(FunctionTransformer(lambda x: x.reshape(len(x), -1)), LogisticRegression(max_iter=500))
    searched = GridSearchCV(flat, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(X, y)
    assert temporal_dependence(searched, Z, truth, metric="log_loss", **QUICK).uses_order is True

    ragged, held = np.empty(20, dtype=object), np.arange(20) % 2
    ragged[:] = [X[i, :, : 36 + i % 3] for i in range(20)]
    windowed = Windowed(NeuroClassifier("cnn1d", sfreq=1.0, max_epochs=2, random_state=0), length=32).fit(ragged, held)
    report = temporal_dependence(windowed, ragged, held, controls=["time-shuffled", "time-mean"], **QUICK)
    assert report.n_samples == 20
    assert report.row("time-mean").score is not None

    spikes = (Z.swapaxes(1, 2) > 1).astype(np.uint8)
    readout = DeSNN(n_neighbors=1).fit((X.swapaxes(1, 2) > 1).astype(np.uint8), y)
    report = temporal_dependence(readout, spikes, truth, time_axis=1, **QUICK)
    assert report.uses_order is True
    refused = report.row("time-mean")
    assert refused.score is None
    assert "spikes must be 0 or 1" in refused.note
    assert any("must be 0 or 1" in sentence for sentence in report.findings())


def test_regression_pipeline():
    X, y = by_rate()
    means = make_pipeline(FunctionTransformer(lambda x: x.sum(axis=2)), Ridge()).fit(X, y.astype(float))
    report = temporal_dependence(means, X, y.astype(float), metric="r2", n_repeats=1, n_resamples=50)
    assert report.uses_time is False


class StepRule(ClassifierMixin, BaseEstimator):
    """Labels every step by the sign of the value `lag` steps before it."""

    classes_ = np.array([0, 1])

    def __init__(self, lag):
        self.lag = lag

    def predict(self, X):
        return (np.roll(X[:, 0], self.lag, axis=-1) > 0).astype(int)


def test_labels_of_steps_move_along():
    """A rule of each step alone is exactly invariant; one that looks a step back is not."""
    X = np.random.default_rng(5).normal(size=(30, 1, 40))
    for lag in (0, 1):
        rule = StepRule(lag)
        y = rule.predict(X)
        y[:, ::7] = -1
        report = temporal_dependence(rule, X, y, **QUICK)
        assert (report.task, report.original.score) == ("steps", 1.0)
        assert [row.control for row in report.rows[1:]] == [
            "time-shuffled", "segments-permuted", "time-reversed", "time-mean",
        ]  # fmt: skip
        moved = [report.row(name) for name in ("time-shuffled", "segments-permuted", "time-reversed")]
        assert report.is_worse(report.row("time-mean"))
        if lag == 0:
            assert all(row.changed == 0 and row.drop == 0 for row in moved)
            assert report.uses_order is False
        else:
            assert all(report.is_worse(row) for row in moved)
            assert 0.4 < report.row("time-shuffled").score < 0.6
            # only the first of the five steps of a segment has lost the step before it, and half of those by luck not
            assert report.row("segments-permuted").drop == pytest.approx(0.1, abs=0.03)
    assert any("move along" in sentence for sentence in report.findings())


def test_a_network_that_labels_steps():
    class Steps(nn.Module):
        def forward(self, x):
            return torch.cat([-x, x], dim=1)  # (batch, classes, times)

    X = np.random.default_rng(6).normal(size=(12, 1, 30))
    y = (X[:, 0] > 0).astype(int)
    report = temporal_dependence(Steps(), X, y, metric="roc_auc", controls=["time-shuffled"], **QUICK)
    assert report.original.score == 1
    assert report.uses_time is False
    with pytest.raises(InputError, match=r"expected logits \(samples, classes, times\)"):
        temporal_dependence(nn.Sequential(nn.Flatten(), nn.Linear(30, 2)), X, y)


def test_images_leave_the_network_only():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    X, y = np.random.default_rng(0).random((10, 1, 4, 4)), np.arange(10) % 2
    with pytest.raises(InputError, match="no time to control"):
        temporal_dependence(network, X, y)
    with pytest.raises(InputError, match="which images"):
        temporal_dependence(network, X, y, controls=["time-mean"])
    estimator = NeuroClassifier("spiking-cnn2d", max_epochs=1, random_state=0, module__filters=(4, 4)).fit(
        np.random.default_rng(0).random((12, 1, 12, 12)), np.arange(12) % 2
    )
    report = temporal_dependence(
        estimator, np.random.default_rng(1).random((8, 1, 12, 12)), np.arange(8) % 2, n_repeats=1, n_resamples=100
    )
    assert {row.where for row in report.rows[1:]} >= {"all layers"}
    assert all(row.control.startswith("spikes") for row in report.rows[1:])
    assert any("images" in sentence for sentence in report.findings())


def test_report_as_table_and_json():
    X, y = by_order()
    report = temporal_dependence(Rule(slope), X, y, **QUICK)
    assert isinstance(report, TemporalReport)
    table = report.table()
    assert table["control"].tolist() == ["original", *CONTROLS]
    assert table["drop"].isna().tolist() == [True] + [False] * len(CONTROLS)
    again = json.loads(json.dumps(report.to_dict()))
    assert again["uses_time"] is True
    assert again["rows"][1]["control"] == "time-shuffled"
    assert again["findings"] == report.findings()
    with pytest.raises(KeyError, match="no control"):
        report.row("time-warped")


def test_the_same_seed_gives_the_same_report():
    X, y = by_order()
    one, other = (temporal_dependence(Rule(slope), X, y, random_state=7, **QUICK) for _ in range(2))
    assert one.to_dict() == other.to_dict()


def test_too_few_units_are_pointed_out():
    X, y = by_order(30)
    report = temporal_dependence(Rule(slope), X, y, units=np.repeat([1, 2, 3], 10), **QUICK)
    assert report.uses_time is None
    assert any("3 units" in sentence for sentence in report.findings())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": object()}, "fitted estimator with predict or a torch module, got object"),
        ({"y": np.zeros(7)}, r"60 samples, but y has shape \(7,\)"),
        ({"y": np.zeros((60, 23))}, r"y has shape \(60, 23\); expected \(60,\), or \(60, 24\)"),
        ({"y": np.zeros((60, 24), int)}, r"predicts shape \(60,\), but y has shape \(60, 24\)"),
        ({"y": np.zeros((60, 24), int), "controls": ["spikes-shuffled"]}, "labels of steps cannot follow"),
        ({"y": np.zeros((60, 24), int), "layers": ["0"]}, "labels of steps cannot follow"),
        ({"units": ["a"]}, "one entry for each of 60 samples"),
        ({"units": [None] * 59 + ["a"]}, r"units are missing .* for 59 of 60 samples"),
        ({"random_state": None}, "random_state must be an integer"),
        ({"y": np.full(60, 5)}, r"holds the class 5, which is none of \[0, 1\]"),
        ({"controls": ["time-warped"]}, "control='time-warped' is unknown"),
        ({"controls": "time-mean"}, "must be a list of names"),
        ({"controls": []}, "controls is empty"),
        ({"controls": ["spikes-shuffled"]}, "the model has none"),
        ({"layers": ["0"]}, "no torch network inside"),
        ({"metric": "mae"}, "metric='mae' is unknown"),
        ({"n_repeats": 0}, "n_repeats must lie in"),
        ({"n_segments": 1}, "n_segments must lie in"),
        ({"confidence": 1.0}, "confidence must lie in"),
        ({"batch_axis": 1}, "samples on the first axis"),
        ({"time_axis": 0}, "are one axis"),
        ({"classes": [0, 1]}, "classes are for torch modules"),
        ({"X": np.full((60, 1, 24), np.nan)}, "NaN or infinite"),
    ],
)
def test_bad_input_is_refused(change, message):
    X, y = by_order()
    arguments = {"model": Rule(slope), "X": X, "y": y, **change}
    with pytest.raises(InputError, match=message) as caught:
        temporal_dependence(arguments.pop("model"), arguments.pop("X"), arguments.pop("y"), **arguments)
    assert "\n" not in str(caught.value)


def test_networks_that_do_not_fit_are_refused():
    X, y = by_rate()
    with pytest.raises(InputError, match="2 outputs but classes has 3"):
        temporal_dependence(Pool(), X, y, classes="abc")
    with pytest.raises(InputError, match="expected logits"):
        temporal_dependence(nn.Identity(), X, y)
    with pytest.raises(InputError, match="layer='x' is unknown"):
        temporal_dependence(Pool(), X, y, layers=["x"])
    with pytest.raises(InputError, match="samples of one length"):
        temporal_dependence(Pool(), [X[0], X[1, :, :9]], y[:2])
