"""A converted network on the digits of scikit-learn: accuracy over steps, calibration, estimators, errors by layer."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from spikeneuro import NeuroClassifier, energy, training
from spikeneuro._random import scoped_seed
from spikeneuro.training.conversion import (
    QCFS,
    accuracy_over_steps,
    calibrate_steps,
    conversion_report,
    convert,
    convert_estimator,
    fold_batchnorm,
    with_qcfs,
)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 1, 8, 8).astype("float32")
    clf = NeuroClassifier("cnn2d", max_epochs=12, lr=3e-3, random_state=0, module__filters=(8, 16))
    clf.fit(X[:1200], y[:1200])
    return clf, X, y


def test_accuracy_approaches_that_of_the_network(digits):
    clf, X, y = digits
    ann, x = clf.net_.module_, clf.network_input(X[1200:])
    snn = convert(ann, clf.network_input(X[:500]))
    curve = accuracy_over_steps(ann, snn, x, y[1200:], max_steps=64)
    original = curve.attrs["ann_accuracy"]
    assert original == pytest.approx(clf.score(X[1200:], y[1200:]))
    assert original > 0.9
    accuracy = curve.set_index("steps")["accuracy"]
    assert accuracy[8] > original - 0.03
    assert accuracy[32] > original - 0.01
    assert curve["output_error"].iloc[-1] < 0.1 * curve["output_error"].iloc[0]
    snn.steps = 16
    assert accuracy[16] == pytest.approx((snn(x).argmax(1).numpy() == y[1200:]).mean())


def test_steps_are_calibrated(digits):
    clf, X, y = digits
    ann, x = clf.net_.module_, clf.network_input(X[:400])
    snn = convert(ann, x)
    found = calibrate_steps(ann, snn, x, y[:400], tolerance=0.01, max_steps=64)
    assert found.reached
    assert found.measure == "accuracy"
    within = found.curve["accuracy"] >= found.original - 0.01
    assert within[found.steps - 1 :].all()
    assert found.steps == 1 or not within[found.steps - 2]
    by_output = calibrate_steps(ann, snn, x, tolerance=0.05, max_steps=64)
    assert (by_output.curve["output_error"][by_output.steps - 1 :] <= 0.05).all()
    never = calibrate_steps(ann, snn, x, tolerance=0.0, max_steps=4)
    assert (never.steps, never.reached) == (4, False)
    assert convert(ann, x, steps="calibrated", labels=y[:400], tolerance=0.01).steps <= 128


def test_estimators_hold_converted_networks(digits):
    clf, X, y = digits
    spiking = convert_estimator(clf, X[:400], y[:400], steps="calibrated")
    assert spiking.score(X[1200:], y[1200:]) > clf.score(X[1200:], y[1200:]) - 0.03
    assert clf.net_.module_ is not spiking.net_.module_
    assert set(spiking.health_["firing"]) == {"layers.features_2", "layers.features_6"}
    assert energy.count(spiking, X[:4]).acs > 0
    report = training.health(spiking, X[:50], y[:50])
    assert report.layers[0].gradient_current.max() > 0
    network = spiking.net_.module_
    held = NeuroClassifier(lambda **sizes: network, max_epochs=0, random_state=0).fit(X[:1200], y[:1200])
    np.testing.assert_array_equal(held.predict(X[1200:]), spiking.predict(X[1200:]))


def test_qcfs_training_needs_few_steps(digits):
    clf, X, y = digits
    x, labels = clf.network_input(X[:1200]), torch.as_tensor(y[:1200])
    quantised = with_qcfs(clf.net_.module_, levels=8, calibration_data=x, average_pooling=True).train()
    assert not any(isinstance(part, (nn.ReLU, nn.MaxPool2d)) for part in quantised.modules())
    optimizer = torch.optim.AdamW(quantised.parameters(), lr=3e-3)
    with scoped_seed(0):
        for _ in range(6):
            for index in torch.randperm(1200).split(32):
                optimizer.zero_grad()
                nn.functional.cross_entropy(quantised(x[index]), labels[index]).backward()
                optimizer.step()
    test = clf.network_input(X[1200:])
    snn = convert(quantised, x[:10], method="qcfs", steps=8)
    assert [info.scale for info in snn.neurons.values()] == [
        part.theta.item() for part in quantised.modules() if isinstance(part, QCFS)
    ]
    curve = accuracy_over_steps(quantised, snn, test, y[1200:], max_steps=32)
    original = curve.attrs["ann_accuracy"]
    assert original > 0.9
    assert curve["accuracy"][7] > original - 0.02
    report = conversion_report(quantised, snn, test)
    # the first layer gets exact input: at T = L it says exactly what the activation is
    assert report["total_rms"][0] < 1e-6


def test_report_takes_the_error_apart(digits):
    clf, X, _ = digits
    ann, x = clf.net_.module_, clf.network_input(X[1200:1400])
    snn = convert(ann, clf.network_input(X[:300]), percentile=99)
    report = conversion_report(ann, snn, x, steps=8)
    assert report["layer"].tolist() == ["features.2", "features.6", "output"]
    parts = report[["clipping", "quantisation", "unevenness"]].sum(axis=1)
    np.testing.assert_allclose(parts, report["total"], atol=1e-9)
    first = report.iloc[0]
    assert first["unevenness_rms"] < 1e-4  # constant input
    assert report["clipping"][:2].le(0).all()
    assert report["clipped"][:2].gt(0).all()
    # by hand, for the first layer
    folded = fold_batchnorm(ann, x)
    a = torch.relu(folded.features[0](x)).double()
    scale = first["scale"]
    rounded = scale * ((a * 8 / scale + 0.5).floor() / 8).clamp(max=1)
    assert first["clipping"] == pytest.approx((a.clamp(max=scale) - a).mean().item(), rel=1e-4)
    assert first["quantisation"] == pytest.approx((rounded - a.clamp(max=scale)).mean().item(), rel=1e-2)
    assert first["activation"] == pytest.approx(a.square().mean().sqrt().item(), rel=1e-5)
    rates = snn.rates(x, 8)
    assert first["rate"] == pytest.approx(rates["features_2"].mean().item(), rel=1e-5)
    output = snn.average(x, 8)
    assert report["total"].iloc[-1] == pytest.approx((output - ann(x)).mean().item(), rel=1e-4)
    longer = conversion_report(ann, snn, x, steps=64)
    assert longer["quantisation_rms"][0] < report["quantisation_rms"][0] / 4
    assert longer["total_rms"].iloc[-1] < report["total_rms"].iloc[-1]
    np.testing.assert_allclose(longer["clipping"][:2], report["clipping"][:2])


def test_quantisation_error_is_bounded_by_half_a_level():
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.zero_()
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
    for steps in (1, 4, 7):
        rate = convert(model, x, method="max").rates(x, steps)["1"]
        assert (rate - x).abs().max() <= 1 / (2 * steps) + 1e-9
