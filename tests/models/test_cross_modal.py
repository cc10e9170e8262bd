"""Networks on several modalities: clocks, roles, absent modalities, and what each way of fusion can solve."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spikeneuro import NeuroClassifier, encoders, energy
from spikeneuro._several import take
from spikeneuro.data import simulate_where_when
from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.models.cross_modal import FUSIONS
from spikeneuro.models.cross_modal_inputs import aligned

SIZES = {
    "eeg": {"n_chans": 4, "n_times": 100, "sfreq": 100.0},
    "ecg": {"n_chans": 1, "n_times": 60, "sfreq": 50.0},
    "face": {"in_chans": 1, "image_size": (12, 8)},
    "film": {"n_times": 10, "in_chans": 2, "image_size": (12, 8), "sfreq": 10.0},
    "age": {"n_features": 2},
}
SHAPES = {"eeg": (4, 100), "ecg": (1, 60), "face": (1, 12, 8), "film": (10, 2, 12, 8), "age": (2,)}
PAIRS = [("eeg", "ecg"), ("face", "film"), ("eeg", "face"), ("face", "age"), ("ecg", "film", "age")]


def inputs(names, count=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, *SHAPES[name], generator=generator).to(dtype) for name in names}


def network(names, fusion="cma", model="cross-modal-snn", **options):
    torch.manual_seed(0)
    built = create(model, modalities={n: SIZES[n] for n in names}, n_outputs=3, fusion=fusion, **options).double()
    built(inputs(names, 8, seed=9))  # gives batch normalisation something to remember
    return built.eval()


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("model", ["cross-modal-snn", "cross-modal-cnn"])
def test_a_modality_left_out_equals_one_that_is_nan_throughout(names, fusion, model):
    net, x = network(names, fusion, model), inputs(names)
    whole = net(x)
    assert torch.isfinite(whole).all()
    for name in names:
        without = net({other: part for other, part in x.items() if other != name})
        gaps = {**x, name: x[name].clone()}
        gaps[name][[1, 3]] = torch.nan
        mixed = net(gaps)
        torch.testing.assert_close(mixed[[1, 3]], without[[1, 3]])
        torch.testing.assert_close(mixed[[0, 2, 4]], whole[[0, 2, 4]])


def test_what_is_absent_does_not_reach_the_output():
    net, x = network(("eeg", "ecg"), model="cross-modal-cnn"), inputs(("eeg", "ecg"))
    x["ecg"][2] = torch.nan
    other = {**x, "ecg": torch.randn_like(x["ecg"])}
    other["ecg"][2] = torch.nan
    assert torch.equal(net(x)[2], net(other)[2])
    assert not torch.equal(net(x)[1], net(other)[1])


def batch_statistics(branch):
    return {name: value.clone() for name, value in branch.named_buffers() if "running" in name}


@pytest.mark.parametrize("fusion", ["cma", "intermediate", "late"])
@pytest.mark.parametrize("names", PAIRS[:3], ids="+".join)
def test_batch_statistics_are_those_of_the_samples_that_are_there(names, fusion):
    name, other = names[:2]
    net = network(names, fusion, drop_prob=0.0).train()
    start = {key: value.clone() for key, value in net.state_dict().items()}
    x = inputs(names, 8)
    x[name][4:] = x[name][:4]  # each of four twice
    net(x)
    expected = batch_statistics(net.branches[name])
    net.load_state_dict(start)
    x[name][4:] = torch.nan
    net(x)
    for key, value in batch_statistics(net.branches[name]).items():
        torch.testing.assert_close(value, expected[key])
    # and where nobody has it they stay, and so does what others see
    net.load_state_dict(start)
    nobody = {**x, name: torch.full_like(x[name], torch.nan)}
    output = net(nobody)
    for key, value in batch_statistics(net.branches[name]).items():
        assert torch.equal(value, start[f"branches.{name}.{key}"])
    torch.testing.assert_close(output, net({key: part for key, part in x.items() if key != name}))
    assert any(not torch.equal(v, start[f"branches.{other}.{k}"]) for k, v in net.branches[other].named_buffers())
    with pytest.raises(InputError, match="sample 0 has no modality"):
        net({key: torch.full_like(part, torch.nan) for key, part in x.items()})


def test_late_fusion_is_the_mean_of_the_modalities():
    net, x = network(("eeg", "ecg", "face"), "late"), inputs(("eeg", "ecg", "face"))
    alone = torch.stack([net({name: part}) for name, part in x.items()])
    torch.testing.assert_close(net(x), alone.mean(dim=0))


@pytest.mark.parametrize("names", PAIRS[:2], ids="+".join)
def test_attention_of_one_is_intermediate_fusion(names):
    cma, plain = network(names), network(names, "intermediate")
    cma.load_state_dict({**cma.state_dict(), **plain.state_dict()})
    with torch.no_grad():
        for attention in cma.attention.values():
            for layer in filter(None, (attention.place, attention.time and attention.time[-1])):
                layer.weight.zero_()
                layer.bias.fill_(100.0)
    x = inputs(names)
    torch.testing.assert_close(cma(x), plain(x))


def test_roles_are_the_first_and_second_unless_named():
    names = ("eeg", "ecg", "face")
    assert (network(names).where, network(names).when) == ("eeg", "ecg")
    net = network(names, where="face")
    assert (net.where, net.when) == ("face", "eeg")
    assert set(net.attention) == {"eeg", "ecg"}
    assert net.attention["eeg"].time is not None
    assert net.attention["ecg"].time is None
    with pytest.raises(InputError, match="both 'eeg'"):
        network(names, where="eeg", when="eeg")
    with pytest.raises(InputError, match="did you mean 'eeg'"):
        network(names, where="egg")


def test_images_of_one_size_are_fused_as_maps_and_others_as_neurons():
    assert network(("face", "film")).attention["film"].maps
    assert not network(("eeg", "film")).attention["film"].maps


@pytest.mark.parametrize("steps", [3, 4, 12, 24, 30])
def test_sequences_come_to_common_steps(steps):
    x = torch.arange(12.0).reshape(12, 1, 1).expand(12, 2, 3)
    pooled = aligned(x, steps, "mean")
    assert pooled.shape == (steps, 2, 3)
    # what is pooled or held keeps its place in time, by its ends and its mean
    assert (pooled.diff(dim=0) >= 0).all()
    if 12 % steps == 0 or steps % 12 == 0:
        torch.testing.assert_close(pooled.mean(dim=0), x.mean(dim=0))
    if steps > 12:
        assert pooled[0, 0, 0] == 0
        assert pooled[-1, 0, 0] == 11
    if 12 % steps == 0:
        assert torch.equal(aligned(x, steps, "max")[:, 0, 0], x[12 // steps - 1 :: 12 // steps, 0, 0])


def test_common_steps_are_those_of_the_slowest():
    assert network(("eeg", "ecg")).n_steps == 60
    assert network(("eeg", "film")).n_steps == 10
    assert network(("face", "age")).n_steps == 8
    long = {name: {"n_chans": 1, "n_times": 4 * rate, "sfreq": rate} for name, rate in (("eeg", 250), ("ecg", 500))}
    assert create("cross-modal-snn", modalities=long, n_outputs=2).n_steps == 125
    assert create("cross-modal-snn", modalities=long, n_outputs=2, n_steps=50).n_steps == 50


def test_time_constants_know_the_clock_of_their_layer():
    net = network(("eeg", "ecg"))
    assert net.branches["eeg"].first.dt == pytest.approx(1 / 100)
    assert net.branches["ecg"].first.dt == pytest.approx(1 / 50)
    assert net.branches["eeg"].second.dt == pytest.approx(1.0 / 60)  # one second in 60 steps
    assert net.branches["ecg"].second.dt == pytest.approx(1.2 / 60)
    assert net.fused.dt == pytest.approx(1.2 / 60)
    assert network(("face", "age")).fused.dt == 1  # steps, where nothing moves


def test_dropout_of_modalities_never_leaves_a_sample_without_any():
    net = network(("eeg", "ecg", "face"), modality_dropout=0.7).train()
    there = {"eeg": None, "ecg": torch.arange(4000) % 2 == 0, "face": None}
    kept = torch.stack(list(net._dropped(there, torch.zeros(4000, 1)).values()))
    assert kept.any(dim=0).all()
    assert not (kept[1] & ~there["ecg"]).any()
    # of three, each is kept with 0.3, and where none would be, the one with the largest draw
    assert float(kept[0, there["ecg"]].double().mean()) == pytest.approx(0.3 + 0.7**3 / 3, abs=0.03)
    x = inputs(("eeg", "ecg", "face"), 16)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("model", ["cross-modal-snn", "cross-modal-cnn"])
def test_a_missing_modality_costs_nothing(model):
    net, x = network(("eeg", "ecg"), "intermediate", model).float(), inputs(("eeg", "ecg"), dtype=torch.float32)
    rows = {row.name for row in energy.count(net, {"ecg": x["ecg"]}).layers if row.dense.macs}
    assert not any(name.startswith("branches.eeg") for name in rows)
    assert energy.count(net, x).dense.macs > energy.count(net, {"ecg": x["ecg"]}).dense.macs


def test_products_behind_attention_are_multiplications():
    x = inputs(("eeg", "ecg"), dtype=torch.float32)
    of = {}
    for fusion in ("cma", "intermediate"):
        net = network(("eeg", "ecg"), fusion).float()
        of[fusion] = {row.name: row for row in energy.count(net, x).layers}["joint.0"].dense
    products = 60 * 2 * 16 * 16  # steps, neurons of both branches, neurons of the fusion layer
    assert (of["cma"].macs, of["cma"].acs) == (5 * products, 0)
    assert (of["intermediate"].macs, of["intermediate"].acs) == (0, 5 * products)


def test_attention_costs_its_scores():
    x = inputs(("eeg", "ecg"), dtype=torch.float32)
    of = {fusion: energy.count(network(("eeg", "ecg"), fusion).float(), x) for fusion in ("cma", "intermediate")}
    rows = [row for row in of["cma"].layers if row.name.startswith("attention") and row.dense.macs]
    scores = {row.name: row.dense.macs / 5 for row in rows}
    # from each rate of one branch to each neuron of the other; 60 steps to 15 hidden units and back
    assert scores == {"attention.ecg.place": 16 * 16, "attention.ecg.time.0": 60 * 15, "attention.ecg.time.2": 15 * 60}
    own = {fusion: next(row for row in ledger.layers if not row.name).dense for fusion, ledger in of.items()}
    # means over 60 steps for 16 neurons and over 16 neurons for 60 steps; a score times a spike selects
    assert (own["cma"].additions - own["intermediate"].additions) / 5 == 16 * 59 + 60 * 15
    assert (own["cma"].multiplications - own["intermediate"].multiplications) / 5 == 16 + 60


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({}, "modalities must map"),
        ({"eeg": SIZES["eeg"]}, "two or more"),
        ({"eeg": SIZES["eeg"], "b.c": SIZES["ecg"]}, "'b.c'"),
        ({"eeg": SIZES["eeg"], "training": SIZES["ecg"]}, "'training'"),
        ({"eeg": SIZES["eeg"], "ecg": {"n_chans": 1}}, "has the sizes n_chans"),
        ({"eeg": SIZES["eeg"], "ecg": {"n_chans": 0, "n_times": 10, "sfreq": 5.0}}, "modality 'ecg': n_chans"),
        ({"eeg": SIZES["eeg"], "ecg": {"n_chans": 1, "n_times": 10}}, "'ecg' are in seconds"),
    ],
)
def test_sizes_that_make_no_network_are_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        create("cross-modal-snn", modalities=sizes, n_outputs=2)


def test_input_that_is_nothing_is_refused():
    net, x = network(("eeg", "ecg")), inputs(("eeg", "ecg"))
    with pytest.raises(InputError, match="every modality is missing"):
        net({})
    x["eeg"][1] = torch.nan
    x["ecg"][1] = torch.nan
    with pytest.raises(InputError, match="sample 1 has no modality"):
        net(x)
    with pytest.raises(InputError, match="sample 0 has no modality"):
        net({"eeg": torch.full((2, 4, 100), torch.nan)})
    x = inputs(("eeg", "ecg"))
    x["eeg"][3, 0, 5] = torch.nan
    with pytest.raises(InputError, match="'eeg': sample 3 is NaN in part"):
        net(x)
    with pytest.raises(InputError, match="'ecg': got ndarray instead of a tensor"):
        net({**inputs(("eeg", "ecg")), "ecg": np.zeros((5, 1, 60))})
    for filters, message in ((8, "filters=8 must hold"), ((), "must hold"), ((8, 0), r"filters\[1\]")):
        with pytest.raises(InputError, match=message):
            network(("face", "film"), filters=filters)
    with pytest.raises(InputError, match="fusion='cmaa'"):
        network(("eeg", "ecg"), "cmaa")
    with pytest.raises(InputError, match="encoder: there is no modality 'egg'"):
        network(("eeg", "ecg"), encoder={"egg": "delta"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: list(x.values()), "takes a dict of the modalities 'eeg', 'film', 'age', got one array"),
        (lambda x: {**x, "egg": x["eeg"]}, "no modality 'egg'; did you mean 'eeg'"),
        (lambda x: {**x, "eeg": x["eeg"][:3]}, r"number of samples: \{'eeg': 3, 'film': 5, 'age': 5\}"),
        (lambda x: {**x, "age": x["age"][:, :1]}, r"'age': expected shape \(batch, features=2\), got \(5, 1\)"),
        (lambda x: {**x, "film": x["film"].transpose(1, 2)}, r"'film': expected .*times=10, channels=2"),
        (lambda x: {**x, "eeg": x["eeg"].transpose(1, 2)}, "'eeg': .*look swapped"),
    ],
)
def test_input_of_other_shapes_and_names_is_refused(change, message):
    names = ("eeg", "film", "age")
    with pytest.raises(InputError, match=message):
        network(names)(change(inputs(names)))


def test_encoders_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="each needs its own"):
        network(("eeg", "ecg"), encoder=encoders.create("direct"))
    with pytest.raises(InputError, match="encoder of 'film': frames are taken as they come"):
        network(("eeg", "film"), encoder={"film": "delta"})
    with pytest.raises(InputError, match="kernel_length"):
        network(("eeg", "ecg"), kernel_length=0.0)


@pytest.mark.parametrize("model", ["cross-modal-snn", "cross-modal-cnn"])
def test_half_a_second_of_a_slow_signal_is_no_filter(model):
    """At the defaults, neurons of volumes two seconds apart would have no memory, and the filters one step."""
    sizes = {"fmri": {"n_chans": 3, "n_times": 40, "sfreq": 0.5}, "age": {"n_features": 1}}
    with pytest.raises(InputError, match=r"is 0.25 step\(s\) of modality 'fmri' at 0.5 Hz; give kernel_length"):
        create(model, modalities=sizes, n_outputs=2)
    if model == "cross-modal-snn":
        net = create(model, modalities=sizes, n_outputs=2, tau_unit="steps")
        assert (net.branches["fmri"].first.dt, net.branches["fmri"].second.dt, net.fused.dt) == (1, 1, 1)
    else:
        net = create(model, modalities={**sizes, "fmri": {"n_chans": 3, "n_times": 40}}, n_outputs=2)
    assert net.branches["fmri"].filters[2].kernel_size == (9,)
    slow = create(model, modalities=sizes, n_outputs=2, kernel_length=10.0)
    assert slow.branches["fmri"].filters[2].kernel_size == (5,)
    # side by side with a fast one, a slow one is on its clock
    both = {**sizes, "eeg": {"n_chans": 2, "n_times": 8000, "sfreq": 100.0}}
    assert create(model, modalities=both, n_outputs=2, fusion="input").in_steps == 8000


def test_encoders_by_modality():
    sizes = {name: SIZES[name] for name in ("eeg", "ecg", "face")}
    net = create("cross-modal-snn", modalities=sizes, n_outputs=3, encoder={"eeg": "delta"}).double()
    x = inputs(sizes)
    x["eeg"][0] = torch.nan
    net.encoder.fit(x)  # on those that have it
    assert type(net.encoder["eeg"]).__name__ == "DeltaEncoder"
    assert type(net.encoder["ecg"]).__name__ == "DirectEncoder"
    assert torch.isfinite(net(x)).all()


# The task of which each modality holds half


@pytest.fixture(scope="module", params=["signal", "image"])
def where_when(request):
    return simulate_where_when(480, 2, kind=request.param, random_state=1)


def energies(X):
    """Power by channel and quarter of a signal, pixels of an image: what a classical classifier needs of each."""
    if X.ndim == 4:
        return X.reshape(len(X), -1)
    return np.stack([(part**2).mean(axis=-1) for part in np.array_split(X, 4, axis=-1)], axis=-1).reshape(len(X), -1)


def test_neither_modality_alone_tells_the_class(where_when):
    """Marginal accuracy 1/2 by construction; each modality does hold its half."""
    features = {name: energies(X) for name, X in where_when.X.items()}
    bound = 3 * 0.5 / np.sqrt(len(where_when))
    for model in (
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(20, random_state=0),
    ):
        for own in features.values():
            assert cross_val_score(model, own, where_when.y, cv=5).mean() == pytest.approx(0.5, abs=bound)
        place = where_when.metadata["place"]
        assert cross_val_score(model, features["where"], place, cv=5).mean() > 0.95
    both = np.concatenate(list(features.values()), axis=1)
    assert cross_val_score(RandomForestClassifier(50, random_state=0), both, where_when.y, cv=5).mean() > 0.75


def trained(recordings, fusion, keys=("where", "when")):
    train, test = np.arange(360), np.arange(360, 480)
    X = {key: recordings.X[key] for key in keys}
    clf = NeuroClassifier(
        "cross-modal-snn", sfreq=recordings.sfreq, max_epochs=25, lr=0.01, random_state=0, module__fusion=fusion,
        module__kernel_length=0.15,
    )  # fmt: skip
    clf.fit(take(X, train), recordings.y[train])
    return clf, clf.score(take(X, test), recordings.y[test]), take(X, test), recordings.y[test]


@pytest.mark.slow
def test_attention_solves_what_the_mean_of_two_opinions_cannot(where_when):
    clf, score, X, y = trained(where_when, "cma")
    assert score > 0.9
    for name in ("where", "when"):  # and one modality alone is worth nothing, whoever was trained
        assert clf.score({name: X[name]}, y) == pytest.approx(0.5, abs=0.16)
    assert trained(where_when, "late")[1] < 0.75
