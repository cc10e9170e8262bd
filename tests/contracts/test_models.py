"""What every row of the model table promises."""

import inspect
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from spikeneuro import registry
from spikeneuro._random import scoped_seed
from spikeneuro._several import each, take
from spikeneuro.errors import InputError
from spikeneuro.models import create, names

SIZES = {
    "signal": {"n_chans": 3, "n_times": 192, "sfreq": 64.0},
    "features": {"n_chans": 1, "n_times": 20},
    "image": {"in_chans": 2, "image_size": (16, 12)},
    "several": {
        "modalities": {"eeg": {"n_chans": 3, "n_times": 96, "sfreq": 64.0}, "face": {"in_chans": 1, "image_size": 8}}
    },
}
SHAPES = {"signal": (3, 192), "features": (20,), "image": (2, 16, 12)}
SEVERAL = {"eeg": (3, 96), "face": (1, 8, 8)}
# Small settings where the default is large; the rest is built as it is.
SMALL = {
    "eeg-conformer": {"n_layers": 1},
    "cnn1d": {"filters": (4, 4, 4)},
    "cnn2d": {"filters": (4, 4, 4)},
    "spiking-cnn2d": {"filters": (4, 4, 4), "n_steps": 4},
    "converted-cnn1d": {"filters": (4, 4, 4), "steps": 4},
    "converted-cnn2d": {"filters": (4, 4, 4), "steps": 4},
}
NETWORKS = [row for row in registry.MODELS if row.kind == "network"]
OWN = [row for row in NETWORKS if row.extra is None]
STEPS = [row for row in NETWORKS if "steps" in row.tasks]


def ids(row: registry.ModelEntry) -> str:
    return row.name


def build(row, seed=0, n_outputs=3, **hyperparameters):
    with scoped_seed(seed):
        options = {**SMALL.get(row.name, {}), **hyperparameters}
        return create(row.name, n_outputs=n_outputs, **SIZES[row.inputs[0]], **options)


def batch(row, count=4, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def draw(shape):
        return torch.randn(count, *shape, generator=generator, dtype=torch.float64).to(dtype)

    if row.inputs == ("several",):
        return {name: draw(shape) for name, shape in SEVERAL.items()}
    return draw(SHAPES[row.inputs[0]])


def test_names_are_unique_and_filter():
    everything = names()
    assert len(everything) == len(set(everything))
    assert {"spiking-eegnet", "recurrent-snn"} <= set(names("eeg", spiking=True))
    assert {"eegnet", "shallow-fbcsp", "deep4", "eeg-conformer", "atcnet", "cnn1d", "lstm", "gru"} <= set(
        names("eeg", spiking=False, kind="network")
    )
    assert {"spiking-cnn2d", "cnn2d"} <= set(names("image"))
    assert {"spiking-mlp", "mlp"} <= set(names("features"))
    assert {"recurrent-snn", "lstm", "gru"} <= set(names(task="steps"))


@pytest.mark.parametrize("row", registry.MODELS, ids=ids)
def test_row_is_complete_and_documented(row):
    target = row.load()
    document = inspect.getdoc(target) or ""
    assert "Parameters\n---" in document
    assert row.kind == "pipeline" or "References\n---" in document
    assert re.search(r"\(\d{4}\)", row.reference), "the reference names a year"
    assert row.inputs
    assert row.tasks
    listed = document.split("Parameters\n---")[1].split("\nRaises\n---")[0]
    undocumented = [
        name
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and not re.search(rf"^[\w, ]*\b{name}\b[\w, ]*( :|$)", listed, flags=re.MULTILINE)
    ]
    assert not undocumented


@pytest.mark.parametrize("row", NETWORKS, ids=ids)
def test_vocabulary_of_the_constructor(row):
    known = inspect.signature(row.load()).parameters
    vocabulary = SIZES[row.inputs[0]] | {"n_outputs": 3}
    assert set(vocabulary) <= set(known)
    extra = [p for name, p in known.items() if name not in {*vocabulary, "sfreq"}]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in extra)


@pytest.mark.parametrize("row", NETWORKS, ids=ids)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_output_is_one_row_of_logits_a_sample(row, n_outputs):
    model = build(row, n_outputs=n_outputs).eval()
    for count in (1, 4):
        output = model(batch(row, count))
        assert output.shape == (count, n_outputs)
        assert torch.isfinite(output).all()


@pytest.mark.parametrize("row", STEPS, ids=ids)
def test_steps_are_labelled_one_by_one(row):
    model = build(row, task="steps").eval()
    assert model(batch(row)).shape == (4, 3, 192)
    assert model(batch(row)[..., :50]).shape == (4, 3, 50)


@pytest.mark.parametrize("row", NETWORKS, ids=ids)
def test_gradient_reaches_every_parameter(row):
    learns = "learn_tau" in inspect.signature(row.load()).parameters
    model = build(row, **({"learn_tau": True} if learns else {})).train()
    x = each(lambda part: 3 * part, batch(row, 16))
    with scoped_seed(2):
        loss = torch.nn.functional.cross_entropy(model(x), torch.arange(16) % 3)
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without
    if row.extra is None:  # the architectures of others hold parameters that cancel out, such as a bias before a norm
        assert not [name for name, p in model.named_parameters() if not p.grad.any()]


