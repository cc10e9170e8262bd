"""Rules of SpikingJelly and BindsNET on the same spikes.

BindsNET asks for a newer torch than the other packages allow, though its rules run with theirs. Its equations therefore
stand here as loops, taken from its documentation and source; where it can be imported it is compared with directly:
``pip install --no-deps bindsnet tensorboardX protobuf gymnasium ale-py opencv-python-headless cloudpickle
farama-notifications`` (BindsNET 0.3.4).
"""

import math

import pytest
import torch
from torch import nn

from spikeneuro.plasticity import Dense, Normalisation, PairSTDP, RewardSTDP, WeightDecay, connect, learning

STEPS, BATCH, PRE, POST = 40, 3, 6, 5


@pytest.fixture
def trains(train):
    return train(STEPS, BATCH, PRE, seed=1, dtype=torch.float32), train(STEPS, BATCH, POST, seed=2, dtype=torch.float32)


def start(high=0.8):
    return 0.2 + high * 0.5 * torch.rand(POST, PRE, generator=torch.Generator().manual_seed(0))


class TestSpikingJelly:
    """Its STDPLearner: traces that decay by 1 - 1/tau per step, updated before the weights; sums over the batch."""

    tau_pre, tau_post = 4.0, 6.0

    def rule(self, **options):
        taus = (-1.0 / math.log(1 - 1 / tau) for tau in (self.tau_pre, self.tau_post))
        names = ("tau_plus", "tau_minus")
        return PairSTDP(dt=1.0, coincident="both", **dict(zip(names, taus, strict=True)), **options)

    def learned(self, synapses, pre, post, f_pre, f_post):
        """Weights after their learner changed them step by step, bounded as theirs are by the user."""
        theirs = pytest.importorskip("spikingjelly.activation_based.learning")
        cells = nn.Identity()
        learner = theirs.STDPLearner("s", synapses, cells, self.tau_pre, self.tau_post, f_pre, f_post)
        with torch.no_grad():
            for now, fired in zip(pre, post, strict=True):
                synapses(now)
                cells(fired)
                synapses.weight += learner.step(on_grad=False)
        return synapses.weight.detach()

    @pytest.mark.parametrize("soft", [False, True])
    def test_linear(self, trains, soft) -> None:
        pre, post = trains
        mine, theirs = nn.Linear(PRE, POST, bias=False), nn.Linear(PRE, POST, bias=False)
        mine.weight.data, theirs.weight.data = start(), start()
        rule = self.rule(a_plus=0.01, a_minus=0.02, mu_plus=float(soft), mu_minus=float(soft))
        with learning(connect(mine, -5.0, 5.0), rule, reduction="sum") as learner:
            learner.replay(pre, post)
        expected = self.learned(
            theirs, pre, post,
            lambda w: 0.02 * (w + 5.0 if soft else torch.ones_like(w)),
            lambda w: 0.01 * (5.0 - w if soft else torch.ones_like(w)),
        )  # fmt: skip
        assert (expected - start()).abs().max() > 0.01
        torch.testing.assert_close(mine.weight.detach(), expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        ("make", "size"),
        [
            (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), (6, 7)),
            (lambda: nn.Conv1d(2, 3, 3, stride=2, bias=False), (11,)),
        ],
    )
    def test_convolution(self, make, size, train) -> None:
        mine, theirs = make(), make()
        theirs.load_state_dict(mine.state_dict())
        old = mine.weight.detach().clone()
        pre = train(STEPS, BATCH, 2, *size, seed=3, dtype=torch.float32)
        post = train(STEPS, *mine(pre[0]).shape, seed=4, dtype=torch.float32)
        rule = self.rule(a_plus=0.001, a_minus=0.002)
        change = rule.delta(pre, post, connect(mine), reduction="sum")
        one = torch.ones_like(old[:, :, 0]) if len(size) == 1 else torch.ones_like(old[:, :, 0, 0])
        expected = self.learned(theirs, pre, post, lambda w: 0.002 * one, lambda w: 0.001 * one)
        torch.testing.assert_close(old + change, expected, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("traced", [False, True])
    def test_reward(self, trains, traced) -> None:
        theirs = pytest.importorskip("spikingjelly.activation_based.learning")
        pre, post = (train[:, :1] for train in trains)
        reward = torch.randn(STEPS, generator=torch.Generator().manual_seed(3))
        synapses, cells = nn.Linear(PRE, POST, bias=False), nn.Identity()
        synapses.weight.data = start()
        one = torch.ones_like
        make, more = (theirs.MSTDPETLearner, (20.0,)) if traced else (theirs.MSTDPLearner, ())
        learner = make("s", synapses, cells, 8.0, 9.0, *more, one, one)
        total = torch.zeros(POST, PRE)
        for t in range(STEPS):
            synapses(pre[t, 0] if traced else pre[t])
            cells(post[t, 0] if traced else post[t])
            total += learner.step(reward[t], on_grad=False)
        pair = PairSTDP(a_plus=1.0, a_minus=1.0, tau_plus=8.0, tau_minus=9.0, dt=1.0, coincident="both")
        rule = RewardSTDP(rule=pair, tau_eligibility=20.0 if traced else None, rate=1 / 20 if traced else 1.0, lag=1)
        torch.testing.assert_close(rule.delta(pre, post, reward=reward), total, rtol=1e-5, atol=1e-5)


NU = (0.01, 0.02)


def bindsnet_equations(name, weight, pre, post, reward, *, decay=0.0):
    """BindsNET's rules as loops, dt 1 ms and time constants 20 ms; weights (pre, post) as there, clamped to [0, 1]."""
    w, lam = weight.T.clone(), math.exp(-1 / 20)
    x_pre, x_post = torch.zeros(pre.shape[1], PRE), torch.zeros(post.shape[1], POST)
    p_plus, p_minus = torch.zeros_like(x_pre), torch.zeros_like(x_post)
    point, trace = 0.0, 0.0
    outer = lambda a, b: torch.einsum("bi,bj->bij", a, b)  # noqa: E731
    for t in range(len(pre)):
        s_pre, s_post = pre[t], post[t]
        x_pre = torch.where(s_pre > 0, 1.0, lam * x_pre)
        x_post = torch.where(s_post > 0, 1.0, lam * x_post)
        if name == "PostPre":
            w = w - NU[0] * outer(s_pre, x_post).sum(0)
            w = w + NU[1] * outer(x_pre, s_post).sum(0)
        elif name == "Hebbian":
            w = w + NU[0] * outer(s_pre, x_post).sum(0) + NU[1] * outer(x_pre, s_post).sum(0)
        elif name == "WeightDependentPostPre":
            w = w - NU[0] * outer(s_pre, x_post).sum(0) * w + NU[1] * outer(x_pre, s_post).sum(0) * (1 - w)
        else:
            if name == "MSTDP":
                change = NU[0] * reward[t] * point
            else:
                trace = trace * math.exp(-1 / 25) + point / 25
                change = NU[0] * 1.0 * reward[t] * trace
            w = w + (change.sum(0) if isinstance(change, torch.Tensor) else change)
            p_plus, p_minus = lam * p_plus + s_pre, lam * p_minus - s_post
            point = outer(p_plus, s_post) + outer(s_pre, p_minus)
        w = (w * (1 - decay)).clamp(0, 1)
    return w.T


def bindsnet_rule(name):
    nearest = {"pairing": "nearest", "coincident": "both", "dt": 0.001, "a_plus": NU[1], "a_minus": NU[0]}
    return {
        "PostPre": PairSTDP(**nearest),
        "Hebbian": PairSTDP(**{**nearest, "a_minus": -NU[0]}),
        "WeightDependentPostPre": PairSTDP(**nearest, mu_plus=1.0, mu_minus=1.0),
        "MSTDP": RewardSTDP.mstdp(rate=NU[0], dt=0.001),
        "MSTDPET": RewardSTDP.mstdpet(rate=NU[0], dt=0.001),
    }[name]


def mine(name, weight, pre, post, reward, homeostasis=()):
    connection = Dense(weight.clone(), 0.0, 1.0)
    with learning(connection, bindsnet_rule(name), reduction="sum", homeostasis=homeostasis) as learner:
        learner.replay(pre, post, reward=reward if name.startswith("MSTDP") else None)
    return connection.weight


BINDSNET = ["PostPre", "Hebbian", "WeightDependentPostPre", "MSTDP", "MSTDPET"]


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("name", BINDSNET)
def test_equations_of_bindsnet(name, decay, trains) -> None:
    reward = torch.randn(STEPS, generator=torch.Generator().manual_seed(3))
    parts = (WeightDecay(tau=-0.001 / math.log(1 - decay)),) if decay else ()
    expected = bindsnet_equations(name, start(), *trains, reward, decay=decay)
    found = mine(name, start(), *trains, reward, parts)
    assert (expected - start()).abs().max() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [1, BATCH])
