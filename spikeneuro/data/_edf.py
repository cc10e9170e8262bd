"""EDF and BDF headers against the size of the file: readers fill or cut a damaged recording in silence."""

from pathlib import Path

from spikeneuro.errors import InputError

_BYTES_PER_SAMPLE = {".edf": 2, ".bdf": 3}


def check_edf(path: Path) -> None:
    """Refuse an EDF or BDF file whose size is not what its header states; other files pass.

    Raises
    ------
    InputError
        If the header is incomplete or not a header, or if the file is shorter or longer than it says.

    References
    ----------
    Kemp et al., "A simple format for exchange of digitized polygraphic recordings", Electroencephalography and
    Clinical Neurophysiology 82(5), 1992.
    """
    width = _BYTES_PER_SAMPLE.get(path.suffix.lower())
    if width is None:
        return
    size = path.stat().st_size
    with path.open("rb") as stream:
        fixed = stream.read(256)
        try:
            header, records, signals = int(fixed[184:192]), int(fixed[236:244]), int(fixed[252:256])
            per_signal = stream.read(256 * signals)[216 * signals : 224 * signals]
            samples = sum(int(per_signal[8 * i : 8 * i + 8]) for i in range(signals))
        except ValueError as error:
            raise InputError(
                f"{path}: not a complete {path.suffix[1:].upper()} header ({size} bytes in all)."
            ) from error
    record = samples * width
    if signals < 1 or record < 1:
        raise InputError(f"{path}: its header declares no signal.")
    if records < 0:  # left at -1 by a recorder that was interrupted
        if (size - header) % record or size <= header:
            raise InputError(f"{path}: truncated within a data record (interrupted recording, {size} bytes).")
        return
    expected = header + records * record
    if size != expected:
        what = "truncated" if size < expected else "longer than its header says (damaged in transfer?)"
        raise InputError(f"{path}: {what}: {size} bytes where the header declares {expected} ({records} records).")
