"""Tables that are absent, empty, binary or torn: every reader names the file in one line."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from spikeneuro._files import read_table
from spikeneuro.data import from_image_folder, from_nifti, from_timeseries
from spikeneuro.errors import DataNotFoundError, InputError

CONTENT = {
    "empty": (b"", "empty"),
    "binary": (bytes(range(256)) * 8, "not a text file|not a table|no column"),
    "torn": (b"a\tb\n1\t2\n1\t2\t3\t4\n" + b"a,b\n1,2,3,4,5\n", "not a table|values where|no column|suffix"),
}


def plain(path):
    read_table(path, ("onset",), sep="\t")


def events(path):
    image = nibabel.Nifti1Image(np.ones((2, 2, 2, 6), dtype=np.float32), np.eye(4))
    from_nifti(image, events=path, mask=nibabel.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)), tr=2.0)


def confounds(path):
    image = nibabel.Nifti1Image(np.ones((2, 2, 2, 6), dtype=np.float32), np.eye(4))
    mask = nibabel.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4))
    from_nifti(image, volume_labels=list("aabbrr"), mask=mask, tr=2.0, confounds=path)


def index(path):
    root = Path(path).parent / "images"
    (root / "one").mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(root / "one" / "a.png")
    from_image_folder(root, index=path)


def series(path):
    from_timeseries([path], ["x"], tr=2.0)


@pytest.mark.parametrize("reader", [plain, events, confounds, index, series])
@pytest.mark.parametrize("kind", [*CONTENT, "absent", "a folder"])
def test_every_reader_names_the_file_in_a_line(tmp_path, reader, kind):
    path = tmp_path / "table.tsv"
    if kind == "a folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes(CONTENT[kind][0])
    expected = DataNotFoundError if kind == "absent" else InputError
    with pytest.raises(expected) as caught:
        reader(str(path) if reader is not plain else path)
    assert "\n" not in str(caught.value)
    # A table that can be read but does not fit is told apart by what is in it.
    assert "table.tsv" in str(caught.value) or kind == "torn"


def test_a_table_is_read_and_its_columns_are_required(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    assert read_table(path, ("b",))["a"].tolist() == [1, 2]
    with pytest.raises(InputError, match=r"table\.csv: it has no column 'c' \(columns: a, b\)"):
        read_table(path, ("a", "c"))
