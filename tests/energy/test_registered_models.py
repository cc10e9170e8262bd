"""Every registered network can be counted, and its counts do not depend on the batch."""

import pytest
import torch
from torch import nn

from spikeneuro import energy, models
from spikeneuro._random import scoped_seed
from spikeneuro._several import n_samples

NETWORKS = models.names(kind="network")


def built(name):
    row = models.entry(name)
    with scoped_seed(0):
        if row.inputs[0] == "image":
            return models.create(name, in_chans=1, image_size=28, n_outputs=3), torch.rand(3, 1, 28, 28)
        if row.inputs[0] == "several":
            sizes = {"eeg": {"n_chans": 6, "n_times": 256, "sfreq": 128.0}, "face": {"in_chans": 1, "image_size": 16}}
            x = {"eeg": torch.randn(3, 6, 256), "face": torch.rand(3, 1, 16, 16)}
            return models.create(name, modalities=sizes, n_outputs=3), x
        if row.inputs[0] == "features":
            return models.create(name, n_chans=1, n_times=24, n_outputs=3, sfreq=1.0), torch.randn(3, 1, 24)
        return models.create(name, n_chans=6, n_times=384, n_outputs=3, sfreq=128.0), torch.randn(3, 6, 384)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_counted(name):
    model, x = built(name)
    ledger = energy.count(model, x)
    dense = ledger.dense.macs + ledger.dense.acs
    assert 0 < ledger.macs + ledger.acs <= dense
    assert ledger.energy() <= ledger.energy_dense()
    assert (ledger.spike_rate is not None) == models.entry(name).spiking
    assert ledger.dense.state_updates > 0 or not models.entry(name).spiking
    again = energy.count(model, x, batch_size=2)
    for kind, number in ledger.dense.as_dict().items():
        assert number == pytest.approx(getattr(again.dense, kind)), kind


@pytest.mark.parametrize("name", NETWORKS)
def test_dense_products_equal_what_the_layers_say(name):
    """Products of convolutions and linear layers from their shapes, in models that have no others."""
    model, x = built(name)
    if any(isinstance(module, (nn.RNNBase, nn.MultiheadAttention)) for module in model.modules()):
        pytest.skip("recurrent and attention layers have their own hand counts")
    ledger = energy.count(model, x)
    expected = {}

    def hook(module, args, output):
        per_output = module.weight[0].numel()
        expected[names[module]] = expected.get(names[module], 0) + output.numel() * per_output / n_samples(x)

    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    # Subclasses may crop what they computed, as causal convolutions do.
    names = {module: name for name, module in model.named_modules() if type(module) in layers}
    handles = [module.register_forward_hook(hook) for module in names]
    with torch.no_grad():
        model.eval()(x)
    for handle in handles:
        handle.remove()
    counted = {row.name: (row.dense.macs + row.dense.acs) / n_samples(x) for row in ledger.layers}
    assert expected
    for layer, number in expected.items():
        assert counted[layer] == number, layer
