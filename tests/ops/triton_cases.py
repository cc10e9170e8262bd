"""The Triton kernels against the reference; a program, since Triton decides at its import whether to interpret.

``python triton_cases.py DEVICE OUT FAMILY:FIRST:LAST ...`` runs the cases of each family and writes to OUT what each
one found: null, or what differs. With TRITON_INTERPRET=1 the device is the CPU.
"""

import json
import random
import sys
from pathlib import Path
from typing import NamedTuple

import torch

from spikeneuro import ops
from spikeneuro.ops import LIFOutput, LIFParameters, LIFSettings, LIFState, lif_reference, triton_backend
from spikeneuro.ops.backend import Call, Gradients, Saved

NAMES = ("x", *LIFParameters._fields, *LIFState._fields)


class Case(NamedTuple):
    call: Call
    chance: random.Random
    generator: torch.Generator


def draw(seed: int, dtype: torch.dtype, device: str, *, recurrent: bool) -> Case:
    """Anything that the op takes: shapes, settings, numbers, rhythm and state."""
    chance, generator = random.Random(seed), torch.Generator().manual_seed(seed)

    def uniform(*shape, low=0.0, high=1.0):
        return (low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)).to(device, dtype)

    def bits(*shape):
        return uniform(*shape).round()

    steps, batch = chance.choice([1, 2, 4, 7]), chance.choice([1, 2, 3])
    features = (chance.choice([1, 3, 18]),) if recurrent else chance.choice([(1,), (5,), (3, 2, 2), (70,)])
    one = (batch, *features)
    late, reset = chance.random() < 0.5, chance.choice(["subtract", "zero", "none"])
    discards = reset == "zero" and late and chance.random() < 0.5
    settings = LIFSettings(
        reset, "next_step" if late else "same_step", chance.random() < 0.5, chance.choice([">", ">="]), discards,
        chance.choice([0, 0, 1, 3]), chance.random() < 0.5, chance.random() < 0.5,
        ops.surrogates.resolve(chance.choice(ops.surrogates.names())),
    )  # fmt: skip
    synapse, adapts = chance.random() < 0.5, chance.random() < 0.5

    def own():
        return chance.choice([(), (features[0], *(1 for _ in features[1:])), features])

    numbers = {
        "beta": uniform(*own(), low=0.5, high=0.99), "gain": uniform(*own(), low=0.5, high=1.5),
        "threshold": uniform(*own(), low=0.6), "v_rest": uniform(*own(), low=-0.2, high=0.2),
        "v_reset": uniform(*own(), low=-0.2, high=0.2),
    }  # fmt: skip
    if synapse:
        numbers["alpha"] = uniform(*own(), high=0.8)
    if adapts:
        numbers |= {"rho": uniform(*own(), low=0.5, high=0.95), "kappa": uniform(*own(), low=0.1, high=0.5)}
    x, delay = uniform(steps, *one, high=1.6), 0
    if recurrent:
        # Multiples of 1/64, so that sums of weights do not depend on their order and no spike can differ.
        x = (64 * x).round() / 64
        numbers["weight"] = torch.randint(-24, 24, 2 * features, generator=generator).to(device, dtype) / 64
        if chance.random() < 0.5:
            numbers["bias"] = torch.randint(0, 10, features, generator=generator).to(device, dtype) / 64
        delay = chance.choice([0, 0, 1, 3])
    mask = None
    if chance.random() < 0.5:
        shapes = [(steps, 1, *features), (steps, *one), (1, 1, *features), (steps, 1, *(1 for _ in features)), features]
        mask = (uniform(*chance.choice(shapes)) < 0.6).to(chance.choice([torch.bool, dtype]))
    state = LIFState()
    if chance.random() < 0.6:
        state = LIFState(
            uniform(*one), uniform(*one) if synapse else None, uniform(*one) if adapts else None,
            bits(delay + 1, *one) if recurrent or adapts else None, bits(*one) if settings.delayed else None,
            bits(*one) * 2 if settings.refractory else None,
        )  # fmt: skip
    call = Call(x, LIFParameters(**numbers), mask, state, settings, delay, True, True, adapts, "triton")
    return Case(call, chance, generator)


def parts(output: LIFOutput) -> list[torch.Tensor | None]:
    return [output.spikes, output.potential, *output.state, output.current, output.adaptation]


def reference(call: Call) -> tuple[Call, LIFOutput]:
    """The reference in the dtype of the kernels' arithmetic, on leaves."""
    kind = torch.float64 if call.x.dtype == torch.float64 else torch.float32

    def leaf(value):
        return None if value is None else value.detach().to(kind, copy=True).requires_grad_()

    call = call._replace(
        x=leaf(call.x), parameters=LIFParameters(*map(leaf, call.parameters)), state=LIFState(*map(leaf, call.state))
    )
    output = lif_reference(
        call.x, call.parameters, call.settings, call.state, mask=call.mask, delay=call.delay,
        keep_current=call.keep_current, keep_adaptation=call.keep_adaptation,
    )  # fmt: skip
    return call, output


