"""The op as torch sees it: schema, fake tensors, autograd, compile, export; imports, forks and workers."""

import multiprocessing
import subprocess
import sys

import joblib
import pytest
import torch
from torch import nn

import spikeneuro
from spikeneuro import ops
from spikeneuro.nn import LIF, LeakyReadout, OverTime, RecurrentLIF
from spikeneuro.ops import registration


def arguments(backend, recurrent, **options):
    x = torch.rand(5, 2, 3, dtype=torch.float64, requires_grad=True)
    one = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in options.items()}
    weight = torch.rand(3, 3, dtype=torch.float64, requires_grad=True) if recurrent else None
    constants = (torch.tensor(value, dtype=torch.float64) for value in (1.0, 0.8, 0.0, 0.0))
    numbers = ops.LIFParameters(torch.tensor(0.9, dtype=torch.float64, requires_grad=True), *constants, **one)
    numbers = numbers._replace(weight=weight)
    state = ops.LIFState(v=torch.rand(2, 3, dtype=torch.float64, requires_grad=True))
    call = registration.Call(x, numbers, None, state, ops.LIFSettings(), 0, True, True, "rho" in options, backend)
    return registration.flatten(call)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(
    ("backend", "options"),
    [("numba", {}), ("numba", {"alpha": 0.5}), ("reference", {}), ("reference", {"rho": 0.9, "kappa": 0.2})],
)
def test_opcheck(backend, options, recurrent):
    op = torch.ops.spikeneuro.recurrent_lif if recurrent else torch.ops.spikeneuro.lif
    result = torch.library.opcheck(op, arguments(backend, recurrent, **options))
    assert set(result.values()) == {"SUCCESS"}
    assert len(result) == 4


def test_documented_argument_order():
    schema = torch.ops.spikeneuro.lif.default._schema
    recurrent = torch.ops.spikeneuro.recurrent_lif.default._schema
    names = [argument.name for argument in schema.arguments]
    assert names[:10] == [
        "x", "beta", "gain", "threshold", "v_rest", "v_reset", "alpha", "rho", "kappa", "mask",
    ]  # fmt: skip
    assert [argument.name for argument in recurrent.arguments][:4] == ["x", "weight", "bias", "beta"]
    assert schema.returns[0].name == "spikes"


def network(backend="auto"):
    return nn.Sequential(
        OverTime(nn.Conv2d(1, 4, 3)), LIF((4, 1, 1), learn=("tau_mem", "threshold"), backend=backend),
        OverTime(nn.Flatten()), nn.Linear(16, 6), RecurrentLIF(6, tau_syn=0.01, learn="tau_syn", backend=backend),
        LeakyReadout(6, learn=True),
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_compiled_whole_equals_eager(backend):
    torch.manual_seed(0)
    model, x = network(backend), torch.rand(6, 3, 1, 4, 4) * 3
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    results = []
    for run in (model, compiled):
        model.zero_grad()
        y = run(x)
        y.square().sum().backward()
        results.append([y.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    torch._dynamo.reset()
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_exported_model_holds_one_node_per_layer():
    torch.manual_seed(0)
    model, x = network().eval(), torch.rand(6, 3, 1, 4, 4) * 3
    exported = torch.export.export(model, (x,))
    nodes = [str(node.target) for node in exported.graph.nodes if "spikeneuro" in str(node.target)]
    assert nodes == ["spikeneuro.lif.default", "spikeneuro.recurrent_lif.default"]
    torch.testing.assert_close(exported.module()(x), model(x))


def test_gradients_of_alpha_need_the_current():
    call = arguments("numba", False, alpha=0.5)
    dropped = (*call[:-3], False, *call[-2:])
    spikes = torch.ops.spikeneuro.lif(*dropped)[0]
    with pytest.raises(spikeneuro.errors.InputError, match="keep_current"):
        spikes.sum().backward()


def test_numba_is_imported_only_when_a_kernel_runs():
    code = (
        "import sys, torch, spikeneuro.ops as ops, spikeneuro.nn as nn\n"
        "layer = nn.LIF(3, backend='reference'); layer(torch.rand(4, 2, 3))\n"
        "assert 'numba' not in sys.modules\n"
        "nn.LIF(3)(torch.rand(4, 2, 3)); assert 'numba' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _train_once(seed):
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(20, 4, 600, generator=generator).requires_grad_()
    spikes = ops.lif(x, beta=0.9, backend="numba").spikes
    (gradient,) = torch.autograd.grad(spikes, x, torch.ones(20, 4, 600))
    # Not torch's sum: its own threads do not survive a fork.
    return float(gradient.numpy().sum())


def _fire_once(seed):
    torch.set_num_threads(2)
    x = torch.rand(20, 4, 600, generator=torch.Generator().manual_seed(seed))
    return float(ops.lif(x, beta=0.9, backend="numba").spikes.numpy().sum())


def _send(queue, seed):
    queue.put(_fire_once(seed))


def test_runs_after_fork():
    # In a fresh process that uses the kernels on two threads, then forks. Forward only: torch itself refuses to
    # differentiate in a fork of a process that already has.
    code = (
        "import multiprocessing as mp, sys, torch\n"
        "torch.set_num_threads(2)\n"
        f"sys.path.insert(0, {str(__file__.rpartition('/')[0])!r})\n"
        "from test_registration import _fire_once, _send\n"
        "expected = _fire_once(3)\n"
        "context = mp.get_context('fork'); queue = context.Queue()\n"
        "child = context.Process(target=_send, args=(queue, 3)); child.start()\n"
        "assert queue.get(timeout=60) == expected\n"
        "child.join(60); assert child.exitcode == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_runs_in_loky_workers():
    found = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(_train_once)(seed) for seed in (1, 2))
    assert found == [_train_once(1), _train_once(2)]


def test_runs_in_concurrent_threads():
    with multiprocessing.pool.ThreadPool(4) as pool:
        found = pool.map(_train_once, [1, 2, 1, 2, 1, 2])
    assert found == [_train_once(seed) for seed in (1, 2, 1, 2, 1, 2)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_runs_in_workers_of_a_data_loader(method, tmp_path):
    script = tmp_path / "load.py"
    script.write_text(
        "import sys, torch\n"
        "from spikeneuro import ops\n"
        "def fire(seed):\n"
        "    x = torch.rand(40, 4, 600, generator=torch.Generator().manual_seed(seed))\n"
        "    return ops.lif(x, beta=0.9, backend='numba').spikes\n"
        "class Spikes(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 6\n"
        "    def __getitem__(self, seed): return fire(seed)\n"
        "if __name__ == '__main__':\n"
        "    torch.set_num_threads(2)\n"
        "    expected = [fire(seed) for seed in range(6)]\n"
        "    loader = torch.utils.data.DataLoader(Spikes(), batch_size=None, num_workers=2,\n"
        "                                         multiprocessing_context=sys.argv[1])\n"
        "    for a, b in zip(loader, expected, strict=True): assert torch.equal(a, b)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", str(script), method], check=True, timeout=200)
