"""The surrogates compiled by Numba and by Triton equal those of torch."""

import dataclasses
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeneuro.ops import numba_surrogates, surrogates

OPTIONS = {
    "fast_sigmoid": {"slope": 7.0, "height": 0.3},
    "atan": {"alpha": 3.0},
    "sigmoid": {"slope": 6.0, "amplitude": 0.7},
    "triangle": {"height": 0.3, "width": 0.75},
    "rectangle": {"width": 0.6, "height": 1.5},
    "multi_gaussian": {"gamma": 0.7, "h": 0.2, "s": 4.0, "sigma": 0.4},
    "exponential": {"height": 0.7, "slope": 3.0, "center": 0.4},
    "gaussian": {"sigma": 0.8, "amplitude": 2.0},
    "straight_through": {"below": 0.1, "above": 0.9},
}
CASES = [surrogates.resolve(name) for name in surrogates.names()]
CASES += [surrogates.resolve(name, **options) for name, options in OPTIONS.items()]
DTYPES = ["float32", "float64"]
KERNEL = Path(__file__).with_name("triton_surrogate_kernel.py")
has_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


def compiled(surrogate, u, th):
    out = np.full_like(u, np.nan)
    p = np.asarray(surrogate.parameters, u.dtype)
    numba_surrogates.surrogate_gradient(surrogate.code, p, u, th, out)
    return out


def expected(surrogate, x):
    return surrogate.gradient(torch.from_numpy(x)).numpy()


def test_every_surrogate_is_here():
    assert set(OPTIONS) == set(surrogates.names())
    assert sorted(case.code for case in CASES) == sorted([*range(len(OPTIONS))] * 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("surrogate", CASES, ids=repr)
def test_numba_equals_torch_on_a_grid(surrogate, dtype):
    u = np.concatenate([np.linspace(-30, 30, 601), np.linspace(-1.5, 1.5, 301)]).astype(dtype)
    th = np.full_like(u, 0.25)
    tolerance = 1e-12 if dtype == "float64" else 2e-6
    np.testing.assert_allclose(
        compiled(surrogate, u, th), expected(surrogate, u - th), rtol=10 * tolerance, atol=tolerance
    )


@st.composite
def any_surrogate(draw):
    cls = surrogates.SURROGATES[draw(st.sampled_from(surrogates.names()))]
    return cls(**{field.name: draw(st.floats(0.125, 16.0, width=32)) for field in dataclasses.fields(cls)})


@settings(max_examples=150, deadline=None)
@given(
    surrogate=any_surrogate(),
    points=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40),
    threshold=st.floats(-3, 3, width=32),
    dtype=st.sampled_from(DTYPES),
)
def test_numba_equals_torch_for_any_parameters(surrogate, points, threshold, dtype):
    u = np.array(points, dtype)
    th = np.full_like(u, threshold)
    x = u - th
    if isinstance(surrogate, surrogates.Rectangle):  # at the edge itself rounding decides
        keep = np.abs(np.abs(x) - surrogate.width / 2) > 1e-5
        u, th, x = u[keep], th[keep], x[keep]
    # The exponent may reach 88 and then carries 88 rounding errors; near an edge all digits cancel.
    unit = float(np.finfo(dtype).eps)
    peak = float(surrogate.gradient(torch.tensor([0.0, 1e-30, getattr(surrogate, "center", 0.0)]).double()).abs().max())
    wanted = surrogate.gradient(torch.from_numpy(x.astype("float64"))).numpy()
    np.testing.assert_allclose(compiled(surrogate, u, th), wanted, rtol=200 * unit, atol=100 * unit * peak)


@pytest.mark.parametrize(("dtype", "last"), [("float32", 87.0), ("float64", 708.0)])
def test_exponential_of_numba_is_exact_to_two_units(dtype, last):
    surrogate = surrogates.Exponential(height=1.0, slope=1.0)
    x = np.linspace(-last, 0.0, 200_001).astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    error = np.abs(compiled(surrogate, x, np.zeros_like(x)) - exact) / exact
    assert error.max() < 2 * np.finfo(dtype).eps
    far = np.array([-last - 1, -1e5, -np.finfo(dtype).max, -np.inf, np.inf], dtype)
    assert np.array_equal(compiled(surrogate, far, np.zeros_like(far)), np.zeros_like(far))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("surrogate", CASES, ids=repr)
