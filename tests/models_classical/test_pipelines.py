"""The contract of every pipeline in the model table, and scikit-learn's own checks on those that take features."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from spikeneuro.errors import InputError
from spikeneuro.models import create, entry, names
from spikeneuro.training import NeuroClassifier

SFREQ, N_CHANS, N_TIMES, FREQUENCIES = 100.0, 4, 200, (9.0, 16.0)
PIPELINES = names(kind="pipeline")
EXTRA = {"cca-ssvep": {"frequencies": FREQUENCIES}, "bandpower-forest": {"n_trees": 20}, "pca-svm": {"n_components": 5},
         "neucube": {"names": ["C3", "C4", "O1", "O2"]},
         "reward-stdp": {"pool": 2, "n_steps": 1, "epochs": 2, "n_votes": 1}}  # fmt: skip
WITH_PROBABILITY = {
    "bandpower-lda", "bandpower-forest", "csp-lda", "tangent-space-lr", "trace-lr", "logistic-regression",
    "nearest-neighbour", "liquid-state-machine", "neucube", "reward-stdp",
}  # fmt: skip


def build(name, **changes):
    sizes = {"n_chans": N_CHANS, "n_times": N_TIMES, "n_outputs": 2, "sfreq": SFREQ}
    return create(name, **sizes | EXTRA.get(name, {}) | {"random_state": 0} | changes)


def signals(name, n=40, seed=0):
    """Two classes that differ in frequency, power and correlations, in volts; or the class of every step."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    t = np.arange(N_TIMES) / SFREQ
    X = random.normal(size=(n, N_CHANS, N_TIMES))
    X[:, :2] += np.sin(2 * np.pi * np.array(FREQUENCIES)[y][:, None, None] * t)
    X[y == 1, 2] += 2 * X[y == 1, 3]
    if name == "trace-lr":
        return X * 1e-5, (np.cumsum(X[:, 0], axis=1) > 0).astype(int)
    return X * 1e-5, y


def fit(name, X, y, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(name, **changes).fit(X, y)


def test_the_table_names_builders_whose_signature_fits():
    assert len(PIPELINES) == 18
    for name in PIPELINES:
        row = entry(name)
        assert callable(row.load())
        assert row.spiking == (name in {"liquid-state-machine", "neucube", "reward-stdp"})
        assert row.reference
        for task in row.tasks:
            assert hasattr(build(name, task=task), "fit")


@pytest.mark.parametrize("name", PIPELINES)
class TestContract:
    def test_learns_and_is_repeatable(self, name):
        X, y = signals(name)
        before = X.copy()
        a, b = fit(name, X, y), fit(name, X, y)
        fresh, labels = signals(name, seed=1)
        if entry(name).inputs == ("signal",):  # those on raw samples cannot know the phase of a wave
            assert a.score(fresh, labels) > 0.8
        np.testing.assert_array_equal(a.predict(fresh), b.predict(fresh))
        np.testing.assert_array_equal(X, before)

    def test_probabilities_only_where_the_model_has_them(self, name):
        X, y = signals(name)
        model = fit(name, X, y)
        assert hasattr(model, "predict_proba") == (name in WITH_PROBABILITY)
        if name in WITH_PROBABILITY:
            probability = model.predict_proba(X)
            np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-6)
            np.testing.assert_array_equal(model.classes_[probability.argmax(axis=1)], model.predict(X))
        else:
            assert model.decision_function(X).shape == (len(X),)

    def test_a_prediction_depends_on_its_own_sample_alone(self, name):
        X, y = signals(name)
        model = fit(name, X, y)
        fresh, _ = signals(name, seed=1)
        alone = np.concatenate([model.predict(fresh[i : i + 1]) for i in range(8)])
        np.testing.assert_array_equal(alone, model.predict(fresh)[:8])

    def test_volts_and_microvolts_are_the_same(self, name):
        X, y = signals(name)
        fresh, _ = signals(name, seed=1)
        a, b = fit(name, X, y).predict(fresh), fit(name, 1e6 * X, y).predict(1e6 * fresh)
        assert np.mean(a == b) > 0.97

    def test_clones_and_survives_pickling(self, name):
        X, y = signals(name)
        model = fit(name, X, y)
        assert repr(clone(model)) == repr(build(name))
        copy = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(copy.predict(X), model.predict(X))

    def test_says_what_is_wrong(self, name):
        X, y = signals(name)
        broken = X.copy()
        broken[3, 1, 7] = np.nan
        with pytest.raises(InputError, match="NaN"):
            fit(name, broken, y)
        with pytest.raises(InputError, match="NaN"):
            fit(name, X, y).predict(broken)
        with pytest.raises(InputError, match="class"):
            fit(name, X, np.zeros_like(y))
        with pytest.raises(InputError, match="task='classify' is unknown"):
            build(name, task="classify")
        with pytest.raises(InputError):
            fit(name, X, y).predict(X[:, :3])
        if name != "trace-lr":
            with pytest.raises(InputError, match="n_chans=5, but X has 4"):
                fit(name, X, y, n_chans=5)


