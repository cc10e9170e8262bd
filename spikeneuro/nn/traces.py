"""What a LIF layer can show of every step."""

from torch import Tensor

from spikeneuro import ops

TRACES = ("membrane", "potential", "current", "adaptation", "threshold", "spikes")


def trace(name: str, output: ops.LIFOutput, parameters: ops.LIFParameters, settings: ops.LIFSettings) -> Tensor:
    """Return one of `TRACES`, (time, batch, *features).

    Parameters
    ----------
    name : str
        Which one.
    output : LIFOutput
        Result of the op, run with what the trace needs.
    parameters : LIFParameters
        Numbers it was run with.
    settings : LIFSettings
        Choices it was run with.

    Returns
    -------
    Tensor
        The trace.
    """
    if name == "membrane":
        return ops.membrane(output, parameters, settings)
    if name == "threshold":
        return ops.thresholds(output, parameters).expand(output.spikes.shape)
    found = getattr(output, name)
    assert isinstance(found, Tensor)
    return found
