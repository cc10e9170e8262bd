"""Moving window and threshold-based codes: rules by plain loops, the way back, what drift does to each."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikeneuro.encoders import DeltaEncoder, MovingWindowEncoder, StepForwardEncoder
from spikeneuro.errors import InputError

walks = hnp.arrays(np.float64, (2, 2, 25), elements=st.floats(-1, 1, width=16)).map(lambda d: d.cumsum(axis=2))


def plain_moving_window(x, threshold, window, padding):
    """On and off spikes by the book: one number at a time."""
    spikes = []
    for t, value in enumerate(x):
        before = x[max(0, t - window) : t]
        mean = sum(before) / len(before) if len(before) else (value if padding else 0.0)
        spikes.append((int(value > mean + threshold), int(value < mean - threshold)))
    return spikes


@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("window", [1, 3, 10, 40])
def test_moving_window_is_the_plain_loop(window, padding):
    x = np.random.default_rng(0).normal(size=(3, 2, 30)).cumsum(2)
    encoder = MovingWindowEncoder(threshold=0.75, window=window, padding=padding)
    spikes = encoder(torch.as_tensor(x))
    assert spikes.any()
    for b, c in itertools.product(range(3), range(2)):
        expected = plain_moving_window(x[b, c].tolist(), 0.75, window, padding)
        assert spikes[:, b, 2 * c : 2 * c + 2].int().tolist() == [list(pair) for pair in expected]


@settings(max_examples=40, deadline=None)
@given(walks, st.floats(0.125, 1.5, width=16), st.booleans())
def test_a_window_of_one_sample_is_the_delta_code(x, threshold, padding):
    signal = torch.as_tensor(x)
    ours = MovingWindowEncoder(threshold=threshold, window=1, padding=padding)
    delta = DeltaEncoder(threshold=threshold, padding=padding, strict=True)
    assert torch.equal(ours(signal), delta(signal))
    start = signal[..., 0] if padding else None
    torch.testing.assert_close(ours.decode(ours(signal), start=start), delta.decode(delta(signal), start=start))


@pytest.mark.parametrize("window", [1, 4])
def test_fitted_threshold_is_the_rule(window):
    x = np.random.default_rng(1).normal(size=(4, 2, 20)).cumsum(2)
    encoder = MovingWindowEncoder(window=window, factor=0.7).fit(x)
    for c in range(2):
        per_trial = []
        for trial in x[:, c]:
            away = [abs(trial[t] - np.mean(trial[max(0, t - window) : t])) for t in range(1, 20)]
            mean = sum(away) / len(away)
            per_trial.append(mean + 0.7 * math.sqrt(sum((d - mean) ** 2 for d in away) / len(away)))
        assert encoder.threshold_[c].item() == pytest.approx(np.mean(per_trial), rel=1e-5)


def test_thresholds_are_learned_on_what_fit_is_given():
    rng = np.random.default_rng(2)
    quiet, loud = rng.normal(size=(5, 1, 50)), 10 * rng.normal(size=(5, 1, 50))
    for kind in (DeltaEncoder, StepForwardEncoder, MovingWindowEncoder):
        fitted = kind().fit(quiet)
        before = fitted.threshold_.clone()
        fitted(torch.as_tensor(loud))
        assert torch.equal(fitted.threshold_, before)
        assert kind().fit(loud).threshold_.item() > 5 * before.item()


def test_strict_comparison_leaves_ties_silent():
    ramp = torch.arange(6, dtype=torch.float64).reshape(1, 1, -1)
    assert DeltaEncoder(threshold=1.0)(ramp).sum() == 5
    assert DeltaEncoder(threshold=1.0, strict=True)(ramp).sum() == 0
    assert DeltaEncoder(threshold=0.999, strict=True)(ramp).sum() == 5
    fitted = DeltaEncoder(strict=True).fit(ramp)  # the threshold of a constant slope is the slope
    assert fitted.threshold_.item() == 1.0
    assert fitted(ramp).sum() == 0


@settings(max_examples=40, deadline=None)
@given(walks, st.floats(0.25, 2.0, width=16))
def test_strict_delta_differs_from_the_other_at_ties_only(x, threshold):
    signal = torch.as_tensor(x)
    change = signal.diff(dim=2).abs()
    assume(not (change == threshold).any())
    assert torch.equal(
        DeltaEncoder(threshold=threshold)(signal), DeltaEncoder(threshold=threshold, strict=True)(signal)
    )


def test_slow_ramp():
    """Delta is silent and drifts without bound, step-forward follows, a long window sees the ramp as a whole."""
    ramp = torch.arange(1000, dtype=torch.float64).mul(0.01).reshape(1, 1, -1)
    assert DeltaEncoder(threshold=0.1, strict=True)(ramp).sum() == 0
    follower = StepForwardEncoder(threshold=0.1)
    assert (follower.decode(follower(ramp)) - ramp).abs().max() <= 0.1 + 1e-5
    # the mean of w samples lags (w + 1) / 2 of them behind: 0.01 * 20.5 exceeds the threshold, 0.01 * 5.5 does not
    assert MovingWindowEncoder(threshold=0.1, window=40)(ramp)[40:, 0, 0].all()
    assert MovingWindowEncoder(threshold=0.1, window=10)(ramp).sum() == 0


def test_a_lasting_step_spikes_until_the_window_has_passed():
    step = torch.cat([torch.zeros(10), torch.ones(20)]).reshape(1, 1, -1)
    spikes = MovingWindowEncoder(threshold=0.5, window=6)(step)
    # k samples after the step the mean is k / 6; more than 0.5 is missing for k = 0, 1, 2
    assert spikes[:, 0, 0].nonzero().flatten().tolist() == [10, 11, 12]
    assert spikes[:, 0, 1].sum() == 0


def plain_decode(spikes, threshold, window, start):
    values = []
    for on, off in spikes:
        before = values[-window:]
        values.append((sum(before) / len(before) if before else start) + threshold * (on - off))
    return values


def test_decoding_runs_the_rule_backward():
    x = torch.as_tensor(np.random.default_rng(3).normal(size=(1, 1, 40)).cumsum(2))
    encoder = MovingWindowEncoder(threshold=0.5, window=4)
    spikes = encoder(x)
    expected = plain_decode(spikes[:, 0].tolist(), 0.5, 4, x[0, 0, 0].item())
    assert encoder.decode(spikes, start=x[..., 0]).flatten().tolist() == pytest.approx(expected)


def test_decoding_inverts_what_moves_by_the_threshold():
    """A signal that the decoder can make comes back: each sample is its recent mean, or half a unit off it."""
    rng = np.random.default_rng(4)
    net = rng.integers(-1, 2, size=60)
    made = plain_decode([(int(n > 0), int(n < 0)) for n in net], 0.5, 3, 2.0)
    x = torch.tensor(made, dtype=torch.float64).reshape(1, 1, -1)
    encoder = MovingWindowEncoder(threshold=0.499, window=3)
    spikes = encoder(x)
    assert (spikes[1:, 0, 0] - spikes[1:, 0, 1]).tolist() == net[1:].tolist()
    encoder.threshold_ = torch.tensor(0.5)
    torch.testing.assert_close(encoder.decode(spikes, start=x[..., 0]), x)


def test_state_of_another_shape_is_refused():
    encoder = MovingWindowEncoder(threshold=0.5, window=3)
    x = torch.zeros(1, 2, 4)
    for shape in ((1, 2), (3, 2, 2), (4, 1, 2), (0, 1, 2)):
        with pytest.raises(InputError, match=r"\(1 to 3, batch, channels\).*\(1, 2\)"):
            encoder.run(x, torch.zeros(shape))


def test_constant_signal_is_silent_and_constant_training_data_are_refused():
    constant = torch.full((2, 1, 50), 0.1)
    assert MovingWindowEncoder(threshold=1e-6, window=7)(constant).sum() == 0
    for flat in (constant, np.full((2, 1, 50_000), 0.1)):
        with pytest.raises(InputError, match=r"channel 0 \(of 1 such\) is constant"):
            MovingWindowEncoder().fit(flat)
    with pytest.raises(InputError, match="at least two samples"):
        MovingWindowEncoder().fit(np.zeros((3, 2, 1)))
    with pytest.raises(InputError, match="cannot be decoded"):
        MovingWindowEncoder(threshold=1.0, off=False).decode(torch.zeros(4, 1, 1))
