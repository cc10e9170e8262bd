"""What has no equal is refused, with the place, the reason, and never a wrong network."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from spikeneuro.errors import InputError
from spikeneuro.nn import from_norse, from_snntorch, from_spikingjelly

snntorch = pytest.importorskip("snntorch")
snn_surrogate = pytest.importorskip("snntorch.surrogate")

neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
sj_layer = pytest.importorskip("spikingjelly.activation_based.layer")
sj_surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")
norse = pytest.importorskip("norse.torch")
lif_box = pytest.importorskip("norse.torch.functional.lif_box")


def quantised(x):
    return x


def own_surrogate(x):
    return (x > 0).float()


def hooked(module):
    module.register_forward_hook(lambda *_: None)
    return module


def changed_reset():
    leaky = snntorch.Leaky(beta=0.5)
    leaky.reset_mechanism = "zero"
    return leaky


class Block(nn.Module):
    def forward(self, x):
        return x


class MyLeaky(snntorch.Leaky):
    pass


hidden = {"init_hidden": True}
SNNTORCH = {
    "inhibition": (lambda: snntorch.Leaky(beta=0.5, inhibition=True), "inhibition=True"),
    "quantised": (lambda: snntorch.Leaky(beta=0.5, state_quant=quantised), "state_quant"),
    "graded": (lambda: snntorch.Leaky(beta=0.5, graded_spikes_factor=0.5), "graded_spikes_factor"),
    "learned factor": (lambda: snntorch.Leaky(beta=0.5, learn_graded_spikes_factor=True), "graded_spikes_factor"),
    "no gradient": (lambda: snntorch.Leaky(beta=0.5, surrogate_disable=True), "surrogate_disable=True"),
    "changed reset": (changed_reset, "reset_mechanism was changed"),
    "threshold": (lambda: snntorch.Leaky(beta=0.5, threshold=-0.1), "threshold below 0"),
    "RSynaptic": (lambda: snntorch.RSynaptic(alpha=0.5, beta=0.5, linear_features=3, reset_delay=False), "RSynaptic"),
    "Lapicque": (lambda: snntorch.Lapicque(beta=0.5, learn_beta=True), "learns nothing"),
    "unstable": (lambda: snntorch.Lapicque(R=0.5, C=1.0), r"beta .* must lie in \[0, 1\]"),
    "convolution": (
        lambda: snntorch.RLeaky(beta=0.5, conv2d_channels=2, kernel_size=3), "connected by a convolution"
    ),
    "no size": (lambda: snntorch.RLeaky(beta=0.5, V=0.3, all_to_all=False), "how many neurons"),
    "width lost": (
        lambda: nn.Sequential(
            nn.Linear(4, 8), nn.AvgPool1d(2), snntorch.RLeaky(beta=0.5, V=0.3, all_to_all=False, init_hidden=True)
        ),
        "how many neurons",
    ),
    "maps": (lambda: snntorch.RLeaky(beta=0.5, V=torch.ones(2, 3, 3), all_to_all=False), "inputs .batch, neurons."),
    "Alpha": (lambda: snntorch.Alpha(alpha=0.8, beta=0.6), "difference of two currents"),
    "SLSTM": (lambda: snntorch.SLSTM(3, 3), "long short-term memory"),
    "subclass": (lambda: MyLeaky(beta=0.5), "MyLeaky.*is defined in"),
    "own surrogate": (lambda: snntorch.Leaky(beta=0.5, spike_grad=own_surrogate), "surrogate gradient own_surrogate"),
    "triangular": (lambda: snntorch.Leaky(beta=0.5, spike_grad=snn_surrogate.triangular()), "no triangle"),
    "SFS": (lambda: snntorch.Leaky(beta=0.5, spike_grad=snn_surrogate.SFS()), "cut off"),
    "SSO": (lambda: snntorch.Leaky(beta=0.5, spike_grad=snn_surrogate.SSO()), "random"),
    "LSO": (lambda: snntorch.Leaky(beta=0.5, spike_grad=snn_surrogate.LSO()), "random"),
    "custom": (
        lambda: snntorch.Leaky(beta=0.5, spike_grad=snn_surrogate.custom_surrogate(lambda x, g, s: g)), "of your own"
    ),
    "not called": (lambda: snntorch.Leaky(beta=0.5, spike_grad=snn_surrogate.atan), r"write surrogate.atan\(\)"),
    "tuple": (
        lambda: nn.Sequential(snntorch.Leaky(beta=0.5), nn.Linear(3, 3)), r"layer '0' .Leaky.*hands .spikes, state."
    ),
    "output": (
        lambda: nn.Sequential(nn.Sequential(snntorch.Leaky(beta=0.5, output=True, **hidden)), nn.Linear(3, 3)),
        r"layer '0', layer '0' .Leaky",
    ),
    "twice": (lambda: nn.Sequential(*[snntorch.Leaky(beta=0.5, **hidden)] * 2), "two places of the network"),
    "hooks": (lambda: hooked(snntorch.Leaky(beta=0.5)), "forward hooks"),
    "block": (lambda: nn.Sequential(Block(), snntorch.Leaky(beta=0.5)), "layer '0' .Block.*Convert its parts"),
    "memory": (lambda: nn.Sequential(nn.LSTM(3, 3), snntorch.Leaky(beta=0.5)), "layer '0' .LSTM"),
    "indices": (
        lambda: nn.Sequential(nn.MaxPool2d(2, return_indices=True), snntorch.Leaky(beta=0.5)), "return_indices"
    ),
    "other framework": (lambda: nn.Sequential(neuron.IFNode()), "IFNode.*only torch's layers.*snnTorch's own"),
}  # fmt: skip


def precise(node):
    node._neuron_precision = (torch.float16, "fp32", "fp32")
    return node


def started_elsewhere():
    node = neuron.LIFNode()
    node.set_reset_value("v", 0.4)
    return node


def with_surrogate(function):
    return lambda: neuron.IFNode(surrogate_function=function)


SPIKINGJELLY = {
    "QIF": (neuron.QIFNode, "quadratic equation"),
    "EIF": (neuron.EIFNode, "exponential equation"),
    "Izhikevich": (neuron.IzhikevichNode, "recovery variable"),
    "KLIF": (neuron.KLIFNode, "scales and rectifies"),
    "half": (neuron.HalfThresholdIFNode, "half of the threshold"),
    "LIAF": (lambda: neuron.LIAFNode(torch.relu, True), "analog activation"),
    "not spiking": (neuron.NonSpikingLIFNode, "nn.LeakyReadout"),
    "PSN": (lambda: neuron.PSN(T=4), "no reset"),
    "unknown": (lambda: sj_layer.SynapseFilter(), "LIFNode, IFNode"),
    "start": (started_elsewhere, "membrane starts at 0.4"),
    "CUBA start": (lambda: neuron.CUBALIFNode(v_reset=-0.1), "membrane starts at -0.1"),
    "Simple start": (lambda: neuron.SimpleLIFNode(2.0, True, v_reset=-0.1), "membrane starts at 0.0"),
    "CUBA decay": (lambda: neuron.CUBALIFNode(c_decay=1.5), r"alpha .* must lie in \[0, 1\]"),
    "precision": (lambda: precise(neuron.IFNode()), "reduced precision"),
    "primitive": (with_surrogate(sj_surrogate.Sigmoid(spiking=False)), "spiking=False"),
    "S2NN": (with_surrogate(sj_surrogate.S2NN()), "surrogate gradient S2NN has no equal"),
    "leaky relu": (with_surrogate(sj_surrogate.PiecewiseLeakyReLU()), "other options"),
    "two slopes": (with_surrogate(sj_surrogate.LeakyKReLU()), "other options"),
    "q": (with_surrogate(sj_surrogate.QPseudoSpike(alpha=3.0)), "QPseudoSpike.alpha=3.0.*other options"),
    "mixed": (
        lambda: nn.Sequential(neuron.IFNode(step_mode="m"), neuron.IFNode(step_mode="s")), "one step at a time"
    ),
    "mixed layers": (
        lambda: nn.Sequential(sj_layer.Conv2d(1, 1, 1), neuron.IFNode(step_mode="m")), "one step at a time"
    ),
    "folded state": (lambda: sj_layer.SeqToANNContainer(nn.Linear(3, 3), neuron.IFNode()), "run over the samples"),
    "standardised": (lambda: nn.Sequential(sj_layer.WSConv2d(1, 1, 1), neuron.IFNode()), "WSConv2d"),
    "recurrent": (
        lambda: sj_layer.LinearRecurrentContainer(neuron.IFNode(), 3, 3), "LinearRecurrentContainer"
    ),
}  # fmt: skip


def parameters(**numbers):
    return norse.LIFParameters(**numbers)


NORSE = {
    "LSNN": (norse.LSNN, "adapts"),
    "Izhikevich": (lambda: norse.IzhikevichCell(norse.functional.izhikevich.tonic_spiking), "recovery variable"),
    "refractory": (norse.LIFRefracCell, "of Norse's classes"),
    "circ": (lambda: norse.LIF(parameters(method="circ")), "method 'circ' has no equal"),
    "heaviside": (lambda: norse.LIF(parameters(method="heaviside")), "method 'heaviside' has no equal"),
    "adjoint": (lambda: norse.LIF(parameters(method="adjoint")), "method 'adjoint' has no equal"),
    "learned": (
        lambda: norse.LIF(parameters(tau_mem_inv=nn.Parameter(torch.tensor(100.0)))), "tau_mem_inv is learned"
    ),
    "unstable": (lambda: norse.LIF(dt=0.02), r"must lie in \[0, 1\]"),
    "reset": (
        lambda: norse.LIFBoxCell(lif_box.LIFBoxParameters(reset_method=lambda z, v, r, t: v)), "reset_method <lambda>"
    ),
    "plain container": (lambda: nn.Sequential(norse.LIFCell(), nn.Linear(3, 3)), "use SequentialState"),
    "hidden": (lambda: norse.SequentialState(norse.LIFCell(), return_hidden=True), "return_hidden=True"),
    "recurrent": (lambda: norse.RecurrentSequential(norse.LIFCell()), "feeds the output"),
    "mixed": (lambda: norse.SequentialState(norse.LIF(), norse.LIFCell()), "one step at a time"),
    "twice": (lambda: norse.SequentialState(*[norse.LIFCell()] * 2), "two places"),
}  # fmt: skip


def cases(table, convert):
    return [pytest.param(convert, *case, id=f"{convert.__name__} {name}") for name, case in table.items()]


@pytest.mark.filterwarnings("ignore:Inhibition")
@pytest.mark.parametrize(
    ("convert", "build", "message"),
    [*cases(SNNTORCH, from_snntorch), *cases(SPIKINGJELLY, from_spikingjelly), *cases(NORSE, from_norse)],
)
def test_refused(convert, build, message):
    with pytest.raises(InputError, match=message) as raised:
        convert(build())
    assert "cannot be converted" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("the module")


@pytest.mark.parametrize("convert", [from_snntorch, from_spikingjelly, from_norse])
def test_what_is_no_network_and_unknown_backends_are_refused(convert):
    with pytest.raises(InputError, match="expected a module of .*, got function"):
        convert(own_surrogate)
    with pytest.raises(InputError, match="backend='numbra' is unknown; did you mean 'numba'"):
        convert(nn.Linear(3, 3), backend="numbra")


def test_a_surrogate_that_is_not_what_its_name_says_is_refused(monkeypatch):
    """Another version of a framework may give the same name another meaning: the function is tried, not believed."""
    node = neuron.IFNode(surrogate_function=sj_surrogate.ATan(alpha=2.0))
    monkeypatch.setattr(
        sj_surrogate.ATan, "spiking_function", staticmethod(lambda x, alpha: sj_surrogate.ATan.apply_other(x, alpha)),
        raising=True,
    )  # fmt: skip
    monkeypatch.setattr(
        sj_surrogate.ATan, "apply_other", staticmethod(lambda x, alpha: sj_surrogate.atan.apply(x, alpha * 1.01)),
        raising=False,
    )  # fmt: skip
    with pytest.raises(InputError, match="surrogate gradient is not the Atan"):
        from_spikingjelly(node)
    monkeypatch.setattr(
        sj_surrogate.ATan, "apply_other", staticmethod(lambda x, alpha: sj_surrogate.atan.apply(x - 0.5, alpha))
    )
    with pytest.raises(InputError, match="does not give 1 where membrane >= threshold"):
        from_spikingjelly(node)


def test_an_earlier_norse_that_uses_alpha_is_read_as_it_is(monkeypatch):
    functions = sys.modules["norse.torch.functional.threshold"]

    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, alpha):
            ctx.save_for_backward(x)
            ctx.alpha = alpha
            return (x > 0).to(x.dtype)

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient / (ctx.alpha * x.abs() + 1.0) ** 2, None

    monkeypatch.setattr(functions, "superspike_fn", Steep.apply)
    assert from_norse(norse.LIF()).settings.surrogate.slope == 100.0


def test_converting_imports_no_framework():
    """A package that merely offers the conversion does not load them."""
    code = (
        "import sys, torch; from spikeneuro.nn import from_snntorch, from_spikingjelly, from_norse\n"
        "net = from_norse(torch.nn.Sequential(torch.nn.Linear(2, 2)))\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'snntorch', 'spikingjelly', 'norse'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
