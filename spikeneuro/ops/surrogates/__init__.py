"""Surrogate derivatives of the spike: what replaces the Dirac pulse of the Heaviside step in the backward pass.

A surrogate is a small frozen dataclass. Its argument is always ``x = u - threshold``; the forward pass of a neuron
stays an exact step. `primitive` is the smooth step whose derivative `gradient` is, 1/2 at 0: it makes the smooth
relaxation of a neuron (see `spikeneuro.ops.lif_reference`), in which automatic differentiation is exact and can be
checked. The compiled kernels know the same derivatives by `code`.

A field called ``height`` is the value at the peak, one called ``amplitude`` the total over all x. What other frameworks
offer under other names are settings of these classes:

==========================================  ====================================================
snnTorch 1.0                                here
==========================================  ====================================================
``fast_sigmoid(slope=k)``                   ``FastSigmoid(slope=k)``
``atan(alpha=a)``                           ``Atan(alpha=a)``
``sigmoid(slope=k)``                        ``Sigmoid(slope=k)``
``spike_rate_escape(beta=b, slope=k)``      ``Exponential(height=k, slope=b, center=1)``
``straight_through_estimator()``            ``StraightThrough()``
``heaviside()``                             ``StraightThrough(below=0)``
==========================================  ====================================================

==========================================  ====================================================
SpikingJelly 2.0                            here
==========================================  ====================================================
``Sigmoid(alpha=a)``                        ``Sigmoid(slope=a)``
``ATan(alpha=a)``                           ``Atan(alpha=a)``
``SoftSign(alpha=a)``                       ``FastSigmoid(slope=a, height=a / 2)``
``SuperSpike(alpha=a)``                     ``FastSigmoid(slope=1, height=a)``
``PiecewiseQuadratic(alpha=a)``             ``Triangle(height=a, width=1 / a)``
``PiecewiseExp(alpha=a)``                   ``Exponential(height=a / 2, slope=a)``
``Erf(alpha=a)``                            ``Gaussian(sigma=1 / (a * sqrt(2)))``
``Rect(alpha=a)``                           ``Rectangle(width=1 / a, height=a)``
``LeakyKReLU(leak=b, k=k)``                 ``StraightThrough(below=b, above=k)``
==========================================  ====================================================

==========================================  ====================================================
Norse 1.1                                   here
==========================================  ====================================================
``method="super", alpha=a``                 ``FastSigmoid(slope=1)``
``method="triangle", alpha=a``              ``Triangle(height=a)``
``method="tanh", alpha=a``                  ``Sigmoid(slope=2 * a, amplitude=2 / a)``
``method="heavi_erfc", alpha=a``            ``Gaussian(sigma=1 / (a * sqrt(2)), amplitude=2 / a)``
==========================================  ====================================================

==========================================  ====================================================
publication                                 here
==========================================  ====================================================
SuperSpike (Zenke and Ganguli, 2018)        ``FastSigmoid(slope=b)``
STBP (Wu et al., 2018)                      ``Rectangle(width=a, height=1 / a)``
LSNN (Bellec et al., 2018), threshold c     ``Triangle(height=0.3 / c, width=c)``
SLAYER (Shrestha and Orchard, 2018)         ``Exponential(height=1 / a, slope=b)``
SRNN (Yin et al., 2021)                     ``MultiGaussian()``
boxcar (Bittar and Garner, 2022)            ``Rectangle()``
==========================================  ====================================================

Norse 1.1.0 takes the alpha of "super" but does not use it; its documentation describes ``FastSigmoid(slope=alpha)``.
At x = 0 exactly SpikingJelly's neuron fires, so that LeakyKReLU has k there, and a boxcar or triangle may or may not
include the ends of its support; everywhere else the rows agree to rounding.

Not offered: snnTorch's "triangular", which is no triangle but a constant, positive below the threshold and negative
above it, however far away. It says that a higher membrane makes a neuron that fires less likely to fire, and belongs to
no step. Nor its gradients drawn at random (a surrogate here is a function).
"""

import dataclasses

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.ops.surrogates.algebraic import Atan, FastSigmoid, Rectangle, StraightThrough, Triangle
from spikeneuro.ops.surrogates.base import Surrogate
from spikeneuro.ops.surrogates.exponential import Exponential, Gaussian, MultiGaussian, Sigmoid

__all__ = [
    "SURROGATES",
    "Atan",
    "Exponential",
    "FastSigmoid",
    "Gaussian",
    "MultiGaussian",
    "Rectangle",
    "Sigmoid",
    "StraightThrough",
    "Surrogate",
    "Triangle",
    "names",
    "resolve",
]

#: The surrogates by name, in the order of their codes.
SURROGATES: dict[str, type[Surrogate]] = {
    "fast_sigmoid": FastSigmoid,
    "atan": Atan,
    "sigmoid": Sigmoid,
    "triangle": Triangle,
    "rectangle": Rectangle,
    "multi_gaussian": MultiGaussian,
    "exponential": Exponential,
    "gaussian": Gaussian,
    "straight_through": StraightThrough,
}


def names() -> list[str]:
    """Names that `resolve` knows."""
    return sorted(SURROGATES)


def resolve(surrogate: "str | Surrogate", **options: float) -> Surrogate:
    """Surrogate from its name, or the object itself.

    Parameters
    ----------
    surrogate : str or Surrogate
        A name (see `names`) or an object, which is returned as it is.
    **options : float
        Fields of the surrogate's class, for a name only.

    Returns
    -------
    Surrogate
        The object.

    Raises
    ------
    InputError
        For an unknown name, an unknown option or an option out of range.

    Examples
    --------
    >>> resolve("atan", alpha=3.0)
    Atan(alpha=3.0)
    """
    if isinstance(surrogate, Surrogate):
        if options:
            raise InputError(f"surrogate {surrogate!r} is already built; give its options when building it.")
        return surrogate
    if not isinstance(surrogate, str):
        raise InputError(
            f"surrogate must be a name or an object of ops.surrogates, got {type(surrogate).__name__}; "
            f"names: {', '.join(names())}."
        )
    cls = SURROGATES[check_choice(surrogate, SURROGATES, "surrogate")]
    for option in options:
        check_choice(option, [field.name for field in dataclasses.fields(cls)], f"option of surrogate {surrogate!r}")
    return cls(**options)
