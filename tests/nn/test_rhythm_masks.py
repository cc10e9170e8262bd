"""The mask generator against a slow loop, the statistics of the published settings, and mistakes."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, MixRhythm, Rhythm, RhythmPattern, RhythmWarning, ThresholdOscillation

pytestmark = pytest.mark.filterwarnings("ignore::spikeneuro.nn.RhythmWarning")
ROUND = {"round": np.round, "ceil": np.ceil}


def by_hand(n, cycle, duty, phase, rounding, steps):
    """The rule in words: lists of ones and zeros, rolled right, repeated."""
    whole, rows = ROUND[rounding], []
    cycles, duties = np.linspace(*cycle, n), np.linspace(*duty, n)
    delays = np.linspace(0, int(phase * cycle[1]), n)
    for k in range(n):
        length = int(whole(cycles[k]))
        on, delay = int(whole(duties[k] * length)), int(np.round(delays[k]))
        row = [1] * on + [0] * (length - on)
        if delay < length:
            for _ in range(delay):
                row = [row[-1], *row[:-1]]
        rows.append((row * (steps // length + 1))[:steps])
    return np.array(rows, dtype=bool).T


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 30), low=st.integers(1, 20), more=st.integers(0, 40), duty=st.tuples(*[st.floats(0, 1)] * 2),
    phase=st.floats(0, 1), rounding=st.sampled_from(["round", "ceil"]), start=st.integers(0, 500),
)  # fmt: skip
def test_the_mask_is_that_of_a_slow_loop(n, low, more, duty, phase, rounding, start):
    pattern = Rhythm((low, low + more), duty, phase, rounding=rounding).bind((n,))
    expected = by_hand(n, (low, low + more), duty, phase, rounding, 640)
    assert np.array_equal(pattern.mask(640)[:, 0].numpy(), expected)
    assert np.array_equal(pattern.mask(140, start)[:, 0].numpy(), expected[start : start + 140])
    assert pattern.dead.tolist() == np.flatnonzero(~expected.any(0)).tolist()
    assert pattern.always_on.tolist() == np.flatnonzero(expected.all(0)).tolist()
    assert pattern.on_fraction(640) == pytest.approx(expected.mean(), abs=1e-12)


# neurons, cycle, duty, phase, rounding, steps -> mean ON fraction, dead, always ON (None: not stated), ON for one step
PUBLISHED = {
    "ps-mnist 1": ((64, (10, 100), (0.01, 0.1), 0.5, "round", 784), 0.0537, 9, None, 11),
    "ps-mnist 2": ((256, (20, 100), (0.01, 0.1), 0.5, "round", 784), 0.0545, 24, None, 48),
    "ps-mnist 3": ((256, (30, 100), (0.01, 0.1), 0.5, "round", 784), 0.0550, 14, None, 49),
    "dvs 512": ((512, (1, 50), (0.1, 0.5), 0.5, "round", 500), 0.2924, 32, None, None),
    "dvs 1024": ((1024, (1, 50), (0.1, 0.5), 0.5, "round", 500), 0.2922, 64, None, None),
    "s-mnist 64": ((64, (1, 50), (0.1, 0.5), 0.5, "ceil", 784), 0.3483, 0, None, None),
    "s-mnist 256": ((256, (1, 50), (0.1, 0.5), 0.5, "ceil", 784), 0.3384, 0, None, None),
    "shd": ((64, (10, 60), (0.15, 0.99), 0.3, "ceil", 1000), 0.5866, 0, 1, None),
    "n-dns 256": ((256, (10, 50), (0.05, 0.1), 0.5, "ceil", 300), 0.0929, 0, None, 45),
    "n-dns 320": ((320, (10, 50), (0.05, 0.1), 0.5, "ceil", 300), 0.0929, 0, None, 56),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_statistics_of_the_published_settings(name):
    (n, cycle, duty, phase, rounding, steps), fraction, dead, always, single = PUBLISHED[name]
    pattern = Rhythm(cycle, duty, phase, rounding=rounding).bind((n,))
    assert pattern.on_fraction(steps) == pytest.approx(fraction, abs=1.01e-4 if "n-dns" in name else 5.1e-5)
    assert len(pattern.dead) == dead
    assert always is None or len(pattern.always_on) == always
    assert single is None or int((pattern.on_lengths == 1).sum()) == single


@pytest.mark.parametrize(
    ("n", "cycle", "duty", "rounding", "fraction", "always"),
    [
        (256, (1, 10), (0.8, 0.9), "round", 0.846, 43),  # delayed recall
        (512, (1, 30), (0.7, 1.0), "ceil", 0.9009, 100),  # VoxCeleb, adaptive
        (512, (10, 50), (0.75, 0.95), "ceil", 0.8670, None),  # VoxCeleb
    ],
)
def test_statistics_of_settings_for_sequences_of_unstated_length(n, cycle, duty, rounding, fraction, always):
    pattern = Rhythm(cycle, duty, rounding=rounding).bind((n,))
    assert pattern.on_fraction() == pytest.approx(fraction, abs=3e-3)
    assert len(pattern.dead) == 0
    assert always is None or len(pattern.always_on) == always


@pytest.mark.parametrize("n", [6, 36, 64, 200, 256, 512, 1024])
@pytest.mark.parametrize("duty", [(0.95, 1.0), (0.95, 0.99)])  # GSC and ECG with dendrites; PTB
def test_three_released_settings_modulate_nothing_and_say_so(n, duty):
    with pytest.warns(RhythmWarning, match="mean ON fraction is 1"):
        pattern = Rhythm((10, 50), duty, 0.5, rounding="ceil").bind((n,))
    assert bool(pattern.mask(300).all())
    assert pattern.on_fraction() == 1.0


def test_dead_neurons_are_listed():
    with pytest.warns(RhythmWarning, match=r"9 of 64 neurons are never ON \(0, 1, 2, 3, 4, 5, 6, 7, 8\)"):
        Rhythm((10, 100), (0.01, 0.1), 0.5).bind((64,))
    with pytest.warns(RhythmWarning, match=r"64 of 1024 neurons are never ON \(0, .*, \.\.\.\)"):
        LIF(1024, rhythm=Rhythm((1, 50), (0.1, 0.5), 0.5))


@pytest.mark.parametrize("options", [{"min_on": 1}, {"rounding": "ceil"}])
def test_ways_out_of_dead_neurons_do_not_warn(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pattern = Rhythm((10, 100), (0.01, 0.1), 0.5, **options).bind((64,))
    assert bool(pattern.mask(100).any(0).all())


def test_a_half_rounds_to_the_even_number():
    pattern = Rhythm(
        torch.tensor([2.5, 3.5, 10.0, 10.0]), torch.tensor([1.0, 1.0, 0.25, 0.35], dtype=torch.float64)
    ).bind((4,))
    assert pattern.cycle.tolist() == [2.0, 4.0, 10.0, 10.0]
    assert pattern.on_lengths.tolist() == [2.0, 4.0, 2.0, 4.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_values_of_low_precision_are_the_decimal_numbers_they_stand_for(dtype):
    """0.1 in single precision is above 0.1 in double; of ten steps it must not be rounded up to two."""
    duty = torch.tensor([0.1, 0.2, 0.3, 0.7], dtype=dtype)
    for values in (duty, duty.numpy(), duty.clone().requires_grad_()):
        pattern = Rhythm(10, values, rounding="ceil").bind((4,))
        assert pattern.on_lengths.tolist() == [1.0, 2.0, 3.0, 7.0]
    seconds = torch.tensor([0.004, 0.1], dtype=dtype)
    pattern = Rhythm(seconds, 0.5, unit="seconds", dt=0.004, rounding="ceil").bind((2,))
    assert pattern.cycle.tolist() == [1.0, 25.0]


def test_a_delay_of_a_cycle_or_more_is_none_unless_wrapped():
    cycle, delay = torch.tensor([4.0, 4.0, 4.0]), torch.tensor([3.0, 4.0, 6.0])
    rows = Rhythm(cycle, 0.25, delay).bind((3,)).mask(5)[:, 0].int().T.tolist()
    assert rows == [[0, 0, 0, 1, 0], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1]]
    rows = Rhythm(cycle, 0.25, delay, wrap=True).bind((3,)).mask(5)[:, 0].int().T.tolist()
    assert rows == [[0, 0, 0, 1, 0], [1, 0, 0, 0, 1], [0, 0, 1, 0, 0]]


def test_drawn_values_vary_by_themselves_and_follow_the_generator():
    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        return Rhythm((10, 100), (0.1, 0.5), 0.5, across="drawn", generator=generator).bind((2000,))

    pattern = drawn(0)
    duty = pattern.on_lengths / pattern.cycle
    assert torch.equal(pattern.mask(50), drawn(0).mask(50))
    assert not torch.equal(pattern.cycle, drawn(1).cycle)
    assert abs(float(torch.corrcoef(torch.stack([pattern.cycle, duty]))[0, 1])) < 0.1
    assert float(pattern.cycle.mean()) == pytest.approx(55, abs=2)
    assert float(duty.mean()) == pytest.approx(0.3, abs=0.01)
    assert pattern.cycle.min() >= 10
    assert pattern.cycle.max() <= 100
    assert pattern.delay.min() >= 0
    assert pattern.delay.max() <= 50


def test_units_agree():
    steps = Rhythm((25, 50), 0.4).bind((6,))
    seconds = Rhythm((0.1, 0.2), 0.4, unit="seconds", dt=0.004).bind((6,))
    hertz = Rhythm(torch.tensor([10.0]), 0.4, unit="hertz", dt=0.004).bind((1,))
    assert torch.equal(steps.mask(200), seconds.mask(200))
    assert torch.equal(hertz.mask(200)[:, :, 0], steps.mask(200)[:, :, 0])
    # 0.028 / 0.004 is a little more than 7 in binary fractions
    assert Rhythm(0.028, 0.5, unit="seconds", dt=0.004, rounding="ceil").bind((1,)).cycle.tolist() == [7.0]
    later = Rhythm(0.1, 0.4, torch.tensor([0.04]), unit="seconds", dt=0.004).bind((1,))
    assert later.delay.tolist() == [10.0]


@pytest.mark.parametrize(
    ("band", "low", "high"), [("delta", 0.5, 4), ("theta", 4, 8), ("alpha", 8, 13), ("beta", 13, 30), ("gamma", 30, 80)]
)
def test_a_band_keeps_its_frequencies_over_any_time(band, low, high):
    """After ten minutes the rhythm has made as many cycles as its frequency says, where whole steps would drift."""
    dt = 1 / 250
    pattern = Rhythm.from_band(band, dt=dt).bind((5,))
    start = 600 * 250
    mask = pattern.mask(20 * 250, start)[:, 0].numpy()
    hertz = np.linspace(low, high, 5)
    t = np.arange(start, start + 20 * 250) * dt
    inside = np.mod(t[:, None] * hertz, 1.0)
    sure = np.abs(np.mod(inside + 0.25, 0.5) - 0.25) > 0.01  # away from the edges of the ON part
    assert np.array_equal(mask[sure], (inside < 0.5)[sure])
    assert sure.mean() > 0.9


def test_the_mix_mask_is_built_as_published():
    n, low, high, steps = 36, 1, 3, 60

    def published():
        one = np.array([[t % cycle == 0 for t in range(steps)] for cycle in range(low, high + 1)])
        return np.concatenate([np.roll(one, group, axis=1) for group in range(n // 3 + 1)])[:n]

    # 60 is a multiple of every cycle, so that rolling the sequence and rolling the cycle are one
    assert np.array_equal(MixRhythm(low, high).bind((n,)).mask(steps)[:, 0].numpy().T, published())
    assert MixRhythm(1, 2).bind((36,)).on_fraction() == pytest.approx(0.75)


def test_masks_fit_feature_maps_and_shapes_of_no_neurons():
    pattern = Rhythm((4, 8), 0.5).bind((3, 1, 1))
    assert pattern.mask(10).shape == (10, 1, 3, 1, 1)
    assert Rhythm(4, 0.5).bind(()).mask(10, n_features=3).shape == (10, 1, 1, 1, 1)
    assert pattern.mask(0).shape == (0, 1, 3, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_change_of_type_changes_no_mask(dtype):
    layer = LIF(16, rhythm=Rhythm.from_band("gamma", dt=0.004), dt=0.004)
    before = layer.rhythm.mask(5000)
    assert torch.equal(layer.to(dtype).rhythm.mask(5000), before)


def test_the_mask_travels_with_the_weights_and_is_not_trained():
    def layer(seed):
        generator = torch.Generator().manual_seed(seed)
        return LIF(16, learn="tau_mem", rhythm=Rhythm((5, 20), 0.5, 0.5, across="drawn", generator=generator))

    one, other = layer(0), layer(1)
    assert not torch.equal(one.rhythm.mask(40), other.rhythm.mask(40))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.rhythm.mask(40), other.rhythm.mask(40))
    assert torch.equal(copy.deepcopy(one).rhythm.mask(40), one.rhythm.mask(40))
    assert not list(one.rhythm.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duty": 1.2}, "duty must lie"),
        ({"duty": (-0.1, 0.5)}, "duty must lie"),
        ({"duty": torch.tensor([0.1, 1.5])}, "largest of duty"),
        ({"cycle": 0}, "cycle must lie"),
        ({"cycle": (0, 10)}, "cycle must lie"),
        ({"cycle": (5, math.inf)}, "finite"),
        ({"cycle": math.nan}, "cycle must lie"),
        ({"cycle": torch.tensor([5.0, math.nan])}, "finite"),
        ({"cycle": (1, 2, 3)}, "a range"),
        ({"cycle": "ten"}, "a range"),
        ({"phase": 1.5}, "phase must lie"),
        ({"phase": torch.tensor([-1.0])}, "least of phase"),
        ({"unit": "step"}, "did you mean 'steps'"),
        ({"unit": "hertz"}, "dt is needed"),
        ({"dt": 0.004}, "dt is not used"),
        ({"unit": "hertz", "dt": 0.004, "cycle": (40, 130)}, "cycle must lie in"),
        ({"unit": "seconds", "dt": 0.004, "cycle": 0.001}, "cycle must lie in"),
        ({"rounding": "floor"}, "rounding"),
        ({"min_on": 2}, "min_on"),
        ({"across": "random"}, "across"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(InputError, match=message):
        Rhythm(**{"cycle": 10, "duty": 0.5} | options)


def test_mistakes_that_a_layer_finds():
    with pytest.raises(InputError, match="cycle has 3 values for a layer of 4 neurons"):
        LIF(4, rhythm=Rhythm(torch.tensor([3.0, 4.0, 5.0]), 0.5))
    with pytest.raises(InputError, match="phase has 2 values"):
        LIF(4, rhythm=Rhythm(10, 0.5, torch.tensor([3.0, 4.0])))
    with pytest.raises(InputError, match=r"rhythm has dt=0\.001 and its layer dt=0\.004"):
        LIF(4, rhythm=Rhythm(10.0, 0.5, unit="hertz", dt=0.001))
    with pytest.raises(InputError, match="at least one ON step"):
        LIF(4, rhythm=Rhythm(10, 0.01, rounding="none"))
    with pytest.raises(InputError, match="rhythm must be a Rhythm"):
        LIF(4, rhythm=torch.ones(10, 1, 4))
    with pytest.raises(InputError, match="did you mean 'theta'"):
        Rhythm.from_band("tehta", dt=0.004)
    with pytest.raises(InputError, match="cycle must lie"):
        Rhythm.from_band("gamma", dt=0.01)
    with pytest.raises(InputError, match="longest must lie"):
        MixRhythm(3, 2)
    with pytest.raises(InputError, match="depth must lie"):
        ThresholdOscillation(1.0, 6.0)
    with pytest.raises(InputError, match="frequency must lie"):
        ThresholdOscillation(0.5, 200.0, dt=0.004)
    with pytest.raises(InputError, match="one value for each of 3"):
        RhythmPattern(torch.ones(2), torch.ones(2), torch.ones(2), (3,))
    with pytest.raises(InputError, match="at least one step"):
        RhythmPattern(torch.zeros(1), torch.ones(1), torch.ones(1), (1,))
