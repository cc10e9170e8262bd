"""Where the user's data sets lie."""

import os
from pathlib import Path

from spikeneuro.errors import DataNotFoundError

_VARIABLE = "SPIKENEURO_DATA"


def data_root(*parts: str) -> Path:
    """Find the folder named by the environment variable ``SPIKENEURO_DATA``, or something in it.

    Parameters
    ----------
    *parts : str
        Path inside the folder; it must exist.

    Returns
    -------
    Path
        The folder, or what lies at `parts` in it.

    Raises
    ------
    DataNotFoundError
        If the variable is not set, or what it names (with `parts`) does not exist.
    """
    value = os.environ.get(_VARIABLE)
    if not value:
        raise DataNotFoundError(
            f"the environment variable {_VARIABLE} is not set; set it to the folder that holds the data sets, e.g. "
            f"export {_VARIABLE}=/path/to/data"
        )
    root = Path(value).expanduser()
    if not root.is_dir():
        raise DataNotFoundError(f"{_VARIABLE}={value} is not a folder; set it to the one that holds the data sets.")
    path = root.joinpath(*parts)
    if not path.exists():
        raise DataNotFoundError(f"{path} does not exist ({_VARIABLE}={value}).")
    return path
