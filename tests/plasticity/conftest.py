"""Sums over all pairs and triplets of spikes, written as loops: what the rules are held to."""

import math

import numpy as np
import pytest
import torch


class BruteForce:
    """Changes of one synapse by two trains of spikes, by the definition of each rule."""

    @staticmethod
    def earlier(times, now, *, same, pairing):
        """Spikes before a moment (and in it, if `same`) that a spike pairs with."""
        found = [t for t in times if t < now or (same and t == now)]
        return found[-1:] if pairing == "nearest" else found

    def pair(self, pre, post, rule):
        up = rule.coincident in ("both", "potentiate")
        down = rule.coincident in ("both", "depress")
        total = 0.0
        for t in post:
            for s in self.earlier(pre, t, same=up, pairing=rule.pairing):
                total += rule.a_plus * math.exp(-(t - s) * rule.dt / rule.tau_plus)
        for s in pre:
            for t in self.earlier(post, s, same=down, pairing=rule.pairing):
                total -= rule.a_minus * math.exp(-(s - t) * rule.dt / rule.tau_minus)
        return total

    def triplet(self, pre, post, rule):
        up = rule.coincident in ("both", "potentiate")
        down = rule.coincident in ("both", "depress")
        total = 0.0
        for t in post:
            others = self.earlier(post, t, same=False, pairing=rule.pairing)
            for s in self.earlier(pre, t, same=up, pairing=rule.pairing):
                amplitude = rule.a2_plus
                for u in others:
                    amplitude += rule.a3_plus * math.exp(-(t - u) * rule.dt / rule.tau_y)
                total += amplitude * math.exp(-(t - s) * rule.dt / rule.tau_plus)
        for s in pre:
            others = self.earlier(pre, s, same=False, pairing=rule.pairing)
            for t in self.earlier(post, s, same=down, pairing=rule.pairing):
                amplitude = rule.a2_minus
                for u in others:
                    amplitude += rule.a3_minus * math.exp(-(s - u) * rule.dt / rule.tau_x)
                total -= amplitude * math.exp(-(s - t) * rule.dt / rule.tau_minus)
        return total

    def matrix(self, pre, post, change):
        """Change of every synapse of each sample, (batch, post, pre), from trains (time, batch, neurons)."""
        out = np.zeros((pre.shape[1], post.shape[2], pre.shape[2]))
        for b, j, i in np.ndindex(*out.shape):
            times = [np.flatnonzero(train[:, b, k].numpy()).tolist() for train, k in ((pre, i), (post, j))]
            out[b, j, i] = change(*times)
        return torch.from_numpy(out)


@pytest.fixture
def brute_force():
    return BruteForce()


def random_train(*shape, rate=0.2, seed=0, dtype=torch.float64):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < rate).to(dtype)


@pytest.fixture
def train():
    return random_train
