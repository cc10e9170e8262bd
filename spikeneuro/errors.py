"""Errors that tell the user what was received, where, and what to do.

Every error the library raises on purpose for bad input derives from `InputError`; the command line
prints its message on one line and exits with status 2. Anything else is a defect and keeps its traceback.
"""


class InputError(ValueError):
    """Input that cannot be used; the message names what and where."""


class DataNotFoundError(InputError, FileNotFoundError):
    """A data file or folder that is not where it was looked for."""


class MissingDependencyError(InputError, ImportError):
    """An optional package that is absent or fails to import."""


class LeakageError(InputError):
    """A split that would let test subjects (or runs, sites, ...) reach training."""


class UnknownOperationError(InputError):
    """An operation the energy ledger has no count for."""