def close(name: str, found: torch.Tensor, expected: torch.Tensor, rtol: float) -> None:
    """Raise unless `found` is within `rtol` of the largest value, however much of it cancels."""
    assert found.shape == expected.shape, f"{name}: shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    found, expected = found.double(), expected.detach().double()
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(
        found, expected, rtol=rtol, atol=rtol * max(scale, 1e-3), msg=lambda text: f"{name}: {text}"
    )


def check(case: Case) -> None:
    """Spikes alike; every other output and every gradient within rounding."""
    call, chance = case.call, case.chance
    output = triton_backend.forward(call)
    same, expected = reference(call)
    dtype, kind = call.x.dtype, same.x.dtype
    rtol = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 1e-2}[dtype]
    assert output.spikes.dtype == dtype
    assert torch.equal(output.spikes.to(kind), expected.spikes), "spikes differ"
    for name, found, wanted in zip(
        ("potential", *LIFState._fields, "currents", "adaptations"), parts(output)[1:], parts(expected)[1:], strict=True
    ):
        assert (found is None) == (wanted is None), f"{name} is {found}, expected {wanted}"
        if found is not None:
            assert found.dtype == (dtype if name == "history" else kind), f"{name} is {found.dtype}"
            close(name, found, wanted, min(rtol, 1e-5))
    weights = [
        None
        if part is None or name == "refractory" or (name != "spikes" and chance.random() < 0.3)
        else torch.rand(part.shape, generator=case.generator, dtype=torch.float64).to(part.device, part.dtype)
        for name, part in zip(("spikes", "potential", *LIFState._fields, "c", "a"), parts(output), strict=True)
    ]
    if chance.random() < 0.3:
        weights[0] = weights[0][:1].expand_as(weights[0])  # as the gradient of a mean over time is
    loss = sum(
        (weight.to(kind) * part).sum()
        for weight, part in zip(weights, parts(expected), strict=True)
        if weight is not None
    )
    leaves = [same.x, *same.parameters, *same.state]
    gradients = iter(torch.autograd.grad(loss, [leaf for leaf in leaves if leaf is not None], allow_unused=True))
    asked = [leaf is not None for leaf in leaves]
    kept = Saved(
        output.potential, None if call.plain else output.spikes, output.current,
        output.adaptation if chance.random() < 0.5 else None,
    )  # fmt: skip
    found = triton_backend.backward(Gradients(*weights[:7], *weights[8:]), kept, call, asked)
    assert len(found) == len(NAMES)
    for name, gradient, given, want in zip(NAMES, found, (call.x, *call.parameters, *call.state), asked, strict=True):
        if not want:
            assert gradient.numel() == 0, f"gradient of {name} was not asked for"
            continue
        wanted = next(gradients)
        wanted = torch.zeros_like(gradient) if wanted is None else wanted
        assert gradient.dtype == (kind if name in LIFState._fields else given.dtype), f"{name} is {gradient.dtype}"
        close(f"gradient of {name}", gradient, wanted, rtol)


def drawn(seed: int, device: str, dtype: torch.dtype, *, recurrent: bool) -> None:
    check(draw(seed, dtype, device, recurrent=recurrent))


def wide(seed: int, device: str) -> None:
    """Recurrent layers of which only half of the weights, or none, stay in registers."""
    case = draw(seed, torch.float32, device, recurrent=True)
    n, generator = (200, 300)[seed % 2], case.generator
    x = torch.randint(0, 64, (3, 2, n), generator=generator).to(device, torch.float32) / 64
    weight = torch.randint(-8, 8, (n, n), generator=generator).to(device, torch.float32) / 64
    numbers = LIFParameters(*(torch.tensor(value, device=device) for value in (0.5, 1.0, 0.5, 0.0, 0.0)))
    call = case.call._replace(x=x, parameters=numbers._replace(weight=weight), mask=None, state=LIFState())
    check(case._replace(call=call._replace(keep_adaptation=False)))


def no_steps(seed: int, device: str) -> None:
    """Without steps the state is handed on, and so is its gradient."""
    call = draw(seed, torch.float64, device, recurrent=bool(seed % 2)).call
    mask = None if call.mask is None else call.mask.new_ones(())
    call = call._replace(x=call.x[:0], mask=mask)
    output = triton_backend.forward(call)
    assert output.spikes.shape == output.potential.shape == call.x.shape
    for name, before, after in zip(LIFState._fields, call.state, output.state, strict=True):
        if before is not None:
            assert torch.equal(before, after), name
    given = [None if part is None or name == "refractory" else torch.rand_like(part)
             for name, part in zip(LIFState._fields, output.state, strict=True)]  # fmt: skip
    asked = [True, *(value is not None for value in (*call.parameters, *call.state))]
    kept = Saved(output.potential, output.spikes, output.current, output.adaptation)
    found = triton_backend.backward(Gradients(None, None, *given[:5], None, None), kept, call, asked)
    for name, before, gradient, after in zip(LIFState._fields, call.state, found[11:], given, strict=True):
        if before is not None and after is not None:
            assert torch.equal(gradient, after), name


