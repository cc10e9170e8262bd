"""Codes that other frameworks define, too, compared spike for spike; rules compared with plain loops."""

import itertools
import math

import numpy as np
import pytest
import torch
from snntorch import spikegen

from spikeneuro.encoders import (
    BurstEncoder,
    DeltaEncoder,
    LatencyEncoder,
    PhaseEncoder,
    PopulationEncoder,
    RateEncoder,
    StepForwardEncoder,
)

UNIT = {"low": 0.0, "high": 1.0}


@pytest.fixture
def unit_image() -> torch.Tensor:
    values = np.random.default_rng(0).random((2, 3, 8, 8))
    values[0, 0, 0, :4] = [0, 1, 0.5, 0.25]
    return torch.as_tensor(values, dtype=torch.float32)


@pytest.fixture
def signal() -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.as_tensor(rng.normal(size=(5, 3, 60)).cumsum(2), dtype=torch.float32)


@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("off", [True, False])
def test_delta_is_snntorch(signal, padding, off):
    ours = DeltaEncoder(threshold=0.7, padding=padding, off=off)(signal)
    theirs = spikegen.delta(signal.permute(2, 0, 1), threshold=0.7, padding=padding, off_spike=off)
    assert torch.equal(ours[..., ::2] if off else ours, (theirs > 0).float())
    if off:
        assert torch.equal(ours[..., 1::2], (theirs < 0).float())


def test_latency_rc_is_snntorch(unit_image):
    steps, tau, threshold = 12, 2.5, 0.1
    for clip in (True, False):
        encoder = LatencyEncoder(steps, "rc", clip=clip, tau=tau, threshold=threshold, **UNIT)
        theirs = spikegen.latency(unit_image, num_steps=steps, threshold=threshold, tau=tau, clip=clip, bypass=True)
        in_time = theirs.sum(0) > 0  # snnTorch drops the late ones, also when told not to clip
        ours = encoder(unit_image)
        assert torch.equal(ours[:, in_time], theirs[:, in_time])
        late = ours[:, ~in_time]
        assert late.sum() == (0 if clip else late[-1].numel())


def test_latency_linear_is_snntorch_above_its_threshold(unit_image):
    ours = LatencyEncoder(20, clip=True, **UNIT)(unit_image)
    theirs = spikegen.latency(unit_image, num_steps=20, normalize=True, linear=True, clip=True)
    assert torch.equal(ours, theirs)


def test_latency_is_spikingjelly(unit_image):
    encoding = pytest.importorskip("spikingjelly.activation_based.encoding")
    steps = 9
    for mode, alpha in (("linear", 99.0), ("log", math.expm1(steps - 1))):
        theirs = encoding.LatencyEncoder(steps, enc_function=mode).single_step_encode(unit_image)
        ours = LatencyEncoder(steps, mode, alpha=alpha, **UNIT)(unit_image)
        # their log law exceeds float32's exact range of exp, so a rounding tie may fall the other way
        assert (ours != theirs).float().mean() <= (0 if mode == "linear" else 0.002)


def test_weighted_phase_is_spikingjelly_and_kims_table(unit_image):
    encoding = pytest.importorskip("spikingjelly.activation_based.encoding")
    coded = unit_image.clamp(max=1 - 2**-8)
    theirs = encoding.WeightedPhaseEncoder(8).single_step_encode(coded)
    assert torch.equal(PhaseEncoder(8, **UNIT)(unit_image), theirs)
    table = {192: "11000000", 1: "00000001", 128: "10000000", 255: "11111111"}
    values = torch.tensor([[list(table)]], dtype=torch.float64) / 256
    spikes = PhaseEncoder(8, **UNIT)(values).reshape(4, 8)
    assert ["".join(str(int(bit)) for bit in row) for row in spikes] == list(table.values())


def test_poisson_rate_is_norse(unit_image):
    encode = pytest.importorskip("norse.torch.functional.encode")
    theirs = encode.poisson_encode(unit_image, 50, f_max=80, dt=0.004, generator=torch.Generator().manual_seed(5))
    encoder = RateEncoder(50, "poisson", f_max=80.0, dt=0.004, **UNIT)
    assert torch.equal(encoder(unit_image, torch.Generator().manual_seed(5)), theirs)
    assert torch.equal(RateEncoder(50, "poisson", f_max=80.0, dt=0.004, random_state=5, **UNIT)(unit_image), theirs)


def test_bernoulli_rate_matches_snntorch_at_the_sure_values(unit_image):
    sure = unit_image.round()
    ours = RateEncoder(6, **UNIT)(sure)
    assert torch.equal(ours, spikegen.rate(sure, num_steps=6))


def test_population_matches_norse_kernel_at_its_own_centres():
    """Norse's Gaussian at our centres and width gives our activations."""
    encode = pytest.importorskip("norse.torch.functional.encode")
    encoder = PopulationEncoder(11, n_fields=5, gamma=1.5, low=-2.0, high=4.0)
    x = torch.linspace(-2, 4, 13, dtype=torch.float64).reshape(1, 1, -1)
    spread = 6.0
    i = torch.arange(1, 6, dtype=torch.float64)
    centres = -2 + (2 * i - 3) / 2 * spread / 3
    expected = encode.gaussian_rbf(encode.euclidean_distance(x.reshape(-1, 1), centres), sigma=spread / (1.5 * 3))
    torch.testing.assert_close(encoder.activations(x).reshape(13, 5), expected, rtol=1e-6, atol=1e-9)


