"""Search of distributions: distances, kernel, proposals, resumption, mistakes."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.gaussian_process.kernels import Matern

from spikeneuro.errors import InputError
from spikeneuro.nn.heterogeneity import Constant, Gamma, LogSpaced, LogUniform, Mixture
from spikeneuro.training.search import (
    DistributionSearch,
    GammaRange,
    MixtureRange,
    NumberRange,
    quantiles,
    wasserstein2,
)
from spikeneuro.training.search.kernel import WassersteinMatern, fitted, log_expected_improvement, matern52

SPACE = {"tau": GammaRange((0.005, 0.5), (1.0, 50.0)), "scale": NumberRange(0.01, 10.0, "log")}
TARGET = Gamma(0.05, 5.0)


def score(tau, scale):
    return -((wasserstein2(tau, TARGET) / 0.05) ** 2) - math.log(scale / 0.7) ** 2


@pytest.mark.parametrize(("m1", "s1", "m2", "s2"), [(0, 1, 0, 1), (0, 1, 3, 1), (0, 1, 0, 2.5), (-2, 0.3, 5, 4)])
def test_distance_of_gaussians_is_the_closed_form(m1, s1, m2, s2):
    found = wasserstein2(stats.norm(m1, s1), stats.norm(m2, s2))
    assert found == pytest.approx(math.hypot(m1 - m2, s1 - s2), rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("k", [0.5, 3.0, 40.0])
def test_distance_of_gammas_of_one_shape_is_that_of_their_scales(k):
    # F^-1 is proportional to the mean: W2 is the difference of means times the root of E[x^2] at mean 1
    expected = 0.3 * math.sqrt(1.0 + 1.0 / k)
    assert wasserstein2(Gamma(0.2, k), Gamma(0.5, k)) == pytest.approx(expected, rel=1e-3)


def test_distance_of_samples_is_that_of_the_sorted_ones():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.exponential(size=50)
    assert wasserstein2(a, b) == pytest.approx(np.sqrt(np.mean((np.sort(a) - np.sort(b)) ** 2)), rel=1e-12)
    # of unequal numbers: every sample as often as the other side has
    c = rng.uniform(size=20)
    many_a, many_c = np.sort(np.repeat(a, 20)), np.sort(np.repeat(c, 50))
    assert wasserstein2(a, c) == pytest.approx(np.sqrt(np.mean((many_a - many_c) ** 2)), rel=1e-9)
    # and it is no less than the 1-distance that scipy knows
    assert wasserstein2(a, c) >= stats.wasserstein_distance(a, c)


def test_distance_of_numbers_is_their_difference():
    assert wasserstein2(Constant(2.0), 5.0) == pytest.approx(3.0)
    assert wasserstein2(2.0, 5.0) == 3.0


@pytest.mark.parametrize(
    "distribution",
    [
        Gamma(0.05, 3.0),
        Gamma(0.05, 0.7, low=0.01),
        LogUniform(0.01, 1.0),
        LogSpaced(0.01, 1.0),
        Mixture((Gamma(0.01, 5.0), Gamma(0.05, 5.0), Gamma(0.2, 5.0)), (0.1, 0.6, 0.3)),
        Mixture((Constant(0.1), LogUniform(0.05, 0.5)), (0.25, 0.75)),
        Mixture((Mixture((Constant(1.0), Constant(2.0)), (0.5, 0.5)), Constant(3.0)), (0.5, 0.5)),
    ],
)
def test_quantiles_are_those_of_what_is_drawn(distribution):
    drawn = distribution(100_000, torch.Generator().manual_seed(0)).double().numpy()
    at = np.array([0.1, 0.2, 0.35, 0.6, 0.85])
    found = quantiles(distribution, at)
    below = np.array([(drawn < q * (1 - 1e-5)).mean() for q in found])
    upto = np.array([(drawn <= q * (1 + 1e-5)).mean() for q in found])
    assert (below <= at + 0.008).all()
    assert (upto >= at - 0.008).all()


def test_quantiles_of_a_gamma_are_those_of_scipy():
    at = np.linspace(0.01, 0.99, 9)
    np.testing.assert_allclose(quantiles(Gamma(0.3, 2.5), at), stats.gamma(2.5, scale=0.3 / 2.5).ppf(at), rtol=1e-12)
    single = Mixture((Gamma(0.3, 2.5), Gamma(0.9, 1.0)), (1.0, 0.0))
    np.testing.assert_allclose(quantiles(single, at), quantiles(Gamma(0.3, 2.5), at), rtol=1e-9)


def test_embeddings_are_as_far_apart_as_the_distributions():
    part = GammaRange((0.01, 0.5), (1.0, 30.0))
    points = np.random.default_rng(0).random((6, 2))
    for a in points:
        for b in points:
            distance = np.linalg.norm(part.embed(a) - part.embed(b))
            # fewer levels, tail included
            assert distance == pytest.approx(wasserstein2(part.at(a), part.at(b), n=2000), rel=1e-2, abs=1e-9)
    number = NumberRange(0.1, 10.0, "log")
    assert abs(number.embed(np.array([0.0])) - number.embed(np.array([1.0])))[0] == pytest.approx(math.log(100.0))


def test_ranges_reach_their_ends_and_nothing_else():
    part = GammaRange((0.01, 0.5), (1.0, 30.0))
    assert part.at(np.zeros(2)) == Gamma(0.01, 1.0)
    assert part.at(np.ones(2)) == Gamma(0.5, 30.0)
    assert GammaRange((0.01, 0.5), (3.0, 3.0)).dimensions == 1
    assert NumberRange(-1.0, 3.0).at(np.array([0.25])) == 0.0


def test_shares_that_are_searched_are_uniform_on_the_simplex():
    fixed = tuple(GammaRange((0.01, 0.1), (3.0, 3.0)) for _ in range(3))
    space = MixtureRange(fixed)
    assert space.dimensions == 5
    points = np.random.default_rng(0).random((4000, 5))
    shares = np.array([space.at(point).shares for point in points])
    np.testing.assert_allclose(shares.sum(1), 1.0, atol=1e-9)
    for column in shares.T:  # each share of a uniform point of the simplex is Beta(1, 2)
        assert stats.kstest(column, stats.beta(1, 2).cdf).pvalue > 1e-3
    given = MixtureRange(fixed, (0.1, 0.6, 0.3))
    assert given.dimensions == 3
    assert given.at(np.full(3, 0.5)).shares == (0.1, 0.6, 0.3)


def test_kernel_is_that_of_scikit_learn_on_the_embeddings():
    search = DistributionSearch(SPACE)
    x = search.embed(np.random.default_rng(0).random((12, 3)))
    kernel = WassersteinMatern([64, 1]).double()
    kernel.scales = 0.8
    found = kernel(torch.as_tensor(x)).to_dense().detach().numpy()
    np.testing.assert_allclose(found, Matern(length_scale=0.8, nu=2.5)(x), atol=1e-7)
    # two length scales: the members divided by theirs
    kernel.scales = torch.tensor([[0.8, 0.3]])
    scaled = np.concatenate([x[:, :64] / 0.8, x[:, 64:] / 0.3], axis=1)
    found = kernel(torch.as_tensor(x), torch.as_tensor(x[:5])).to_dense().detach().numpy()
    np.testing.assert_allclose(found, Matern(nu=2.5)(scaled, scaled[:5]), atol=1e-7)
    diagonal = kernel(torch.as_tensor(x), diag=True).detach().numpy()
    np.testing.assert_allclose(diagonal, 1.0, atol=1e-7)


def test_kernel_is_the_published_formula_of_the_distance():
    p, q, scale = Gamma(0.02, 2.0), Gamma(0.09, 7.0), 0.05
    d = wasserstein2(p, q) / scale
    expected = (1 + math.sqrt(5) * d + 5 * d**2 / 3) * math.exp(-math.sqrt(5) * d)
    assert matern52(torch.tensor(d, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12)


def test_kernel_is_positive_semidefinite():
    space = {"tau": MixtureRange((GammaRange((0.005, 0.05)), GammaRange((0.05, 0.5)))), "eta": GammaRange((1e-3, 0.1))}
    search = DistributionSearch(space)
    x = torch.as_tensor(search.embed(np.random.default_rng(1).random((40, search.dimensions))))
    for scales in ([0.1, 0.1], [1.0, 3.0], [30.0, 0.5]):
        kernel = WassersteinMatern([64, 64]).double()
        kernel.scales = torch.tensor([scales])
        assert torch.linalg.eigvalsh(kernel(x).to_dense()).min().item() > -1e-8


def test_expected_improvement_is_the_closed_form():
    search = DistributionSearch(SPACE)
    points = np.random.default_rng(2).random((9, 3))
    y = torch.as_tensor(np.sin(6 * points[:, 0]))
    model = fitted(torch.as_tensor(search.embed(points)), (y - y.mean()) / y.std(), [64, 1])
    x = torch.as_tensor(search.embed(np.random.default_rng(3).random((20, 3))))
    posterior = model.posterior(x)
    mean, deviation = posterior.mean[:, 0].detach(), posterior.variance[:, 0].sqrt().detach()
    z = ((mean - 0.5) / deviation).numpy()
    expected = deviation.numpy() * (z * stats.norm.cdf(z) + stats.norm.pdf(z))
    np.testing.assert_allclose(log_expected_improvement(model, x, 0.5).exp().numpy(), expected, rtol=1e-4, atol=1e-12)


@pytest.mark.slow
def test_finds_the_optimum_better_than_random_search_of_equal_effort():
    own, random = [], []
    for seed in range(5):
        own.append(DistributionSearch(SPACE, seed=seed).run(score, 25).score)
        random.append(DistributionSearch(SPACE, seed=seed, method="random").run(score, 25).score)
    assert min(own) > max(random)
    assert min(own) > -0.02  # the maximum is 0


def test_search_approaches_the_optimum_and_can_minimise():
    search = DistributionSearch(SPACE, direction="minimize", n_initial=6, seed=1)
    best = search.run(lambda tau, scale: -score(tau, scale), 11)
    assert best.score == min(trial.score for trial in search.trials)
    assert best.number >= 6
    assert best.score < 0.3 * min(trial.score for trial in search.trials[:6])


def test_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path):
    whole = DistributionSearch(SPACE, n_initial=4, seed=3)
    whole.run(score, 7)
    path = tmp_path / "deeper" / "search.json"

    def breaks(tau, scale):
        if len(json.loads(path.read_text())["trials"]) == 5 if path.exists() else False:
            raise KeyboardInterrupt
        return score(tau, scale)

    with pytest.raises(KeyboardInterrupt):
        DistributionSearch(SPACE, n_initial=4, seed=3, path=path).run(breaks, 7)
    resumed = DistributionSearch(SPACE, n_initial=4, seed=3, path=path)
    assert len(resumed.trials) == 5
    resumed.run(score, 7)
    assert resumed.trials == whole.trials
    assert [p.name for p in path.parent.iterdir()] == ["search.json"]
    assert resumed.run(pytest.fail, 7) == whole.best  # nothing is left to try


def test_proposals_depend_on_the_seed_alone():
    state = torch.random.get_rng_state()
    first, again, other = (DistributionSearch(SPACE, n_initial=3, seed=seed) for seed in (0, 0, 1))
    for search in (first, again, other):
        search.run(score, 4)
    assert first.trials == again.trials
    assert first.trials[0].point != other.trials[0].point
    assert first.ask() == first.ask()
    assert torch.equal(state, torch.random.get_rng_state())


def test_constant_score_is_no_obstacle():
    search = DistributionSearch({"x": NumberRange(0.0, 1.0)}, n_initial=2)
    assert search.run(lambda x: 1.0, 4).number == 0
    assert len({trial.point for trial in search.trials}) == 4


def test_drives_the_network_it_was_made_for():
    from spikeneuro._random import scoped_seed
    from spikeneuro.models.hrsnn import HRSNN

    def memory(tau):
        with scoped_seed(0):
            model = HRSNN(1, 50, 1, 100.0, hidden=20, tau=tau)
        return model.memory_capacity(10, n_steps=400, random_state=0).total

    search = DistributionSearch({"tau": GammaRange((0.02, 0.5), (1.0, 30.0), low=0.01)}, n_initial=3)
    assert search.run(memory, 4).score == memory(**search.best.values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DistributionSearch({}), "space"),
        (lambda: DistributionSearch({"tau": (0.1, 0.2)}), r"space\['tau'\]"),
        (lambda: DistributionSearch(SPACE, direction="up"), "direction"),
        (lambda: DistributionSearch(SPACE, method="grid"), "method"),
        (lambda: DistributionSearch(SPACE, n_initial=1), "n_initial"),
        (lambda: DistributionSearch(SPACE, seed=-1), "seed"),
        (lambda: DistributionSearch(SPACE).run(score, 0), "n_trials"),
        (lambda: DistributionSearch(SPACE).run(lambda **_: float("nan"), 1), "finite"),
        (lambda: DistributionSearch(SPACE).run(lambda **_: "good", 1), "must be a number"),
        (lambda: DistributionSearch(SPACE).best, "no trial yet"),
        (lambda: GammaRange((0.5, 0.1)), "mean"),
        (lambda: GammaRange((0.0, 0.1)), "mean"),
        (lambda: GammaRange(0.1), "pair"),
        (lambda: GammaRange((0.1, 0.2), (0.0, 0.0)), "concentration"),
        (lambda: NumberRange(1.0, 1.0), "range"),
        (lambda: NumberRange(0.0, 1.0, "log"), "low and high"),
        (lambda: NumberRange(0.0, 1.0, "square"), "scale"),
        (lambda: MixtureRange((GammaRange((0.1, 0.2)),)), "two or more"),
        (lambda: MixtureRange((GammaRange((0.1, 0.2)),) * 2, (0.5, 0.6)), "sum to 1"),
        (lambda: wasserstein2([], [1.0]), "at least one"),
        (lambda: wasserstein2([np.nan], [1.0]), "samples"),
        (lambda: wasserstein2("a", [1.0]), "distribution"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_files_of_other_searches_are_refused(tmp_path):
    path = tmp_path / "search.json"
    DistributionSearch(SPACE, path=path, method="random").run(score, 1)
    with pytest.raises(InputError, match="its seed is 0, not 5"):
        DistributionSearch(SPACE, path=path, method="random", seed=5)
    with pytest.raises(InputError, match="its space is"):
        DistributionSearch({"tau": SPACE["tau"]}, path=path, method="random")
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "trials": [{"point": [0.1], "score": 1.0}]}))
    with pytest.raises(InputError, match="does not fit the space"):
        DistributionSearch(SPACE, path=path, method="random")
    path.write_text("[1, 2]")
    with pytest.raises(InputError, match="no state of a search"):
        DistributionSearch(SPACE, path=path)
    other = DistributionSearch(SPACE)
    trial = other.ask()
    other.tell(trial, 1.0)
    with pytest.raises(InputError, match="not the next one"):
        other.tell(trial, 1.0)
