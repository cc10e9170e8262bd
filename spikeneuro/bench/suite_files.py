"""Where suites lie: files of the user, those of the benchmarks, and built-in ones."""

from pathlib import Path

from spikeneuro._validation import suggestion
from spikeneuro.errors import InputError

BUILT_IN = Path(__file__).parent / "suites"


def find_suite(name: str | Path) -> Path:
    """Path of a suite given as a path, or by its name in ``./benchmarks/suites`` or among the built-in ones.

    Parameters
    ----------
    name : path-like
        A YAML file, or a name of `known_suites`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is none; the message offers the nearest name.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise InputError(f"there is no suite file {path}; known suites: {', '.join(sorted(known_suites()))}.")
        return path
    known = known_suites()
    if str(name) not in known:
        raise InputError(f"unknown suite {str(name)!r}; {suggestion(str(name), known)}")
    return known[str(name)]


def known_suites() -> dict[str, Path]:
    """Suites by name: those in ``./benchmarks/suites``, then the built-in ones."""
    folders = (BUILT_IN, Path("benchmarks") / "suites")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