def no_neurons(seed: int, device: str) -> None:
    """An empty batch."""
    call = draw(seed, torch.float64, device, recurrent=bool(seed % 2)).call
    mask = None if call.mask is None else call.mask.new_ones(())
    check(Case(call._replace(x=call.x[:, :0], mask=mask, state=LIFState()), random.Random(seed), torch.Generator()))


def in_pieces(seed: int, device: str) -> None:
    """A run in two pieces is the whole run."""
    call = draw(seed, torch.float32, device, recurrent=bool(seed % 2)).call
    x = torch.cat([call.x, call.x.flip(0)])
    mask = None
    if call.mask is not None:
        mask = torch.broadcast_to(call.mask, call.x.shape)
        mask = torch.cat([mask, mask.flip(0)])
    whole, state, found = triton_backend.forward(call._replace(x=x, mask=mask)), call.state, []
    for piece in (slice(0, 3), slice(3, None)):
        output = triton_backend.forward(
            call._replace(x=x[piece], mask=None if mask is None else mask[piece], state=state)
        )
        state = output.state
        found.append(output)
    assert torch.equal(torch.cat([output.potential for output in found]), whole.potential)
    for before, after in zip(state, whole.state, strict=True):
        assert before is after is None or torch.equal(before, after)


def through_autograd(seed: int, device: str) -> None:
    """The op itself, differentiated by torch, on an input that is not contiguous."""
    case = draw(seed, torch.float64, device, recurrent=bool(seed % 2))
    call, found = case.call, {}
    numbers = {name: value for name, value in call.parameters._asdict().items() if value is not None}
    for backend in ("reference", "triton"):
        strided = call.x.transpose(0, -1).contiguous().transpose(0, -1).requires_grad_()
        leaves = {name: value.clone().requires_grad_() for name, value in numbers.items()}
        output = ops.lif(
            strided, **leaves, mask=call.mask, state=call.state, settings=call.settings, delay=call.delay,
            backend=backend,
        )  # fmt: skip
        loss = (output.spikes.mean(0) * output.potential[-1]).sum() + output.state.v.sum()
        found[backend] = [
            output.spikes, *torch.autograd.grad(loss, [strided, *leaves.values()], materialize_grads=True)
        ]  # fmt: skip
    for k, (wanted, gradient) in enumerate(zip(found["reference"], found["triton"], strict=True)):
        close(("spikes", "x", *numbers)[k], gradient, wanted, 1e-10)


def sixteen_bits(seed: int, device: str) -> None:
    """The op itself: spikes and gradient in 16 bits, the rest in 32, and spikes as 32 bits give them."""
    dtype = (torch.bfloat16, torch.float16)[seed % 2]
    x = torch.rand(20, 2, 40, generator=torch.Generator().manual_seed(seed)).to(device, dtype)
    beta = float(torch.tensor(0.9, dtype=dtype))  # numbers are in the dtype of the input
    found = []
    for backend, given in (("triton", x), ("reference", x.float())):
        leaf = given.clone().requires_grad_()
        output = ops.lif(leaf, beta=beta, backend=backend)
        assert output.potential.dtype == output.state.v.dtype == torch.float32
        (gradient,) = torch.autograd.grad(output.spikes.float().square().sum() + output.state.v.sum(), leaf)
        assert gradient.dtype == output.spikes.dtype == given.dtype
        found.append((output.spikes.float(), gradient))
    assert torch.equal(found[0][0], found[1][0])
    close("gradient of x", found[0][1], found[1][1], 1e-2)


FAMILIES = {
    "feedforward-float64": lambda seed, device: drawn(seed, device, torch.float64, recurrent=False),
    "feedforward-float32": lambda seed, device: drawn(seed, device, torch.float32, recurrent=False),
    "feedforward-bfloat16": lambda seed, device: drawn(seed, device, torch.bfloat16, recurrent=False),
    "recurrent-float64": lambda seed, device: drawn(seed, device, torch.float64, recurrent=True),
    "recurrent-float32": lambda seed, device: drawn(seed, device, torch.float32, recurrent=True),
    "recurrent-bfloat16": lambda seed, device: drawn(seed, device, torch.bfloat16, recurrent=True),
    "wide": wide,
    "no-steps": no_steps,
    "no-neurons": no_neurons,
    "in-pieces": in_pieces,
    "through-autograd": through_autograd,
    "sixteen-bits": sixteen_bits,
}


def main(device: str, target: str, *wanted: str) -> None:
    results: dict[str, str | None] = {}
    for text in wanted:
        family, first, last = text.split(":")
        for seed in range(int(first), int(last)):
            try:
                FAMILIES[family](seed, device)
            except Exception as error:
                results[f"{family} {seed}"] = f"{type(error).__name__}: {error}"[:2000]
            else:
                results[f"{family} {seed}"] = None
    Path(target).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
