"""What holds for every encoder: the table, axes, saving, streaming, independence, and the errors users meet."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from spikeneuro import encoders, energy
from spikeneuro.encoders import ENCODERS, ChangeEncoder, Encoder, IntensityEncoder
from spikeneuro.errors import InputError

CHANNELS, TIMES = 3, 20

# every form of every code, as users would build it
CASES = {
    "direct": {"steps_per_sample": 3},
    "rate": {"steps_per_sample": 4, "random_state": 7},
    "rate:poisson": {"mode": "poisson", "f_max": 400.0, "dt": 0.001, "random_state": 7},
    "latency": {"steps_per_sample": 5},
    "latency:log": {"steps_per_sample": 6, "mode": "log", "clip": True},
    "latency:rc": {"steps_per_sample": 6, "mode": "rc", "threshold": 0.2},
    "delta": {"steps_per_sample": 2},
    "delta:on-only": {"off": False, "padding": False},
    "delta:strict": {"strict": True},
    "step-forward": {"steps_per_sample": 2},
    "step-forward:on-only": {"off": False},
    "moving-window": {"steps_per_sample": 2, "window": 3},
    "moving-window:on-only": {"off": False, "padding": False},
    "bsa": {},
    "bsa:given": {"fir": [0.5, 0.3], "threshold": 0.1, "steps_per_sample": 2, "quantile": 0.05},
    "population": {"steps_per_sample": 7, "n_fields": 4},
    "phase": {"period": 5, "cycles": 2},
    "phase:oscillation": {"period": 6, "mode": "oscillation"},
    "burst": {"steps_per_sample": 9},
    "burst:isi": {"mode": "isi"},
}


def build(case: str) -> Encoder:
    return encoders.create(case.partition(":")[0], **CASES[case])


@pytest.fixture(params=CASES)
def case(request) -> str:
    return request.param


@pytest.fixture
def signal() -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(0).normal(size=(4, CHANNELS, TIMES)).cumsum(2), dtype=torch.float32)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(1).random((4, 2, 5, 6)), dtype=torch.float32)


def test_every_encoder_of_the_table_is_tested_and_explained():
    assert {case.partition(":")[0] for case in CASES} == set(ENCODERS)
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "encoders.md").read_text(encoding="utf-8")
    for kind in ENCODERS.values():
        assert kind.__name__ in page
        assert "References" in kind.__doc__
        assert "Output shape" in kind.__doc__


def test_names_and_create():
    assert encoders.names() == list(ENCODERS)
    assert set(encoders.names(images=True)) | set(encoders.names(images=False)) == set(ENCODERS)
    with pytest.raises(InputError, match=r"'latancy' is unknown; did you mean 'latency'\?"):
        encoders.create("latancy")
    with pytest.raises(InputError, match=r"no parameter 'treshold'; did you mean 'threshold'\?"):
        encoders.create("delta", treshold=0.1)


def test_signal_shape_dtype_and_values(case, signal):
    encoder = build(case).fit(signal)
    assert encoder.fitted
    for dtype in (torch.float32, torch.float64):
        spikes = encoder(signal.to(dtype))
        assert spikes.shape == (encoder.n_steps(TIMES), 4, encoder.out_features(CHANNELS))
        assert spikes.shape[0] == TIMES * encoder.steps_per_sample
        assert spikes.dtype == dtype
        assert encoder.graded or set(spikes.unique().tolist()) <= {0.0, 1.0}
        assert spikes.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken(case, signal, dtype):
    signal = signal.to(dtype)
    spikes = build(case).fit(signal)(signal)
    assert spikes.dtype == dtype
    assert torch.isfinite(spikes).all()


def test_long_windows_hold_one_spike_in_half_precision():
    """Bfloat16 counts to 256 only; the steps of a window must not run together."""
    x = torch.linspace(0, 1, 40, dtype=torch.bfloat16).reshape(1, 1, -1)
    spikes = encoders.LatencyEncoder(1000, low=0.0, high=1.0)(x).reshape(40, 1000)
    assert (spikes.float().sum(1) == 1).all()


def test_the_ledger_tells_spikes_from_numbers(case, signal):
    """Spikes behind a linear layer cost one addition for each weight they meet; direct current costs products."""
    encoder = build(case).fit(signal).eval()  # as the ledger counts it
    n_features = encoder.out_features(CHANNELS)
    counted = energy.count(torch.nn.Sequential(encoder, torch.nn.Linear(n_features, 5)), signal)
    active = int((encoder(signal) != 0).sum()) * 5 / len(signal)
    possible = encoder.n_steps(TIMES) * n_features * 5
    assert (counted.macs, counted.acs) == ((active, 0) if encoder.graded else (0, active))
    assert counted.dense.macs + counted.dense.acs == possible


def test_image_shape_and_values(case, image):
    encoder = build(case)
    if not encoder.takes_images:
        with pytest.raises(InputError, match="which an image has not"):
            encoder.fit(image)
        encoder.fit(image.flatten(2))
        with pytest.raises(InputError, match="which an image has not"):
            encoder(image)
        return
    spikes = encoder.fit(image)(image)
    assert spikes.shape == (encoder.n_steps(), 4, encoder.out_features(2), 5, 6)
    assert encoder.graded or set(spikes.unique().tolist()) <= {0.0, 1.0}
    assert encoder.decode(spikes).shape == image.shape


def test_features_of_a_channel_depend_on_that_channel_only(case, signal):
    encoder = build(case).fit(signal)
    changed = signal.clone()
    changed[:, 1] = changed[:, 1].flip(1)
    before, after = encoder(signal), encoder(changed)  # random codes draw the same numbers: their seed is given
    unlike = (before != after).reshape(len(before), 4, CHANNELS, encoder.features_per_channel).any(-1).any(0).any(0)
    assert unlike.tolist() == [False, True, False]


def test_spikes_of_a_trial_do_not_depend_on_the_batch(case, signal):
    encoder = build(case).fit(signal)
    assert encoder.random == case.startswith("rate")
    if encoder.random:
        assert not torch.equal(encoder(signal)[:, 1:2], encoder(signal[1:2]))  # what the flag warns of
        encoder.eval()
    together = encoder(signal)
    assert torch.equal(together[:, 1:2], encoder(signal[1:2]))
    assert torch.equal(together, encoder(signal)), "the call before left something behind"


@pytest.mark.parametrize("cuts", [[20], [1, 19], [7, 6, 7], [1] * 20])
def test_pieces_give_the_same_spikes_as_the_whole(case, signal, cuts):
    encoder = build(case).fit(signal)
    state, pieces = None, []
    for piece in signal.split(cuts, dim=2):
        spikes, state = encoder.run(piece, state)
        pieces.append(spikes)
    assert torch.equal(torch.cat(pieces), encoder(signal))


def test_state_is_a_value_not_a_memory(case, signal):
    encoder = build(case).fit(signal)
    _, state = encoder.run(signal[..., :10])
    first, _ = encoder.run(signal[..., 10:], state)
    again, _ = encoder.run(signal[..., 10:], state)
    assert torch.equal(first, again)


def test_saved_encoder_loads_into_a_fresh_one(case, signal, tmp_path):
    fitted, fresh = build(case).fit(signal), build(case)
    torch.save(torch.nn.ModuleDict({"encoder": fitted}).state_dict(), tmp_path / "weights.pt")
    saved = torch.load(tmp_path / "weights.pt", weights_only=True)
    torch.nn.ModuleDict({"encoder": fresh}).load_state_dict(saved)
    assert torch.equal(fresh(signal), fitted(signal))
    assert list(fresh.parameters()) == []
    assert torch.equal(copy.deepcopy(fitted)(signal), fitted(signal))


def test_saved_encoder_replaces_what_another_fit_learned(case, signal):
    fitted, other = build(case).fit(signal), build(case).fit(signal[:, :2] * 3)
    other.load_state_dict(fitted.state_dict())
    assert torch.equal(other(signal), fitted(signal))


def test_only_graded_codes_carry_gradients(case, signal):
    encoder = build(case).fit(signal)
    spikes = encoder(signal.clone().requires_grad_())
    assert spikes.requires_grad == encoder.graded


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiles_into_one_graph(case, signal):
    encoder = build(case).fit(signal)
    if case.startswith("rate"):
        encoder.random_state = None  # generator objects are outside torch.compile
        torch.manual_seed(3)
        expected = encoder(signal)
        torch.manual_seed(3)
    else:
        expected = encoder(signal)
    torch.compiler.reset()
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    assert torch.equal(compiled(signal), expected)


def test_integers_are_taken(case):
    counts = torch.as_tensor(np.random.default_rng(2).integers(0, 255, (2, CHANNELS, TIMES)), dtype=torch.uint8)
    encoder = build(case).fit(counts)
    assert torch.equal(encoder(counts), encoder(counts.float()))
    as_float = build(case).fit(counts.float())
    assert torch.equal(as_float(counts), encoder(counts))


def test_fit_takes_arrays_and_tensors_alike(case, signal):
    from_array, from_tensor = build(case).fit(signal.numpy()), build(case).fit(signal)
    assert torch.equal(from_array(signal), from_tensor(signal))


BAD = {
    "two axes": (lambda x: x[0], "got 2 axes"),
    "five axes": (lambda x: x[None, None], "got 5 axes"),
    "empty": (lambda x: x[:0], "without an empty axis"),
    "not a number": (lambda x: x.index_fill(2, torch.tensor([4]), torch.nan), r"NaN or infinite.*index \(0, 0, 4\)"),
    "infinite": (lambda x: x / torch.zeros(()), "NaN or infinite"),
    "complex": (lambda x: x.to(torch.complex64), "real"),
}


@pytest.mark.parametrize("problem", BAD)
def test_bad_input_is_refused_with_one_line(case, signal, problem):
    spoil, message = BAD[problem]
    encoder = build(case).fit(signal)
    for use in (encoder, encoder.run, encoder.fit):
        with pytest.raises(InputError, match=message) as caught:
            use(spoil(signal))
        assert "\n" not in str(caught.value)
        assert type(encoder).__name__ in str(caught.value) or "X holds" in str(caught.value)


def test_arrays_and_ragged_recordings_are_refused(case, signal):
    encoder = build(case).fit(signal)
    with pytest.raises(InputError, match=r"takes a torch.Tensor, got ndarray"):
        encoder(signal.numpy())
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros((3, 5)), np.zeros((3, 6))]
    with pytest.raises(InputError, match="cut into windows"):
        encoder.fit(ragged)
    with pytest.raises(InputError, match="real numbers"):
        encoder.fit(np.array([[["a", "b"]]]))


def test_unfitted_encoder_says_what_to_do(case, signal):
    encoder = build(case)
    if encoder.fitted:
        assert not encoder.fitted_buffers
        return
    with pytest.raises(InputError, match="call fit on training data first"):
        encoder(signal)
    if "on-only" not in case:
        with pytest.raises(InputError, match="call fit on training data first"):
            encoder.decode(torch.zeros(encoder.n_steps(2), 1, encoder.out_features(1)))


def test_other_channels_than_fitted_are_refused(case, signal):
    encoder = build(case).fit(signal)
    if not encoder.fitted_buffers:
        return
    message = re.escape("fitted on 3 channels, got 20; expected axes are (batch, channels, times)")
    with pytest.raises(InputError, match=message):
        encoder(signal.transpose(1, 2))
    if encoder.takes_images:
        with pytest.raises(InputError, match="cannot take images"):
            encoder(torch.zeros(1, 3, 4, 4))


def test_constant_channel_is_refused_by_fit(case, signal):
    encoder = build(case)
    if not encoder.fitted_buffers:
        return
    flat = signal.clone()
    flat[:, 1] = 0.5
    with pytest.raises(InputError, match=r"channel 1 \(of 1 such\) is constant"):
        encoder.fit(flat)
    assert not encoder.fitted


def test_malformed_spikes_are_refused_by_decode(case, signal):
    encoder = build(case).fit(signal)
    spikes = encoder(signal)
    with pytest.raises(InputError, match="got shape"):
        encoder.decode(spikes[0])
    if encoder.steps_per_sample > 1:
        with pytest.raises(InputError, match="not whole samples"):
            encoder.decode(spikes[1:])
    if encoder.features_per_channel > 1:
        with pytest.raises(InputError, match="not whole channels"):
            encoder.decode(spikes[..., 1:])


def test_stateless_codes_refuse_a_state(case, signal):
    encoder = build(case).fit(signal)
    if encoder.run(signal)[1] is None:
        with pytest.raises(InputError, match="carries no state"):
            encoder.run(signal, torch.zeros(1))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("direct", {"steps_per_sample": 0}, "steps_per_sample must lie in"),
        ("direct", {"steps_per_sample": 2.0}, "must be an integer"),
        ("rate", {"mode": "gamma"}, "mode='gamma' is unknown"),
        ("rate", {"f_max": 10.0}, "no meaning in mode 'bernoulli'"),
        ("rate", {"mode": "poisson", "gain": 2.0}, "no meaning in mode 'poisson'"),
        ("rate", {"mode": "poisson", "f_max": 2000.0}, "no probability"),
        ("rate", {"random_state": "x"}, "random_state must be an integer"),
        ("latency", {"steps_per_sample": 1}, "steps_per_sample must lie in"),
        ("latency", {"tau": 3.0}, "no meaning in mode 'linear'"),
        ("latency", {"threshold": 0.0}, "threshold must lie in"),
        ("delta", {"threshold": 0.0}, "threshold must lie in"),
        ("delta", {"threshold": -1.0}, "threshold must lie in"),
        ("step-forward", {"factor": -0.1}, "factor must lie in"),
        ("moving-window", {"window": 0}, "window must lie in"),
        ("bsa", {"fir": "length-9"}, "fir='length-9' is unknown"),
        ("bsa", {"fir": [1.0]}, "at least two finite taps"),
        ("bsa", {"threshold": -0.1}, "threshold must lie in"),
        ("population", {"n_fields": 2}, "n_fields must lie in"),
        ("population", {"cutoff": 1.0}, "cutoff must lie in"),
        ("phase", {"period": 25}, "period must lie in"),
        ("phase", {"mode": "weighed"}, "did you mean 'weighted'"),
        ("burst", {"beta": 1.0}, "beta must lie in"),
        ("burst", {"mode": "isi", "steps_per_sample": 3}, "cuts bursts off"),
        ("burst", {"mode": "isi", "isi_min": 5, "isi_max": 4}, "isi_max must lie in"),
        ("rate", {"low": 0.0}, "both low and high or neither"),
        ("rate", {"low": 1.0, "high": 1.0}, "high must lie in"),
        ("rate", {"quantile": 0.5}, "quantile must lie in"),
    ],
)
def test_bad_parameters_are_refused(name, params, message):
    with pytest.raises(InputError, match=message):
        encoders.create(name, **params)


def test_every_encoder_derives_from_a_public_base():
    for kind in ENCODERS.values():
        assert issubclass(kind, Encoder)
        assert not kind.fitted_buffers or issubclass(kind, (IntensityEncoder, ChangeEncoder))


@pytest.mark.gpu
def test_spikes_are_the_same_on_a_gpu(case, signal):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    encoder = build(case).fit(signal)
    expected, (run, _) = encoder(signal), encoder.run(signal)
    encoder = encoder.cuda()
    on_gpu = encoder(signal.cuda())
    assert on_gpu.is_cuda
    # a rounding tie may fall the other way where the two devices' exp or log differ in the last bit
    assert (on_gpu.cpu() != expected).float().mean() <= 0.002
    assert (encoder.run(signal.cuda())[0].cpu() != run).float().mean() <= 0.002
    if case.partition(":")[2] != "on-only":
        assert encoder.decode(on_gpu).is_cuda
    assert build(case).fit(signal.cuda()).fitted


def test_the_how_to_page_gives_an_encoder_that_works():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "add-an-encoder.md").read_text(encoding="utf-8")
    namespace: dict = {}
    exec(re.search(r"```python\n(import torch.*?)```", page, re.DOTALL).group(1), namespace)
    encoder = namespace["MirrorEncoder"](9, low=0.0, high=1.0)
    x = torch.linspace(0, 1, 12).reshape(1, 2, 6)
    spikes = encoder(x)
    assert spikes.shape == (54, 1, 2)
    assert (encoder.decode(spikes) - x).abs().max() <= 1 / 8 + 1e-6
