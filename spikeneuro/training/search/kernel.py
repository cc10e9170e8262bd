"""Matérn kernel on Wasserstein distances, and the Gaussian process of a search (needs the extra ``search``)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spikeneuro._optional import require

gpytorch: Any = require("gpytorch", "search")


def matern52(distance: Tensor) -> Tensor:
    r"""Matérn function of smoothness 5/2, :math:`(1 + \sqrt5 d + \tfrac53 d^2) \, e^{-\sqrt5 d}`.

    Parameters
    ----------
    distance : Tensor
        Distances in units of the length scale.

    Returns
    -------
    Tensor
        Of the same shape, 1 at distance 0.

    Examples
    --------
    >>> matern52(torch.tensor([0.0, 1.0]))
    tensor([1.0000, 0.5240])
    """
    scaled = math.sqrt(5.0) * distance
    return (1.0 + scaled + scaled**2 / 3.0) * torch.exp(-scaled)


class WassersteinMatern(gpytorch.kernels.Kernel):
    r"""Matérn-5/2 kernel between products of distributions.

    .. math:: k(p, q) = \Bigl(1 + \sqrt5 d + \tfrac53 d^2\Bigr) e^{-\sqrt5 d}, \qquad
              d^2 = \sum_b \frac{W_2(p_b, q_b)^2}{\ell_b^2}

    Inputs are the embeddings of the distributions, one after the other: the distance between two is Euclidean then,
    so that the kernel is positive semidefinite for any length scales.

    Parameters
    ----------
    sizes : sequence of int
        Length of each distribution's embedding; each has its own length scale.
    **options
        Those of ``gpytorch.kernels.Kernel``.

    References
    ----------
    Chakraborty and Mukhopadhyay (2023), doi:10.3389/fnins.2023.994517; Bachoc et al. (2018),
    doi:10.1109/TIT.2017.2762322 (positive definiteness on the line).

    Examples
    --------
    >>> kernel = WassersteinMatern([2, 1]).double()
    >>> x = torch.randn(5, 3, dtype=torch.float64)
    >>> bool((torch.linalg.eigvalsh(kernel(x).to_dense()) > -1e-12).all())
    True
    """

    def __init__(self, sizes: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        n = len(sizes)
        self.register_buffer("_sizes", torch.as_tensor(list(sizes)))
        self.register_parameter("raw_scales", torch.nn.Parameter(torch.zeros(1, n)))
        # grows with the root of the number of distributions, as distances do
        prior = gpytorch.priors.LogNormalPrior(math.sqrt(2.0) + 0.5 * math.log(n), math.sqrt(3.0))
        self.register_prior("scales_prior", prior, _scales_of, _set_scales)
        self.register_constraint("raw_scales", gpytorch.constraints.GreaterThan(0.025, initial_value=prior.mode))

    @property
    def scales(self) -> Tensor:
        """Length scale of each distribution, (1, distributions)."""
        positive: Tensor = self.raw_scales_constraint.transform(self.raw_scales)
        return positive

    @scales.setter
    def scales(self, value: Any) -> None:
        given = torch.as_tensor(value).to(self.raw_scales).expand_as(self.raw_scales)
        self.initialize(raw_scales=self.raw_scales_constraint.inverse_transform(given))

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Return the kernel between two sets of embeddings.

        Parameters
        ----------
        x1, x2 : Tensor
            (..., n, features) and (..., m, features).
        diag : bool, default False
            Whether to return the pairs of equal index only.
        **params
            Passed on to ``covar_dist``.

        Returns
        -------
        Tensor
            (..., n, m), or (..., n) with `diag`.
        """
        scale = self.scales.repeat_interleave(self._sizes, dim=-1)
        # centred, as gpytorch's own: differences of large numbers lose digits
        centre = x1.mean(dim=-2, keepdim=True)
        distance = self.covar_dist((x1 - centre) / scale, (x2 - centre) / scale, diag=diag, **params)
        return matern52(distance)


def _scales_of(kernel: WassersteinMatern) -> Tensor:
    return kernel.scales


def _set_scales(kernel: WassersteinMatern, value: Any) -> None:
    kernel.scales = value


def fitted(features: Tensor, scores: Tensor, sizes: Sequence[int]) -> Any:
    """Fit a Gaussian process to what a search has seen, by maximum a posteriori.

    Parameters
    ----------
    features : Tensor
        Embeddings, (trials, features), double precision.
    scores : Tensor
        (trials,), of mean 0 and standard deviation about 1.
    sizes : sequence of int
        Length of each embedding.

    Returns
    -------
    botorch.models.SingleTaskGP
        The process; noise is inferred.
    """
    botorch: Any = require("botorch", "search")
    covariance = gpytorch.kernels.ScaleKernel(
        WassersteinMatern(sizes), outputscale_prior=gpytorch.priors.GammaPrior(2.0, 0.15)
    )
    with botorch.settings.validate_input_scaling(False):  # embeddings have their own scale
        model = botorch.models.SingleTaskGP(features, scores[:, None], covar_module=covariance, outcome_transform=None)
        botorch.fit.fit_gpytorch_mll(gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model))
    return model


@torch.no_grad()
def log_expected_improvement(model: Any, features: Tensor, best: float) -> Tensor:
    """Return the logarithm of the improvement that is to be expected, for maximisation.

    Parameters
    ----------
    model : botorch.models.SingleTaskGP
        What `fitted` gives.
    features : Tensor
        Embeddings of candidates, (candidates, features).
    best : float
        The best score so far.

    Returns
    -------
    Tensor
        (candidates,).
    """
    acquisition: Any = require("botorch.acquisition", "search")
    values: Tensor = acquisition.LogExpectedImprovement(model, best_f=best)(features[:, None])
    return values