@pytest.mark.parametrize("name", BINDSNET)
def test_bindsnet_itself(name, batch, trains) -> None:
    """Two groups whose spikes are given, so that no neuron model takes part."""
    pytest.importorskip("bindsnet")
    from bindsnet import learning as rules
    from bindsnet.network import Network
    from bindsnet.network.nodes import Input
    from bindsnet.network.topology import Connection

    pre, post = (train[:, :batch] for train in trains)
    reward = torch.randn(STEPS, generator=torch.Generator().manual_seed(3))
    network = Network(dt=1.0, batch_size=batch)
    source, target = Input(n=PRE, traces=True), Input(n=POST, traces=True)
    network.add_layer(source, "pre")
    network.add_layer(target, "post")
    network.add_connection(
        Connection(source, target, w=start().T.clone(), update_rule=getattr(rules, name), nu=NU, wmin=0.0, wmax=1.0),
        "pre", "post",
    )  # fmt: skip
    joined = network.connections["pre", "post"]
    for t in range(STEPS):
        source.forward(pre[t].clone())
        target.forward(post[t].clone())
        joined.update(reward=reward[t], learning=True)
    torch.testing.assert_close(mine(name, start(), pre, post, reward), joined.w.T, rtol=1e-5, atol=1e-6)


def test_normalisation_of_bindsnet(trains) -> None:
    """Its `normalize` scales the column of each neuron to a given sum."""
    found = mine("PostPre", start(), *trains, None, (Normalisation(total=1.5),))
    plain = mine("PostPre", start(), *trains, None)
    torch.testing.assert_close(found, plain * 1.5 / plain.sum(1, keepdim=True))