@pytest.mark.parametrize("row", NETWORKS, ids=ids)
def test_a_sample_does_not_see_its_batch(row):
    # double precision, so that rounding, which differs with the batch size, cannot move a spike
    model = build(row).double()
    x = batch(row, 5, dtype=torch.float64)
    with scoped_seed(0):
        model(x)  # gives batch normalisation something to remember
    model.eval()
    together = model(x)
    alone = torch.cat([model(take(x, slice(i, i + 1))) for i in range(5)])
    shuffled = model(each(lambda part: part.flip(0), x)).flip(0)
    torch.testing.assert_close(alone, together, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(shuffled, together, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model(x), together, rtol=0, atol=0)


@pytest.mark.parametrize("row", NETWORKS, ids=ids)
def test_same_seed_same_network_and_other_seed_another(row):
    def outputs(seed):
        model = build(row, seed)
        with scoped_seed(seed):
            return model.train()(batch(row))

    state = torch.random.get_rng_state()
    assert torch.equal(outputs(0), outputs(0))
    assert not torch.equal(outputs(0), outputs(1))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("row", NETWORKS, ids=ids)
def test_weights_survive_a_file(row, tmp_path):
    model = build(row).train()
    with scoped_seed(0):
        model(batch(row))
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    other = build(row, seed=5)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(model.eval()(batch(row)), other.eval()(batch(row)))


@pytest.mark.parametrize("row", NETWORKS, ids=ids)
def test_forward_leaves_nothing_behind(row):
    model = build(row).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model(batch(row))
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("row", OWN, ids=ids)
def test_compiles(row):
    model = build(row).eval()
    x = batch(row)
    torch.compiler.reset()
    with torch.no_grad():
        compiled = torch.compile(model, backend="aot_eager")(x)
        torch.testing.assert_close(compiled, model(x))


@pytest.mark.parametrize("row", [row for row in NETWORKS if row.spiking], ids=ids)
def test_spiking_models_hold_an_encoder_that_fits(row):
    model = build(row)
    assert hasattr(model.encoder, "fit")
    model.encoder.fit(batch(row))


@pytest.mark.parametrize("row", NETWORKS, ids=ids)
def test_wrong_axes_are_named(row):
    model = build(row).eval()
    x = batch(row)
    with pytest.raises(InputError, match="shape"):
        model(x[0, 0] if isinstance(x, torch.Tensor) else x["eeg"])
    if row.inputs[0] == "several":
        for wrong, message in (
            ({**x, "eeg": x["eeg"].transpose(1, 2)}, "'eeg'.*swapped"),
            ({**x, "eeg": x["eeg"][:, :2]}, "'eeg'.*channels differ"),
            ({**x, "face": x["face"][:, 0]}, "'face'.*3 axes"),
            ({**x, "eeg": x["eeg"][:2]}, "number of samples"),
            ({"egg": x["eeg"]}, "did you mean 'eeg'"),
            ({}, "every modality is missing"),
        ):
            with pytest.raises(InputError, match=message):
                model(wrong)
    elif row.inputs[0] == "signal":
        with pytest.raises(InputError, match="swapped"):
            model(x.transpose(1, 2))
        with pytest.raises(InputError, match="channels differ"):
            model(x[:, :2])
    elif row.inputs[0] == "image":
        with pytest.raises(InputError, match="channels look last"):
            model(x.permute(0, 2, 3, 1))
        with pytest.raises(InputError, match="height and width look swapped"):
            model(x.transpose(2, 3))
    else:
        with pytest.raises(InputError, match="features=20"):
            model(x[:, :10])


@pytest.mark.parametrize("row", NETWORKS, ids=ids)
def test_sizes_that_make_no_sense_are_refused(row):
    sizes = SIZES[row.inputs[0]]
    with pytest.raises(InputError, match="n_outputs"):
        create(row.name, n_outputs=0, **sizes)
    first = next(iter(sizes))
    with pytest.raises(InputError, match=first):
        create(row.name, n_outputs=2, **{**sizes, first: 0})
    with pytest.raises(InputError, match="drop_prob"):
        create(row.name, n_outputs=2, drop_prob=1.5, **sizes)


def test_unknown_name_offers_the_nearest():
    with pytest.raises(InputError, match="did you mean 'spiking-eegnet'"):
        create("spiking-egnet", n_chans=1, n_times=1, n_outputs=1)


def test_unknown_parameter_offers_the_nearest():
    with pytest.raises(InputError, match=r"no parameter 'n_channels'.*n_chans"):
        create("lstm", n_channels=3, n_times=20, n_outputs=2)


def test_missing_parameter_is_named():
    with pytest.raises(InputError, match="needs n_outputs"):
        create("lstm", n_chans=3, n_times=20)