def test_far_potentials_give_no_surprise_and_nan_stays(surrogate, dtype):
    far = np.array([-1e6, 1e6, -1e15, 1e15], dtype)
    np.testing.assert_allclose(
        compiled(surrogate, far, np.zeros_like(far)), expected(surrogate, far), rtol=1e-5, atol=1e-30
    )
    if not isinstance(surrogate, surrogates.Rectangle | surrogates.StraightThrough):  # comparisons with NaN are false
        assert np.isnan(compiled(surrogate, np.array([np.nan], dtype), np.zeros(1, dtype)))


def test_numba_refuses_an_unknown_code():
    with pytest.raises(ValueError, match="no surrogate has this code"):
        numba_surrogates.surrogate_gradient(99, np.ones(1), np.ones(1), np.ones(1), np.ones(1))


@pytest.mark.parametrize("surrogate", CASES[: len(OPTIONS)], ids=lambda surrogate: surrogate.name)
def test_loops_of_numba_are_vector_instructions_in_the_precision_asked_for(surrogate):
    from numba import float32, void

    function = getattr(numba_surrogates, f"_{surrogate.name}")
    signature = void(*[float32[::1]] * 4)
    function.compile(signature.args)
    code = function.inspect_llvm(signature.args)
    assert re.search(r"store <\d+ x float>", code)
    assert not re.search(r"<\d+ x double>", code)
    assert not re.search(r"call .*@(llvm\.)?exp[f.(]", code)  # the library's, number by number


def in_another_process(task, folder, cases, x=(), **environment):
    """Results of the program in `KERNEL`, one for each case."""
    rows = [{"code": case.code, "parameters": case.parameters, "dtype": dtype} for case, dtype in cases]
    (folder / "in.json").write_text(json.dumps({"x": list(x), "cases": rows}))
    outside = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    variables = {**outside, "TRITON_CACHE_DIR": str(folder / "cache"), **environment}
    command = [sys.executable, str(KERNEL), task, str(folder / "in.json"), str(folder / "out.json")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out.json").read_text())


def check_triton(results, cases, x):
    for found, (surrogate, dtype) in zip(results, cases, strict=True):
        # The parameters of a kernel are float32, also where x is float64. At the edge rounding decides.
        values = np.array(x, dtype)
        wanted = expected(surrogate, values)
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6, err_msg=f"{surrogate} {dtype}")


#: 0 among them, and no edge of a support.
GRID = [float(v) for v in np.linspace(-4.001, 3.999, 801).astype("float32")] + [0.0, -95.0, 95.0]
ALL = [(surrogate, dtype) for surrogate in CASES for dtype in DTYPES]


@has_triton
def test_triton_interpreted_equals_torch(tmp_path):
    results = in_another_process("cpu", tmp_path, ALL, GRID, TRITON_INTERPRET="1")
    check_triton(results, ALL, GRID)


@has_triton
def test_triton_compiles_for_a_gpu_in_the_precision_asked_for(tmp_path):
    class Unknown(surrogates.FastSigmoid):
        code = 99

    cases = [(surrogate, dtype) for surrogate in CASES[: len(OPTIONS)] for dtype in DTYPES] + [(Unknown(), "float32")]
    *codes, refusal = in_another_process("compile", tmp_path, cases)
    for code, (surrogate, dtype) in zip(codes, cases[:-1], strict=True):
        assert ".visible .entry gradient_kernel" in code, (surrogate, code)
        assert ("f64" in code) == (dtype == "float64"), surrogate
    assert "no surrogate has this code" in refusal


@has_triton
@pytest.mark.gpu
def test_triton_on_a_gpu_equals_torch(tmp_path):
    check_triton(in_another_process("cuda", tmp_path, ALL, GRID), ALL, GRID)
