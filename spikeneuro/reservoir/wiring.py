"""Where neurons of a recurrent network stand, and who is connected to whom.

Everywhere a connection matrix has one row for each receiving neuron and one column for each sending one, as the
recurrent weights of `spikeneuro.nn.RecurrentLIF` have: entry ``[j, i]`` is the connection from i to j. Matrices are
sparse (`scipy.sparse.csr_array`); ``.toarray()`` makes them dense.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csr_array
from scipy.spatial.distance import cdist

from spikeneuro._random import derive_seed
from spikeneuro._validation import check_choice, check_finite, check_number
from spikeneuro.errors import InputError

Array = NDArray[Any]

#: Kinds of connections: the sender's letter, then the receiver's; E excitatory, I inhibitory.
PAIRS: Final = ("EE", "EI", "IE", "II")
#: Connection probabilities at distance 0 of Maass, Natschläger and Markram (2002).
MAASS_PROBABILITY: Final[Mapping[str, float]] = {"EE": 0.3, "EI": 0.2, "IE": 0.4, "II": 0.1}
#: Mean strengths of the same source (30, 60, 19 and 19 nA), as multiples of the first.
MAASS_STRENGTH: Final[Mapping[str, float]] = {"EE": 1.0, "EI": 2.0, "IE": 19 / 30, "II": 19 / 30}

#: Pairs of neurons looked at in one go; bounds the memory of what is computed for all pairs.
_PAIRS_AT_ONCE = 2**23


def grid(n: int, shape: tuple[int, int, int] | None = None) -> Array:
    """Positions of neurons on a three-dimensional grid of unit spacing.

    Parameters
    ----------
    n : int
        Number of neurons.
    shape : (int, int, int), optional
        Points along each axis; by default the smallest box, as near to a cube as can be, that holds `n`. Points are
        taken in order, the last axis fastest, and those beyond `n` stay empty.

    Returns
    -------
    ndarray of float, shape (n, 3)
        Coordinates, from 0.

    Raises
    ------
    InputError
        If the box holds fewer than `n` points.

    Examples
    --------
    >>> grid(8).tolist()[:3]
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    >>> grid(135, (15, 3, 3)).max(axis=0).tolist()
    [14.0, 2.0, 2.0]
    """
    n = int(check_number(n, "n", low=1, integer=True))
    if shape is None:
        side = next(k for k in range(1, n + 1) if k**3 >= n)
        middle = next(k for k in range(1, side + 1) if k * side * side >= n)
        shape = (next(k for k in range(1, side + 1) if k * middle * side >= n), middle, side)
    if len(shape) != 3:
        raise InputError(f"shape must name three numbers of points, got {shape!r}.")
    for axis, size in enumerate(shape):
        check_number(size, f"shape[{axis}]", low=1, integer=True)
    if int(np.prod(shape)) < n:
        raise InputError(f"a grid of shape {tuple(shape)} holds {int(np.prod(shape))} neurons, fewer than n={n}.")
    return np.stack(np.unravel_index(np.arange(n), shape), axis=1).astype(np.float64)


def neuron_kinds(n: int, inhibitory: float = 0.2, random_state: Any = None) -> NDArray[np.int8]:
    """Which neurons are excitatory (+1) and which inhibitory (-1), in random places.

    Parameters
    ----------
    n : int
        Number of neurons.
    inhibitory : float, default 0.2
        Share of inhibitory neurons, rounded to whole ones: four excitatory to one inhibitory.
    random_state : int, RandomState or None
        Draws the places.

    Returns
    -------
    ndarray of int8, shape (n,)
        The signs.

    Examples
    --------
    >>> neuron_kinds(10, random_state=0).sum()
    np.int64(6)
    """
    n = int(check_number(n, "n", low=1, integer=True))
    count = round(n * check_number(inhibitory, "inhibitory", low=0.0, high=1.0))
    kinds = np.ones(n, dtype=np.int8)
    kinds[_generator(random_state).permutation(n)[:count]] = -1
    return kinds


def distance_connectivity(
    positions: ArrayLike,
    kinds: ArrayLike | None = None,
    *,
    probability: float | Mapping[str, float] = MAASS_PROBABILITY,
    length: float = 2.0,
    self_connections: bool = False,
    random_state: Any = None,
) -> csr_array:
    r"""Draw connections whose probability falls with the distance between neurons.

    Neuron i is connected to neuron j, independently of all others, with probability

    .. math:: P(i \to j) = C_{kind(i)\,kind(j)} \; e^{-(D_{ij} / \lambda)^2}

    where D is the Euclidean distance of their positions.

    Parameters
    ----------
    positions : array_like, shape (n, dimensions)
        Places of the neurons, in any unit of length.
    kinds : array_like of +1 and -1, shape (n,), optional
        Excitatory and inhibitory neurons, as from `neuron_kinds`. May be left out where `probability` is one number.
    probability : float or mapping, default `MAASS_PROBABILITY`
        C, for all pairs or for each of "EE", "EI" (excitatory to inhibitory), "IE" and "II", in [0, 1].
    length : float, default 2
        Lambda, in the unit of the positions.
    self_connections : bool, default False
        Whether a neuron may be connected to itself.
    random_state : int, RandomState or None
        Draws the connections.

    Returns
    -------
    csr_array of bool, shape (n, n)
        ``[j, i]`` is true where i is connected to j.

    Raises
    ------
    InputError
        For positions that are no finite table, kinds other than +1 and -1, or a probability outside [0, 1].

    References
    ----------
    Maass, Natschläger and Markram (2002), Neural Comput. 14(11):2531-2560, doi:10.1162/089976602760407955.

    Examples
    --------
    >>> kinds = neuron_kinds(64, random_state=0)
    >>> connections = distance_connectivity(grid(64), kinds, random_state=0)
    >>> connections.shape, bool(connections.diagonal().any())
    ((64, 64), False)
    """
    places = _positions(positions)
    n = len(places)
    check_number(length, "length", low=0.0, closed="neither")
    table = _by_pair(probability, "probability", high=1.0)
    if isinstance(probability, Mapping) or kinds is not None:
        if kinds is None:
            raise InputError("probability differs between kinds of neurons, but kinds is missing; see neuron_kinds.")
        inhibitory = (check_kinds(kinds, n) < 0).astype(np.intp)
    else:
        inhibitory = np.zeros(n, dtype=np.intp)
    generator = _generator(random_state)
    rows: list[Array] = []
    columns: list[Array] = []
    for start, stop in _blocks(n):
        chance = table[inhibitory, inhibitory[start:stop, np.newaxis]]  # [receiver, sender]
        chance = chance * np.exp(-((cdist(places[start:stop], places) / length) ** 2))
        drawn = generator.random(chance.shape) < chance
        if not self_connections:
            drawn[np.arange(stop - start), np.arange(start, stop)] = False
        receiver, sender = np.nonzero(drawn)
        rows.append(receiver + start)
        columns.append(sender)
    row, column = np.concatenate(rows), np.concatenate(columns)
    return csr_array(coo_array((np.ones(len(row), dtype=bool), (row, column)), shape=(n, n)))


def dale_weights(
    connections: csr_array,
    kinds: ArrayLike,
    *,
    strength: float | Mapping[str, float] = MAASS_STRENGTH,
    spread: float = 1.0,
    random_state: Any = None,
) -> csr_array:
    """Draw weights for connections, by Dale's law: all weights that leave a neuron have the sign of its kind.

    Magnitudes are gamma-distributed with mean `strength` and coefficient of variation `spread`.

    Parameters
    ----------
    connections : csr_array, shape (n, n)
        ``[j, i]`` is nonzero where i is connected to j.
    kinds : array_like of +1 and -1, shape (n,)
        Excitatory and inhibitory neurons.
    strength : float or mapping, default `MAASS_STRENGTH`
        Mean magnitude, for all connections or for each of "EE", "EI", "IE" and "II"; not negative.
    spread : float, default 1
        Standard deviation over mean; 0 gives every connection its mean.
    random_state : int, RandomState or None
        Draws the magnitudes.

    Returns
    -------
    csr_array of float, shape (n, n)
        The weights.

    References
    ----------
    Maass, Natschläger and Markram (2002), doi:10.1162/089976602760407955.

    Examples
    --------
    >>> kinds = np.array([1, 1, -1])
    >>> weights = dale_weights(csr_array(np.ones((3, 3))), kinds, spread=0.0)
    >>> weights.toarray().round(2).tolist()
    [[1.0, 1.0, -0.63], [1.0, 1.0, -0.63], [2.0, 2.0, -0.63]]
    """
    found = coo_array(connections)
    if found.shape[0] != found.shape[1]:
        raise InputError(f"connections must be a square matrix, got shape {found.shape}.")
    signs = check_kinds(kinds, found.shape[0])
    inhibitory = (signs < 0).astype(np.intp)
    check_number(spread, "spread", low=0.0)
    kept = found.data != 0
    receiver, sender = found.row[kept], found.col[kept]
    mean = _by_pair(strength, "strength", high=np.inf)[inhibitory[sender], inhibitory[receiver]]
    factor = np.ones(len(mean))
    if spread > 0:
        factor = _generator(random_state).gamma(1 / spread**2, spread**2, size=len(mean))
    return csr_array(coo_array((signs[sender] * mean * factor, (receiver, sender)), shape=found.shape))


def small_world(
    positions: ArrayLike,
    *,
    radius: float = 2.5,
    inhibitory: float = 0.2,
    max_weight: float = 0.1,
    inputs: ArrayLike = (),
    kinds: ArrayLike | None = None,
    random_state: Any = None,
) -> csr_array:
    r"""Connect every neuron to its neighbours within a radius, more strongly the nearer they are.

    The initial weights of NeuCube: :math:`w = \pm r \, c(D)`, with r uniform in [0, 1),
    :math:`c(D) = w_{max} D_{min} / D`, the sign negative with probability `inhibitory`. Of two neurons in reach only
    one direction is kept, drawn at random. Nothing projects to input neurons, and what leaves them is :math:`2 |w|`.

    The source says of c only that 1/D is brought into the range from 0 to 0.1: here its largest value, at the least
    distance D_min that occurs, is `max_weight`.

    Parameters
    ----------
    positions : array_like, shape (n, dimensions)
        Places of the neurons; no two alike.
    radius : float, default 2.5
        Greatest distance of connected neurons, in the unit of the positions.
    inhibitory : float, default 0.2
        Probability that a connection is inhibitory.
    max_weight : float, default 0.1
        Largest magnitude, before inputs are doubled.
    inputs : array_like of int
        Input neurons.
    kinds : array_like of +1 and -1, shape (n,), optional
        Excitatory and inhibitory neurons: makes the signs obey Dale's law. `inhibitory` is then not used.
    random_state : int, RandomState or None
        Draws signs, magnitudes and directions.

    Returns
    -------
    csr_array of float, shape (n, n)
        ``[j, i]`` is the weight from i to j.

    Raises
    ------
    InputError
        For positions that are no finite table or coincide, or input neurons that do not exist.

    References
    ----------
    Kasabov (2014), Neural Netw. 52:62-76, doi:10.1016/j.neunet.2014.01.006.

    Examples
    --------
    >>> weights = small_world(grid(27), inputs=[13], random_state=0)
    >>> weights[[13]].nnz, bool((weights[:, [13]].data > 0).all())
    (0, True)
    """
    places = _positions(positions)
    n = len(places)
    check_number(radius, "radius", low=0.0, closed="neither")
    check_number(inhibitory, "inhibitory", low=0.0, high=1.0)
    check_number(max_weight, "max_weight", low=0.0, closed="neither")
    is_input = np.zeros(n, dtype=bool)
    chosen = np.asarray(inputs, dtype=np.intp)
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < n):
        raise InputError(f"inputs must be indices from 0 to {n - 1}, got {chosen.min()} to {chosen.max()}.")
    is_input[chosen] = True
    first, second, distance = _neighbours(places, radius)
    generator = _generator(random_state)
    forward = generator.random(len(first)) < 0.5
    forward = np.where(is_input[second], False, np.where(is_input[first], True, forward))
    sender, receiver = np.where(forward, first, second), np.where(forward, second, first)
    magnitude = generator.random(len(first)) * max_weight * distance.min(initial=np.inf) / distance
    if kinds is None:
        sign = np.where(generator.random(len(first)) < inhibitory, -1.0, 1.0)
    else:
        sign = check_kinds(kinds, n)[sender].astype(np.float64)
    weight = np.where(is_input[sender], 2 * magnitude, sign * magnitude)
    kept = ~is_input[receiver]  # two input neurons are not connected at all
    return csr_array(coo_array((weight[kept], (receiver[kept], sender[kept])), shape=(n, n)))


def check_kinds(kinds: ArrayLike, n: int) -> NDArray[np.int8]:
    """Kinds of `n` neurons as an array of +1 (excitatory) and -1 (inhibitory).

    Parameters
    ----------
    kinds : array_like
        What was given.
    n : int
        Number of neurons.

    Returns
    -------
    ndarray of int8, shape (n,)
        The same, checked.

    Raises
    ------
    InputError
        For another shape or other values.

    Examples
    --------
    >>> check_kinds([1, -1], 2)
    array([ 1, -1], dtype=int8)
    """
    given = np.asarray(kinds)
    if given.shape != (n,):
        raise InputError(f"kinds must hold one sign for each of the {n} neurons, got shape {given.shape}.")
    if not np.isin(given, (1, -1)).all():
        raise InputError(f"kinds must be +1 (excitatory) or -1 (inhibitory), got {np.unique(given)[:5].tolist()}.")
    return given.astype(np.int8)


def _positions(positions: ArrayLike) -> Array:
    places = np.asarray(positions, dtype=np.float64)
    if places.ndim != 2 or 0 in places.shape:
        raise InputError(f"positions must be a table (neurons, dimensions), got shape {places.shape}.")
    return check_finite(places, "positions")


def _by_pair(value: float | Mapping[str, float], name: str, high: float) -> Array:
    """Table ``[sender, receiver]`` of a number for each pair of kinds; 0 is excitatory, 1 inhibitory."""
    if not isinstance(value, Mapping):
        return np.full((2, 2), float(check_number(value, name, low=0.0, high=high)))
    for pair in value:
        check_choice(pair, PAIRS, name)
    missing = [pair for pair in PAIRS if pair not in value]
    if missing:
        raise InputError(f"{name} lacks {', '.join(missing)}; give all of EE, EI, IE, II, or one number.")
    numbers = [float(check_number(value[pair], f"{name}[{pair!r}]", low=0.0, high=high)) for pair in PAIRS]
    return np.reshape(numbers, (2, 2))


def _blocks(n: int) -> list[tuple[int, int]]:
    """Ranges of receivers whose pairs with all senders are looked at in one go."""
    rows = max(1, _PAIRS_AT_ONCE // n)
    return [(start, min(start + rows, n)) for start in range(0, n, rows)]


def _neighbours(places: Array, radius: float) -> tuple[Array, Array, Array]:
    """Pairs of neurons within the radius, each once and in order, and their distances."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(places).query_pairs(radius, output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    distance = np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)
    if (distance == 0).any():
        a, b = pairs[int(np.argmin(distance))]
        raise InputError(f"neurons {a} and {b} have the same position; every neuron needs a place of its own.")
    return pairs[:, 0], pairs[:, 1], distance


def _generator(random_state: Any) -> np.random.Generator:
    return np.random.default_rng(derive_seed(random_state))