@pytest.mark.parametrize("name", ["bandpower-lda", "bandpower-forest", "csp-lda", "tangent-space-lr", "cca-ssvep"])
def test_a_constant_channel_is_named(name):
    X, y = signals(name)
    model = fit(name, X, y)
    X[2, 1] = 3.0
    with pytest.raises(InputError, match=r"X\[2\], channel 1 is constant"):
        model.predict(X)
    with pytest.raises(InputError, match=r"X\[2\], channel 1 is constant"):
        fit(name, X, y)


@pytest.mark.parametrize("name", ["csp-lda", "tangent-space-lr", "cca-ssvep"])
def test_the_optional_band_removes_drift(name):
    X, y = signals(name)
    drift = 1e-3 * np.linspace(-1, 1, N_TIMES) * np.random.default_rng(5).normal(size=(len(X), N_CHANS, 1))
    fresh, labels = signals(name, seed=1)
    assert fit(name, X + drift, y, band=(4.0, 40.0)).score(fresh, labels) > 0.8


def test_ssvep_needs_one_frequency_per_class():
    with pytest.raises(InputError, match="2 entries for n_outputs=3"):
        create("cca-ssvep", n_outputs=3, sfreq=SFREQ, frequencies=FREQUENCIES)


@pytest.mark.parametrize("name", names("image", kind="pipeline"))
def test_images_and_features(name):
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    extra = {"n_components": 20} if name == "pca-svm" else {}
    images = X.reshape(-1, 1, 8, 8)
    model = create(name, in_chans=1, image_size=8, n_outputs=10, **extra).fit(images[:800], y[:800])
    assert model.score(images[800:], y[800:]) > 0.85
    features = create(name, n_chans=1, n_times=64, n_outputs=10, sfreq=1.0, **extra).fit(X[:800], y[:800])
    assert features.score(X[800:], y[800:]) > 0.85
    with pytest.raises(InputError, match=r"image_size=\(7, 7\), but X has \(8, 8\)"):
        create(name, in_chans=1, image_size=7, **extra).fit(images, y)
    with pytest.raises(InputError, match="scaling='pixel' is unknown"):
        create(name, scaling="pixel")


#: Scikit-learn's Pipeline fits the steps it was given in place; every pipeline fails these two.
OF_PIPELINE = dict.fromkeys(
    ("check_estimators_overwrite_params", "check_dont_overwrite_parameters"),
    "Pipeline fits the steps it was given in place",
)
FLAT = [(n, t) for n in names("features", kind="pipeline") for t in entry(n).tasks]


@pytest.mark.parametrize(("name", "task"), FLAT)
def test_scikit_learn_checks(name, task):
    options = {
        "pca-svm": {"n_components": 0.9},
        "reward-stdp": {"pool": 2, "n_steps": 10, "epochs": 10, "n_votes": 1},
    }.get(name, {})
    model = create(name, task=task, random_state=0, **options)
    results = check_estimator(model, expected_failed_checks=OF_PIPELINE, on_fail=None, on_skip=None)
    assert len(results) >= 50
    assert [r["check_name"] for r in results if r["status"] == "failed"] == []
    assert sum(r["status"] == "passed" for r in results) >= 45


def test_networks_and_pipelines_answer_alike():
    # One harness drives both: the same calls, the same shapes.
    X, y = signals("csp-lda")
    pipeline = fit("csp-lda", X, y)
    network = NeuroClassifier("cnn1d", sfreq=SFREQ, max_epochs=1, random_state=0).fit(X, y)
    assert pipeline.predict_proba(X).shape == network.predict_proba(X).shape
    np.testing.assert_array_equal(pipeline.classes_, network.classes_)


def test_two_time_constants_of_a_liquid_are_a_range():
    X, y = signals("liquid-state-machine")
    settings = {"n_neurons": 300, "task": "classification"}
    model = fit("liquid-state-machine", X, y, tau_mem=[0.01, 0.5], **settings)
    drawn = model[-1].reservoir_.neurons.tau_mem
    assert 0.0099 < float(drawn.min()) < 0.013
    assert 0.4 < float(drawn.max()) < 0.501
    assert float(drawn.median()) == pytest.approx((0.01 * 0.5) ** 0.5, rel=0.35)  # even over the logarithm
    again = fit("liquid-state-machine", X, y, tau_mem=(0.01, 0.5), **settings)
    assert np.array_equal(again[-1].reservoir_.neurons.tau_mem, drawn)
    for wrong in ([0.5, 0.01], [0.0, 0.1]):
        with pytest.raises(InputError, match="low"):
            build("liquid-state-machine", tau_mem=wrong)
