"""The GPU backend equals the reference: under Triton's interpreter, and on a GPU where there is one.

Both run `triton_cases.py` as a program of its own, because Triton decides once per process whether it interprets.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from spikeneuro import ops
from spikeneuro.errors import InputError
from spikeneuro.ops import registration
from spikeneuro.ops.backend import Call

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="triton has no build for this system")
HERE = Path(__file__).parent
CASES = {
    "feedforward-float64": 20, "feedforward-float32": 8, "feedforward-bfloat16": 5, "recurrent-float64": 9,
    "recurrent-float32": 4, "recurrent-bfloat16": 3, "wide": 2, "no-steps": 4, "no-neurons": 4, "in-pieces": 4,
    "through-autograd": 4, "sixteen-bits": 2,
}  # fmt: skip


def run(script, folder, *arguments, **environment):
    """Output of a script in place of the argument None, with Triton's own cache out of the way."""
    target = folder / "found.json"
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(HERE / script), *(str(target) if part is None else part for part in arguments)],
        env=inherited | {"OMP_NUM_THREADS": "1", "TRITON_CACHE_DIR": str(folder / "cache")} | environment,
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(target.read_text())


def failures(found):
    return {name: text for name, text in found.items() if text is not None}


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    families = [f"{name}:0:{count}" for name, count in CASES.items()]
    return run("triton_cases.py", tmp_path_factory.mktemp("triton"), "cpu", None, *families, TRITON_INTERPRET="1")


@pytest.mark.parametrize("family", CASES)
def test_equals_reference_under_the_interpreter(interpreted, family):
    found = {name: text for name, text in interpreted.items() if name.rpartition(" ")[0] == family}
    assert len(found) == CASES[family]
    assert failures(found) == {}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["feedforward-float64", "feedforward-float32", "recurrent-float64"])
def test_many_more_under_the_interpreter(tmp_path, family):
    count = 120 if family.startswith("recurrent") else 400
    found = run("triton_cases.py", tmp_path, "cpu", None, f"{family}:1000:{1000 + count}", TRITON_INTERPRET="1")
    assert len(found) == count
    assert failures(found) == {}


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory):
    names = ("plain", "few", "bfloat16", "everything", "recurrent", "delayed", "one", "one-delayed")
    return run("triton_offline.py", tmp_path_factory.mktemp("triton"), None, *names)


def test_compiles_for_a_gpu_without_one(machine_code):
    assert {name: set(kernels) for name, kernels in machine_code.items()} == {
        name: {"forward", "backward"} | ({"rewind"} if name == "everything" else set()) for name in machine_code
    }
    for kernels in machine_code.values():
        for traits in kernels.values():
            # A product rounded together with a sum could cross the threshold where the reference does not.
            assert traits["fused multiply-adds"] == 0
            assert traits["shared memory"] <= 48 * 1024


def test_loads_run_ahead_and_are_wide(machine_code):
    # Per array that the loop reads: one load in it and one less before it than it runs ahead.
    assert machine_code["plain"]["forward"]["wide loads ahead"] == 4
    assert machine_code["plain"]["backward"]["wide loads ahead"] == 8
    assert machine_code["few"]["forward"]["loads ahead"] == 8
    assert machine_code["few"]["backward"]["loads ahead"] == 16
    # Loads that read back what the kernel wrote must not run ahead.
    assert machine_code["delayed"]["forward"]["loads ahead"] == machine_code["delayed"]["backward"]["loads ahead"] == 0


def test_without_triton_it_says_how_to_install_it():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "from spikeneuro.errors import MissingDependencyError\n"
        "try:\n    import spikeneuro.ops.triton_backend\n"
        "except MissingDependencyError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "pip install 'spikeneuro[gpu]'" in done.stdout


def test_the_cpu_is_refused():
    with pytest.raises(InputError, match="backend='triton' cannot run this"):
        ops.lif(torch.rand(4, 2, 3), beta=0.9, backend="triton")


@pytest.mark.gpu
@pytest.mark.parametrize("family", CASES)
def test_equals_reference_on_the_gpu(tmp_path, family):
    count = 8 * CASES[family]
    found = run("triton_cases.py", tmp_path, "cuda", None, f"{family}:0:{count}")
    assert len(found) == count
    assert failures(found) == {}


@pytest.mark.gpu
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("adapts", [False, True])
def test_opcheck_on_the_gpu(recurrent, adapts):
    def leaf(*shape):
        return torch.rand(*shape, device="cuda", requires_grad=True)

    constants = [torch.tensor(value, device="cuda") for value in (1.0, 0.8, 0.0, 0.0)]
    numbers = ops.LIFParameters(leaf(3), *constants)
    if adapts:
        numbers = numbers._replace(rho=leaf(3), kappa=leaf(3))
    if recurrent:
        numbers = numbers._replace(weight=leaf(3, 3))
    state = ops.LIFState(v=leaf(2, 3))
    call = Call(leaf(5, 2, 3), numbers, None, state, ops.LIFSettings(), 0, True, True, adapts, "triton")
    op = torch.ops.spikeneuro.recurrent_lif if recurrent else torch.ops.spikeneuro.lif
    assert set(torch.library.opcheck(op, registration.flatten(call)).values()) == {"SUCCESS"}
