"""There and back: how far a decoded signal may be off, and the fitted range it rests on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from spikeneuro.encoders import (
    BurstEncoder,
    DeltaEncoder,
    DirectEncoder,
    LatencyEncoder,
    PhaseEncoder,
    PopulationEncoder,
    RateEncoder,
    StepForwardEncoder,
)
from spikeneuro.errors import InputError

UNIT = {"low": 0.0, "high": 1.0}
unit_values = hnp.arrays(np.float64, (2, 3, 7), elements=st.floats(0, 1, width=32))
walks = hnp.arrays(np.float64, (2, 2, 40), elements=st.floats(-1, 1, width=32)).map(lambda d: d.cumsum(2))


def error(encoder, x) -> torch.Tensor:
    x = torch.as_tensor(x)
    return (encoder.decode(encoder(x)) - x).abs().max()


@given(unit_values, st.integers(1, 5))
def test_direct_is_exact(x, steps):
    assert error(DirectEncoder(steps), x) == 0


@given(unit_values, st.integers(2, 64))
def test_linear_latency_is_within_half_a_step(x, steps):
    assert error(LatencyEncoder(steps, **UNIT), x) <= 1 / (2 * (steps - 1)) + 1e-9


@given(unit_values, st.integers(2, 40), st.floats(0.1, 1e4))
def test_log_latency_is_within_half_a_step_of_its_law(x, steps, alpha):
    encoder = LatencyEncoder(steps, "log", alpha=alpha, **UNIT)
    decoded = encoder.decode(encoder(torch.as_tensor(x))).numpy()
    # half a step is a factor of (1 + alpha)**(0.5 / (K - 1)) on 1 + alpha u
    factor = (1 + alpha) ** (0.5 / (steps - 1)) * (1 + 1e-9)
    ratio = (1 + alpha * decoded) / (1 + alpha * x)
    assert (ratio <= factor).all()
    assert (ratio >= 1 / factor).all()


@given(unit_values, st.floats(0.01, 0.3), st.floats(1, 50))
def test_rc_latency_is_within_half_a_step_of_its_law(x, threshold, tau):
    encoder = LatencyEncoder(30, "rc", threshold=threshold, tau=tau, clip=True, **UNIT)
    spikes = encoder(torch.as_tensor(x))
    decoded = encoder.decode(spikes).numpy()
    fired = spikes.reshape(7, 30, 2, 3).any(1).permute(1, 2, 0).numpy()
    assert (decoded[~fired] == 0).all()
    reach = lambda u: tau * np.log(u / (u - threshold))  # noqa: E731
    assert (np.abs(reach(decoded[fired]) - reach(x[fired])) <= 0.5 + 1e-6 + reach(1.0) * (decoded[fired] == 1)).all()


@given(unit_values, st.integers(1, 16), st.integers(1, 3))
def test_weighted_phase_is_within_its_last_digit(x, period, cycles):
    encoder = PhaseEncoder(period, cycles=cycles, **UNIT)
    assert error(encoder, x) <= 2.0**-period
    spikes = encoder(torch.as_tensor(x)).reshape(7, period * cycles, -1)
    worth = (spikes * encoder.weights.view(1, -1, 1)).sum(1) / cycles
    assert (worth <= torch.as_tensor(x).permute(2, 0, 1).reshape(7, -1) + 1e-12).all(), (
        "digits cut, they never round up"
    )


@given(unit_values, st.integers(1, 50), st.integers(1, 3))
def test_oscillation_phase_is_within_half_a_step(x, period, cycles):
    encoder = PhaseEncoder(period, "oscillation", cycles=cycles, **UNIT)
    assert error(encoder, x) <= 1 / (2 * period) + 1e-9
    assert (encoder(torch.as_tensor(x)).reshape(7, cycles, period, -1).sum(2) == 1).all()


@given(unit_values, st.integers(1, 9), st.integers(1, 4), st.integers(0, 9))
def test_interval_burst_is_within_half_a_spike(x, n_max, isi_min, spread):
    encoder = BurstEncoder(mode="isi", n_max=n_max, isi_min=isi_min, isi_max=isi_min + spread, **UNIT)
    assert error(encoder, x) <= 1 / (2 * n_max) + 1e-5


@given(unit_values)
def test_threshold_burst_leaves_a_bounded_charge(x):
    """With v_th = 1/8 and beta = 2 a burst from rest has at most 7 spikes, so less than 16 units are left over."""
    for steps in (8, 100):
        encoder = BurstEncoder(steps, **UNIT)
        left = torch.as_tensor(x) - encoder.decode(encoder(torch.as_tensor(x)))
        assert left.min() >= -1e-6
        assert left.max() <= 16 / steps


@given(unit_values, st.integers(3, 12), st.integers(4, 60))
def test_population_is_within_the_rounding_of_its_latencies(x, m, steps):
    encoder = PopulationEncoder(steps, n_fields=m, gamma=1.5, **UNIT)
    # d ln g <= half a step / g; the weaker of the two neighbours has g >= exp(-gamma**2 / 2), less half a step
    half = 0.5 / (steps - 1)
    weakest = max(math.exp(-(1.5**2) / 2) - half, half / 2)
    bound = encoder.sigma**2 / encoder.spacing * half * (1 / weakest + 1 / (1 - half))
    assert error(encoder, x) <= max(bound, encoder.spacing * half * 4) + 1e-6


def test_population_decoding_converges():
    x = torch.linspace(-2, 3, 501, dtype=torch.float64).reshape(1, 1, -1)
    errors = [error(PopulationEncoder(k, low=-2.0, high=3.0), x).item() for k in (11, 101, 1001)]
    assert errors[1] < errors[0] / 5
    assert errors[2] < 1e-3
    with pytest.raises(InputError, match="can be decoded with"):
        PopulationEncoder(11, cutoff=0.4, **UNIT).decode(torch.zeros(11, 1, 6))


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5, 0.9])
def test_rate_spikes_are_independent_coins(p):
    steps, trains = 400, 2000
    encoder = RateEncoder(steps, random_state=11, **UNIT)
    spikes = encoder(torch.full((trains, 1, 1), p, dtype=torch.float64)).reshape(steps, trains).numpy()
    counts = spikes.sum(0)
    assert stats.binomtest(int(counts.sum()), steps * trains, p).pvalue > 1e-3
    # frequency scatters as sqrt(p (1 - p) / K): chi-square interval of the sample variance
    ratio = counts.var(ddof=1) / (steps * p * (1 - p))
    low, high = stats.chi2.ppf([5e-4, 1 - 5e-4], trains - 1) / (trains - 1)
    assert low < ratio < high
    # successive steps are uncorrelated
    centred = spikes - p
    assert abs((centred[1:] * centred[:-1]).mean()) < 4 * p * (1 - p) / math.sqrt(spikes.size)


def test_rate_decodes_within_its_standard_error():
    x = torch.linspace(0, 1, 2001, dtype=torch.float64).reshape(1, 1, -1)
    for encoder in (
        RateEncoder(200, random_state=0, **UNIT),
        RateEncoder(200, gain=0.5, offset=0.2, random_state=0, **UNIT),
        RateEncoder(200, "poisson", f_max=200.0, dt=0.004, random_state=0, **UNIT),
    ):
        p = (encoder.gain * x + encoder.offset).clamp(0, 1)
        z = (encoder.decode(encoder(x)) - x) * encoder.gain / (p * (1 - p) / 200).sqrt().clamp(min=1e-3)
        assert z.abs().max() < 5.5
        assert z[..., 200:1800].std().item() == pytest.approx(1, abs=0.1)


def test_rate_randomness_is_an_argument():
    x = torch.full((1, 1, 100), 0.5)
    seeded, free = RateEncoder(4, random_state=1, **UNIT), RateEncoder(4, **UNIT)
    before = torch.get_rng_state()
    assert torch.equal(seeded(x), seeded(x))
    assert torch.equal(torch.get_rng_state(), before), "a seeded encoder touched the global generator"
    assert not torch.equal(free(x), free(x))
    given_generator = torch.Generator().manual_seed(1)
    assert torch.equal(seeded(x), free(x, given_generator))
    assert not torch.equal(seeded(x), free(x, given_generator)), "the generator was not advanced"
    first, state = free.run(x)
    second, _ = free.run(x, state)
    assert not torch.equal(first, second)


@given(walks, st.floats(0.25, 2.0), st.integers(1, 4))
def test_step_forward_stays_within_a_threshold(x, threshold, steps):
    jump = np.abs(np.diff(x, axis=2)).max()
    assume(jump <= threshold * steps)
    encoder = StepForwardEncoder(threshold=threshold, steps_per_sample=steps)
    signal = torch.as_tensor(x)
    decoded = encoder.decode(encoder(signal), start=signal[..., 0])
    # threshold is held in float32: it may be a little smaller than the number given
    assert (decoded - signal).abs().max() <= threshold * (1 + 1e-6) + 1e-9


@given(walks)
def test_step_forward_decodes_to_its_own_baseline(x):
    signal = torch.as_tensor(x)
    encoder = StepForwardEncoder(threshold=0.5, padding=False)
    spikes, baseline = encoder.run(signal)
    assert torch.equal(encoder.decode(spikes)[..., -1], baseline)
    assert (spikes[..., 0::2] * spikes[..., 1::2] == 0).all()


@given(walks, st.floats(0.05, 0.9), st.booleans())
def test_delta_loses_what_its_threshold_hides(x, threshold, padding):
    signal = torch.as_tensor(x)
    encoder = DeltaEncoder(threshold=threshold, padding=padding)
    start = signal[..., 0] if padding else None
    decoded = encoder.decode(encoder(signal), start=start)
    # each sample adds at most |d| (below threshold) or |d| - threshold (above) to the error
    first = torch.zeros(2, 2, 1) if padding else signal[..., :1]
    change = torch.cat([first, signal.diff(dim=2)], dim=2).abs()
    own = encoder.threshold_.item()
    lost = torch.where(change >= own, change - own, change).cumsum(2)
    assert ((decoded - signal).abs() <= lost + 1e-6).all()


def test_slow_ramp_is_lost_to_delta_and_followed_by_step_forward():
    ramp = torch.arange(1000, dtype=torch.float64).mul(0.01).reshape(1, 1, -1)
    delta, follower = DeltaEncoder(threshold=0.1), StepForwardEncoder(threshold=0.1)
    assert delta(ramp).sum() == 0
    assert (delta.decode(delta(ramp)) - ramp).abs().max() == pytest.approx(9.99), "drift without bound"
    assert (follower.decode(follower(ramp)) - ramp).abs().max() <= 0.1 + 1e-5


def test_on_only_codes_have_no_way_back():
    x = torch.randn(1, 2, 9)
    encoder = DeltaEncoder(threshold=0.5, off=False)
    assert encoder(x).shape == (9, 1, 2)
    with pytest.raises(InputError, match="cannot be decoded"):
        encoder.decode(encoder(x))


def test_change_state_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"state has shape \(2, 2\).*\(1, 2\)"):
        DeltaEncoder(threshold=0.5).run(torch.zeros(1, 2, 4), torch.zeros(2, 2))
    with pytest.raises(InputError, match="at least two samples"):
        DeltaEncoder().fit(np.zeros((3, 2, 1)))


def test_given_threshold_is_kept_by_fit():
    encoder = DeltaEncoder(threshold=0.25).fit(np.random.default_rng(0).normal(size=(3, 2, 30)))
    assert encoder.threshold_.item() == 0.25


# the fitted range


@settings(max_examples=30)
@given(
    hnp.arrays(np.float64, (3, 2, 5), elements=st.floats(-1e3, 1e3, width=32)),
    st.floats(0, 0.4),
)
def test_range_is_the_quantiles_of_each_channel(x, quantile):
    spread = np.quantile(x, 1 - quantile, axis=(0, 2)) - np.quantile(x, quantile, axis=(0, 2))
    assume((spread > 1e-3).all())
    encoder = LatencyEncoder(8, quantile=quantile).fit(x)
    for c in range(2):
        values = np.sort(x[:, c].ravel())
        assert encoder.low_[c].item() == pytest.approx(np.quantile(values, quantile), rel=1e-5, abs=1e-4)
        assert encoder.high_[c].item() == pytest.approx(np.quantile(values, 1 - quantile), rel=1e-5, abs=1e-4)


def test_range_of_signals_is_by_channel_and_of_images_global():
    signals = np.stack([np.linspace(-1e-5, 1e-5, 50), np.linspace(5, 9, 50)])[None]
    encoder = PhaseEncoder(12).fit(signals)
    assert encoder.low_.tolist() == pytest.approx([-1e-5, 5])
    x = torch.as_tensor(signals)
    assert ((encoder.decode(encoder(x)) - x).abs().amax(2) <= torch.tensor([[2e-5, 4]]) * 2.0**-12 + 1e-6).all()
    images = np.random.default_rng(0).random((4, 3, 5, 5)) * 200
    encoder = PhaseEncoder(12).fit(images)
    assert encoder.low_.shape == ()
    assert (encoder.low_.item(), encoder.high_.item()) == pytest.approx((images.min(), images.max()))
    with pytest.raises(InputError, match="the image set is constant at 3"):
        PhaseEncoder().fit(np.full((2, 1, 4, 4), 3.0))


def test_values_outside_the_range_are_clamped():
    encoder = LatencyEncoder(5, low=-1.0, high=1.0)
    spikes = encoder(torch.tensor([[[-7.0, -1.0, 1.0, 50.0]]]))
    assert spikes.reshape(4, 5).argmax(1).tolist() == [4, 4, 0, 0]
    assert encoder.decode(spikes).flatten().tolist() == [-1, -1, 1, 1]


def test_given_range_is_kept_by_fit_and_takes_signals_and_images():
    encoder = LatencyEncoder(5, low=0.0, high=255.0).fit(np.random.default_rng(0).random((2, 3, 30)))
    assert encoder.high_.item() == 255
    assert encoder(torch.zeros(1, 3, 4)).shape == (20, 1, 3)
    assert encoder(torch.zeros(1, 3, 4, 4)).shape == (5, 1, 3, 4, 4)


def test_fit_again_forgets():
    first, second = np.random.default_rng(0).normal(size=(2, 4, 3, 30))
    twice = LatencyEncoder(8).fit(first).fit(second)
    assert torch.equal(twice.low_, LatencyEncoder(8).fit(second).low_)


def test_silent_values_decode_to_the_bottom():
    encoder = LatencyEncoder(10, clip=True, threshold=0.3, low=2.0, high=4.0)
    spikes = encoder(torch.tensor([[[2.1, 3.0]]]))
    assert spikes.reshape(2, 10).sum(1).tolist() == [0, 1]
    assert encoder.decode(spikes)[0, 0, 0].item() == 2.0


def test_population_features_are_channel_major():
    encoder = PopulationEncoder(11, n_fields=4, **UNIT)
    spikes = encoder(torch.tensor([[[0.25], [0.75]]]))  # the second and third field's centres
    assert spikes[0, 0].tolist() == [0, 1, 0, 0, 0, 0, 1, 0]
    image = encoder(torch.tensor([0.25, 0.75]).view(1, 2, 1, 1))
    assert image[0, 0].flatten().tolist() == spikes[0, 0].tolist()
