"""Optional packages: imported where they are used, with an error that says how to install them."""

import importlib
from types import ModuleType

from spikeneuro.errors import MissingDependencyError


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise an error that names the extra of spikeneuro that installs it.

    Any exception counts as failure, not only ImportError: an incompatible build often fails otherwise.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:
        package = module.partition(".")[0]
        raise MissingDependencyError(
            f"{package} cannot be imported ({type(error).__name__}: {error}); "
            f"install it with: pip install 'spikeneuro[{extra}]'"
        ) from error