def plain_step_forward(x, threshold, baseline, steps):
    """Step-forward by the book: one number at a time."""
    spikes = []
    for value in x:
        for _ in range(steps):
            if value >= baseline + threshold:
                baseline = type(baseline)(baseline + threshold)
                spikes.append((1, 0))
            elif value <= baseline - threshold:
                baseline = type(baseline)(baseline - threshold)
                spikes.append((0, 1))
            else:
                spikes.append((0, 0))
    return spikes, baseline


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 3])
def test_step_forward_is_the_plain_loop(signal, dtype, steps):
    signal = signal.to(dtype)
    encoder = StepForwardEncoder(steps_per_sample=steps).fit(signal)
    thresholds = encoder.threshold_.to(dtype).numpy()
    spikes, end = encoder.run(signal)
    for b in range(signal.shape[0]):
        for c in range(signal.shape[1]):
            series = signal[b, c].numpy()
            expected, baseline = plain_step_forward(series, thresholds[c], series[0], steps)
            assert spikes[:, b, 2 * c : 2 * c + 2].int().tolist() == [list(pair) for pair in expected]
            assert end[b, c].item() == baseline


@pytest.mark.parametrize("kind", [DeltaEncoder, StepForwardEncoder])
def test_fitted_threshold_is_the_rule(signal, kind):
    encoder = kind(factor=0.5).fit(signal)
    for c in range(signal.shape[1]):
        per_trial = []
        for trial in signal[:, c].double().tolist():
            change = [abs(b - a) for a, b in itertools.pairwise(trial)]
            mean = sum(change) / len(change)
            per_trial.append(mean + 0.5 * math.sqrt(sum((d - mean) ** 2 for d in change) / len(change)))
        assert encoder.threshold_[c].item() == pytest.approx(sum(per_trial) / len(per_trial), rel=1e-6)


def plain_burst(u, steps, v_th, beta):
    membrane, gain, spikes, value = 0.0, 1.0, [], 0.0
    for _ in range(steps):
        membrane += u
        spike = membrane >= gain * v_th
        if spike:
            membrane -= gain * v_th
            value += gain * v_th
        gain = gain * beta if spike else 1.0
        spikes.append(int(spike))
    return spikes, value / steps, membrane / steps


@pytest.mark.parametrize(("v_th", "beta", "steps"), [(0.125, 2.0, 16), (0.3, 1.5, 9), (1.0, 3.0, 40)])
def test_threshold_burst_is_the_plain_loop(v_th, beta, steps):
    values = torch.linspace(0, 1, 41, dtype=torch.float64).reshape(1, 1, -1)
    encoder = BurstEncoder(steps, v_th=v_th, beta=beta, **UNIT)
    spikes = encoder(values)
    decoded = encoder.decode(spikes)
    trains = spikes.reshape(41, steps).int().tolist()
    for u, train, value in zip(values.flatten().tolist(), trains, decoded.flatten().tolist(), strict=True):
        expected, reconstruction, residual = plain_burst(u, steps, v_th, beta)
        assert train == expected
        assert value == pytest.approx(reconstruction, abs=1e-9)
        assert u - value == pytest.approx(residual, abs=1e-9)


@pytest.mark.parametrize(("n_max", "isi_min", "isi_max"), [(5, 2, 6), (1, 1, 1), (4, 3, 3), (7, 1, 12)])
def test_interval_burst_is_its_formula(n_max, isi_min, isi_max):
    encoder = BurstEncoder(mode="isi", n_max=n_max, isi_min=isi_min, isi_max=isi_max, **UNIT)
    values = np.random.default_rng(3).random(500)
    trains = encoder(torch.as_tensor(values).reshape(1, 1, -1)).reshape(500, -1)
    for u, train in zip(values, trains, strict=True):
        number = math.ceil(n_max * u)
        interval = math.ceil(-(isi_max - isi_min) * u + isi_max)
        assert train.nonzero().flatten().tolist() == [i * interval for i in range(number)]


def test_interval_burst_at_boundaries_that_floats_miss():
    """25 * 0.6 is above 15 in float32, and must not give a sixteenth spike."""
    assert (25 * torch.tensor(0.6)).ceil() == 16
    encoder = BurstEncoder(mode="isi", n_max=25, isi_min=1, isi_max=1, **UNIT)
    spikes = encoder(torch.arange(26).div(25).reshape(1, 1, -1)).reshape(26, -1)
    assert spikes.sum(1).tolist() == list(range(26))


def test_step_forward_fires_at_the_threshold_itself():
    signal = torch.tensor([[[0.0, 1.0, 1.0, 3.0, 1.0, -1.0, 0.0]]])
    spikes, baseline = StepForwardEncoder(threshold=1.0).run(signal)
    on, off = spikes[:, 0, 0].tolist(), spikes[:, 0, 1].tolist()
    assert on == [0, 1, 0, 1, 0, 0, 0]
    assert off == [0, 0, 0, 0, 1, 1, 0]
    assert baseline.item() == 0


def test_population_spike_times_are_bohtes():
    """Centres, widths and ten intervals, worked out from the paper's formula one value at a time."""
    m, low, high, gamma = 6, -1.0, 3.0, 1.5
    encoder = PopulationEncoder(11, n_fields=m, gamma=gamma, low=low, high=high)
    values = [-1.0, -0.2, 0.9, 1.7, 3.0]
    spikes = encoder(torch.tensor([[values]], dtype=torch.float64)).reshape(len(values), 11, m)
    for x, code in zip(values, spikes, strict=True):
        for i in range(1, m + 1):
            centre = low + (2 * i - 3) / 2 * (high - low) / (m - 2)
            sigma = (high - low) / (gamma * (m - 2))
            g = math.exp(-((x - centre) ** 2) / (2 * sigma**2))
            expected = [] if g < 0.1 else [round(10 * (1 - g))]
            assert code[:, i - 1].nonzero().flatten().tolist() == expected
