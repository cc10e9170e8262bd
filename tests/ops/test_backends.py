"""The compiled backend equals the reference, in value and in gradient, over drawn settings."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikeneuro import ops
from spikeneuro.errors import InputError
from spikeneuro.ops import buffers, numba_backend

CONFIGURATION = st.fixed_dictionaries(
    {
        "reset": st.sampled_from(["subtract", "zero", "none"]),
        "reset_timing": st.sampled_from(["same_step", "next_step"]),
        "detach_reset": st.booleans(),
        "comparison": st.sampled_from([">", ">="]),
        "refractory": st.sampled_from([0, 0, 1, 3]),
        "refractory_integrates": st.booleans(),
        "preserve_reset": st.booleans(),
        "surrogate": st.sampled_from(ops.surrogates.names()).map(ops.surrogates.resolve),
    }
)
LAYOUT = st.fixed_dictionaries(
    {
        "steps": st.integers(1, 9),
        "batch": st.integers(0, 6),
        "features": st.sampled_from([(1,), (5,), (3, 2, 2), (300,), (2100,)]),
        "synapse": st.booleans(),
        "adapts": st.booleans(),
        "mask": st.sampled_from(["none", "none", "shared", "constant", "by sample", "sparse"]),
        "delay": st.sampled_from([0, 0, 1, 4]),
        "shared": st.booleans(),
        "carried": st.booleans(),
        "recorded": st.booleans(),
        "discards": st.booleans(),
        "seed": st.integers(0, 2**20),
    }
)
PLAIN = {"synapse": True, "adapts": False, "mask": "none", "delay": 0, "discards": False}


def draw_mask(kind, steps, batch, features, generator):
    """Rhythm of one of several shapes, or None."""
    shapes = {"shared": (steps, 1, *features), "sparse": (steps, 1, *features), "constant": features,
              "by sample": (steps, batch, *features)}  # fmt: skip
    if kind == "none":
        return None
    return (torch.rand(shapes[kind], generator=generator) < (0.02 if kind == "sparse" else 0.6)).float()


def draw(layout, configuration, dtype, recurrent):
    """Leaves of one call: input, numbers and state, all requiring gradients; and its rhythm."""
    generator = torch.Generator().manual_seed(layout["seed"])
    batch, features = layout["batch"], layout["features"]

    def uniform(*shape, low=0.0, high=1.0):
        return (low + (high - low) * torch.rand(shape, generator=generator, dtype=dtype)).requires_grad_()

    def zeros_and_ones(*shape):
        return uniform(*shape).detach().round().requires_grad_()

    own = () if layout["shared"] else (features[0], *(1 for _ in features[1:]))
    x = uniform(layout["steps"], batch, *features, high=1.2)
    numbers = {
        "beta": uniform(*own, low=0.5, high=0.99), "gain": uniform(*own, low=0.5, high=1.5),
        "threshold": uniform(*own, low=0.7, high=1.2), "v_rest": uniform(*own, low=-0.2, high=0.2),
        "v_reset": uniform(*own, low=-0.2, high=0.2),
    }  # fmt: skip
    if layout["synapse"]:
        numbers["alpha"] = uniform(*own, high=0.8)
    if layout["adapts"]:
        numbers |= {"rho": uniform(*own, high=0.9), "kappa": uniform(*own, high=0.5)}
    if recurrent:
        n = features[0]
        # Multiples of 1/64, so that sums of weights do not depend on their order and ties cannot differ.
        weight = torch.randint(-24, 24, (n, n), generator=generator).to(dtype) / 64
        numbers["weight"], numbers["bias"] = weight.requires_grad_(), uniform(n, high=0.1)
    state = ops.LIFState()
    if layout["carried"]:
        late = configuration["reset_timing"] == "next_step" and configuration["reset"] != "none"
        past = layout["delay"] + 1 if recurrent else int(layout["adapts"])
        left = torch.randint(0, 3, (batch, *features), generator=generator).to(dtype)
        state = ops.LIFState(
            v=uniform(batch, *features),
            current=uniform(batch, *features) if layout["synapse"] else None,
            adaptation=uniform(batch, *features) if layout["adapts"] else None,
            history=zeros_and_ones(past, batch, *features) if past else None,
            pending=zeros_and_ones(batch, *features) if late else None,
            refractory=left if configuration["refractory"] else None,
        )
    return x, numbers, state, draw_mask(layout["mask"], layout["steps"], batch, features, generator), generator


def evaluate(backend, layout, configuration, dtype, recurrent):
    """Outputs of one backend and the gradients of a random function of all of them."""
    x, numbers, state, mask, generator = draw(layout, configuration, dtype, recurrent)
    discards = layout["discards"] and (configuration["reset"], configuration["reset_timing"]) == ("zero", "next_step")
    output = ops.lif(
        x, **numbers, state=state, mask=mask, delay=layout["delay"] if recurrent else 0,
        settings=ops.LIFSettings(**configuration, zero_discards_input=discards), keep_current=layout["recorded"],
        keep_adaptation=layout["recorded"] and layout["adapts"], backend=backend,
    )  # fmt: skip
    outputs = [output.spikes, output.potential, *output.state, output.current, output.adaptation]
    outputs = [part for part in outputs if part is not None]
    weights = [torch.rand(part.shape, generator=generator, dtype=dtype) for part in outputs]
    loss = sum((weight * part).sum() for weight, part in zip(weights, outputs, strict=True))
    leaves = [x, *numbers.values(), *(part for part in state[:-1] if part is not None)]  # a counter has none
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [part.detach() for part in outputs], [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, gradients, strict=True)
    ]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(layout=LAYOUT, configuration=CONFIGURATION)
def test_feedforward_equals_reference(layout, configuration):
    expected, expected_gradients = evaluate("reference", layout, configuration, torch.float64, recurrent=False)
    found, found_gradients = evaluate("numba", layout, configuration, torch.float64, recurrent=False)
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(expected_gradients, found_gradients, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-11)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(layout=LAYOUT, configuration=CONFIGURATION, n=st.sampled_from([1, 3, 8, 21]))
def test_recurrent_equals_reference(layout, configuration, n):
    layout = layout | {"features": (n,)}
    expected, expected_gradients = evaluate("reference", layout, configuration, torch.float64, recurrent=True)
    found, found_gradients = evaluate("numba", layout, configuration, torch.float64, recurrent=True)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)
    for a, b in zip(expected_gradients, found_gradients, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-8, atol=1e-9)


@pytest.fixture
def streamed(monkeypatch):
    """Results of any size written past the caches, into reused memory."""
    monkeypatch.setattr(numba_backend, "_STREAMED_FROM", 0)
    monkeypatch.setattr(buffers, "SMALLEST", 1)


def spoil_idle_memory():
    """Fill memory that waits for reuse with what is no number, so that a place which is left out shows."""
    buffers._POOL[0].collect()
    for memories in buffers._POOL[0].idle.values():
        for memory in memories:
            np.frombuffer(memory, np.uint8)[:] = 255


@pytest.mark.usefixtures("streamed")
@settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    layout=LAYOUT, configuration=CONFIGURATION, dtype=st.sampled_from([torch.float32, torch.float64]),
    features=st.sampled_from([(16,), (24,), (48,), (4, 2, 2), (2064,), (4128,)]), recurrent=st.booleans(),
)  # fmt: skip
def test_results_written_past_the_caches_equal_the_reference(layout, configuration, dtype, features, recurrent):
    layout |= {"features": features[:1] if features[0] < 50 else (32,)} if recurrent else {"features": features}
    expected, expected_gradients = evaluate("reference", layout, configuration, dtype, recurrent)
    spoil_idle_memory()
    found, found_gradients = evaluate("numba", layout, configuration, dtype, recurrent)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-6 if recurrent else 0, atol=1e-6 if recurrent else 0)
    for a, b in zip(expected_gradients, found_gradients, strict=True):
        scale, precision = float(a.abs().max()) if a.numel() else 0.0, 1e-5 if dtype == torch.float32 else 1e-11
        torch.testing.assert_close(b, a, rtol=100 * precision, atol=precision * max(scale, 1.0))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(layout=LAYOUT, configuration=CONFIGURATION, dtype=st.just(torch.float32))
def test_single_precision_gives_the_same_bits_forward(layout, configuration, dtype):
    expected, expected_gradients = evaluate("reference", layout, configuration, dtype, recurrent=False)
    found, found_gradients = evaluate("numba", layout, configuration, dtype, recurrent=False)
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(expected_gradients, found_gradients, strict=True):
        scale = float(a.abs().max()) if a.numel() else 0.0
        torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-5 * max(scale, 1.0))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize(("recurrent", "mask"), [(False, "none"), (True, "none"), (True, "shared")])
def test_result_does_not_depend_on_the_number_of_threads(recurrent, mask, n_threads):
    layout = {"steps": 12, "batch": 7, "features": (90,) if recurrent else (700,), "shared": False, "carried": True,
              "recorded": False, "seed": 5, **PLAIN, "mask": mask}  # fmt: skip
    configuration = {"reset": "subtract", "reset_timing": "same_step", "refractory": 0}
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = evaluate("numba", layout, configuration, torch.float32, recurrent)
        torch.set_num_threads(n_threads)
        found = evaluate("numba", layout, configuration, torch.float32, recurrent)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(expected[0] + expected[1], found[0] + found[1], strict=True):
        assert torch.equal(a, b)


def test_expanded_and_strided_gradients_and_inputs():
    x = torch.rand(6, 4, 10, dtype=torch.float64)
    strided = x.permute(2, 1, 0).contiguous().permute(2, 1, 0).requires_grad_()
    weights = torch.rand(10, dtype=torch.float64)
    found = {}
    for backend in ("reference", "numba"):
        output = ops.lif(strided, beta=0.9, backend=backend)
        (mean,) = torch.autograd.grad((output.spikes.mean(0) * weights).sum(), strided, retain_graph=True)
        (last,) = torch.autograd.grad((output.spikes.flip(0).transpose(0, 1)[:, 0] * weights).sum(), strided)
        found[backend] = (mean, last)
    for a, b in zip(found["reference"], found["numba"], strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-14)


def test_half_precision_goes_to_the_reference():
    x = torch.rand(4, 2, 3).to(torch.bfloat16)
    name, reason = ops.choose_backend(x)
    assert name == "reference"
    assert "bfloat16" in reason
    assert ops.lif(x, beta=0.9).spikes.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.rand(5, 3)}, "expected an input"),
        ({"x": torch.ones(4, 2, 3, dtype=torch.int64)}, "floating-point"),
        ({"beta": torch.rand(4)}, "does not broadcast over the features"),
        ({"beta": torch.rand(3, dtype=torch.float64)}, "beta is torch.float64"),
        ({"threshold": float("nan")}, "threshold must be finite"),
        ({"rho": 0.9}, "belong together"),
        ({"weight": torch.rand(4, 4)}, "recurrent weights of shape"),
        ({"delay": 2}, "delay is a number of steps of recurrent"),
        ({"backend": "cuda"}, "backend='cuda' is unknown"),
        ({"mask": torch.ones(4, 2, 5)}, "mask of shape"),
        ({"state": ops.LIFState(v=torch.zeros(3))}, "state's v must be"),
        ({"state": ops.LIFState(current=torch.zeros(2, 3))}, "state's current belongs to a neuron with other"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        ops.lif(**({"x": torch.rand(4, 2, 3), "beta": 0.9} | arguments))


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_piece_without_steps_leaves_the_state(backend):
    state = ops.LIFState(v=torch.rand(2, 3), current=torch.rand(2, 3), history=torch.ones(1, 2, 3))
    output = ops.lif(
        torch.rand(0, 2, 3),
        beta=0.9,
        alpha=0.5,
        weight=torch.rand(3, 3),
        state=state,
        keep_current=True,
        backend=backend,
    )
    assert output.spikes.shape == output.potential.shape == output.current.shape == (0, 2, 3)
    for before, after in zip(state, output.state, strict=True):
        assert (before is None and after is None) or torch.equal(before, after)


@pytest.mark.parametrize("name", ["beta", "gain", "threshold", "alpha", "rho", "kappa"])
def test_one_learned_number_beside_fixed_ones(name):
    """What the backward pass needs follows from what learns, here a single number or none."""
    found = {}
    for backend in ("reference", "numba"):
        generator = torch.Generator().manual_seed(0)
        x = (2 * torch.rand(9, 2, 7, generator=generator)).requires_grad_()
        numbers = {
            key: 0.3 + 0.5 * torch.rand(7, generator=generator)
            for key in ("beta", "gain", "threshold", "alpha", "rho", "kappa")
        }
        plain = ops.lif(x, **numbers, backend=backend).spikes.sum()
        (first,) = torch.autograd.grad(plain, x)
        numbers[name] = numbers[name].requires_grad_()
        learned = ops.lif(x, **numbers, backend=backend).spikes.sum()
        found[backend] = first, *torch.autograd.grad(learned, [x, numbers[name]])
    for a, b in zip(*found.values(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("timing", ["same_step", "next_step"])
@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_an_infinite_threshold_never_fires(backend, reset, timing):
    x = torch.rand(8, 2, 20, dtype=torch.float64, requires_grad=True)
    beta = torch.full((20,), 0.9, dtype=torch.float64, requires_grad=True)
    settings = ops.LIFSettings(reset=reset, reset_timing=timing)
    output = ops.lif(x, beta=beta, threshold=x.new_full((), torch.inf), settings=settings, backend=backend)
    gradients = torch.autograd.grad(output.potential.sum(), [x, beta])
    expected = ops.lif(x, beta=beta, threshold=1e300, settings=settings, backend=backend)
    assert not output.spikes.any()
    assert torch.equal(output.potential, expected.potential)
    for a, b in zip(gradients, torch.autograd.grad(expected.potential.sum(), [x, beta]), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float64, torch.bfloat16, torch.int64])
def test_a_mask_of_any_type(dtype):
    x = torch.rand(9, 3, 40)
    mask = torch.rand(9, 1, 40, generator=torch.Generator().manual_seed(0)) < 0.4
    expected = ops.lif(x, beta=0.9, mask=mask, backend="reference").spikes
    assert torch.equal(ops.lif(x, beta=0.9, mask=mask.to(dtype), backend="numba").spikes, expected)


def test_a_membrane_that_is_not_asked_for_changes_nothing():
    x = torch.rand(50, 16, 512, requires_grad=True)  # large enough for reused memory, poisoned here
    mask = (torch.rand(50, 1, 512, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    for _ in range(3):
        ops.lif(torch.full((50, 16, 512), torch.nan), beta=0.9)
    found = [ops.lif(x, beta=0.9, mask=mask, keep_potential=keep) for keep in (True, False)]
    assert found[1].potential is None
    assert torch.equal(found[0].spikes, found[1].spikes)
    gradients = [torch.autograd.grad(output.spikes.sum(), x)[0] for output in found]
    assert torch.equal(*gradients)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_second_and_forward_derivatives_are_refused(backend):
    x = torch.rand(5, 2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(ops.lif(x, beta=0.9, backend=backend).spikes.sum(), x, create_graph=True)
    with pytest.raises(InputError, match="cannot be differentiated twice"):
        gradient.square().sum().backward()
    with pytest.raises(InputError, match="no forward-mode"):
        torch.func.jvp(lambda x: ops.lif(x, beta=0.9, backend=backend).spikes, (x.detach(),), (x.detach(),))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(layout=LAYOUT, configuration=CONFIGURATION, recurrent=st.booleans(), cut=st.integers(0, 9))
def test_pieces_equal_the_whole_and_samples_do_not_mix(layout, configuration, recurrent, cut):
    layout = layout | ({"features": (21,)} if recurrent else {})
    x, numbers, state, mask, generator = draw(layout, configuration, torch.float64, recurrent)
    by_sample = layout["mask"] == "by sample"
    options = {"settings": ops.LIFSettings(**configuration), "delay": layout["delay"] if recurrent else 0}

    def run(x, state, mask):
        with torch.no_grad():
            return ops.lif(x, **numbers, **options, state=state, mask=mask, backend="numba")

    def steps(mask, first, last):
        return mask if mask is None or mask.dim() < x.dim() else mask[first:last]

    whole, cut = run(x, state, mask), min(cut, len(x))
    early = run(x[:cut], state, steps(mask, 0, cut))
    late = run(x[cut:], early.state, steps(mask, cut, len(x)))
    assert torch.equal(torch.cat([early.spikes, late.spikes]), whole.spikes)
    assert torch.equal(torch.cat([early.potential, late.potential]), whole.potential)
    for a, b in zip(late.state, whole.state, strict=True):
        assert a is None or torch.equal(a, b)

    order = torch.randperm(x.shape[1], generator=generator)
    axes = ops.LIFState(0, 0, 0, 1, 0, 0)  # where the parts of the state have the batch
    shuffled = ops.LIFState(
        *(None if part is None else part.index_select(axis, order) for part, axis in zip(state, axes, strict=True))
    )
    again = run(x[:, order], shuffled, mask[:, order] if by_sample else mask)
    assert torch.equal(again.spikes, whole.spikes[:, order])
