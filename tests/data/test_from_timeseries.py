import numpy as np
import pytest

from spikeneuro.data import from_timeseries
from spikeneuro.errors import DataNotFoundError, InputError


def write(path, text):
    path.write_text(text)
    return path


def test_headers_and_separators_are_understood(tmp_path):
    files = [
        write(tmp_path / "a.1D", "#7\t#3455\n1.0\t2.0\n3.0\t4.0\n5.5\t-6e-1\n"),
        write(tmp_path / "c.csv", '"7","3455"\r\n1,2\r\n3,4\r\n5.5,-0.6\r\n'),
    ]
    expected = np.array([[1, 3, 5.5], [2, 4, -0.6]])
    first = from_timeseries(files[:1], ["x"], tr=2.0)
    np.testing.assert_allclose(first.X[0], expected)
    assert first.names == ("7", "3455")
    assert first.metadata["subject"].tolist() == ["a"]
    np.testing.assert_allclose(from_timeseries(files[1:], ["x"], tr=2.0).X[0], expected)
    named = from_timeseries([write(tmp_path / "d.tsv", "WM\tLCau\n1\t2\n")], [1.5], tr=2.0, drop=["WM"])
    assert (named.names, named.X.shape, named.task) == (("LCau",), (1, 1, 1), "regression")


def test_numbers_without_names_are_numbered(tmp_path):
    recordings = from_timeseries([write(tmp_path / "a.txt", "1 2 3\n4 5 6\n")], [0], tr=1.0)
    assert recordings.names == ("0", "1", "2")
    np.testing.assert_array_equal(recordings.X[0], [[1, 4], [2, 5], [3, 6]])


def test_lengths_and_repetition_times_may_differ(tmp_path):
    files = [write(tmp_path / f"{i}.csv", "a,b\n" + "\n".join(f"{k},{k * i}" for k in range(4 + i))) for i in range(3)]
    recordings = from_timeseries(files, ["p", "q", "p"], tr=[2.0, 2.0, 1.5], metadata={"site": ["X", "X", "Y"]})
    assert [x.shape for x in recordings.X] == [(2, 4), (2, 5), (2, 6)]
    assert recordings.sfreq is None
    assert recordings.metadata.columns.tolist() == ["site", "tr"]
    assert from_timeseries(files, [0, 1, 0], tr=2.0).sfreq == 0.5


MISTAKES = [
    ("a,b\n1,2\n3\n", "line 3: 1 values where the first line has 2 columns"),
    ("a,b\n1,2\n3,x\n", "line 3, column 2: 'x' is not a finite number"),
    ("a,b\n1,nan\n", "line 2, column 2: 'nan'"),
    ("", "empty"),
    ("a,b\n", "header but no row"),
    ("a,a\n1,2\n", "duplicates: a"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_damaged_tables_are_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        from_timeseries([write(tmp_path / "x.csv", text)], [0], tr=2.0)
    assert "\n" not in str(caught.value)


def test_mistakes_are_named(tmp_path):
    good, other = write(tmp_path / "a.csv", "a,b\n1,2\n"), write(tmp_path / "b.csv", "a,c\n1,2\n")
    for arguments, message in (
        (([good, other], [0, 1]), r"b.csv: its regions differ from those of .*a.csv \(b, c\)"),
        (([good], [0, 1]), "targets holds 2 entries for 1 files"),
        (([], []), "paths is empty"),
        (([tmp_path / "z.csv"], [0]), r"z.csv: no such file"),
        (([write(tmp_path / "a.xyz", "1")], [0]), "suffix '.xyz' is unknown"),
    ):
        with pytest.raises(InputError, match=message):
            from_timeseries(*arguments, tr=2.0)
    with pytest.raises(InputError, match="tr"):
        from_timeseries([good], [0], tr=0.0)
    with pytest.raises(InputError, match="no column 'q' to drop"):
        from_timeseries([good], [0], tr=2.0, drop=["q"])
    with pytest.raises(DataNotFoundError):
        from_timeseries([tmp_path / "z.csv"], [0], tr=2.0)


def test_real_region_tables_agree_with_numpy(data_root):
    folder = data_root / "fmri" / "abide1_pcp" / "raw_samples"
    files = sorted(folder.glob("*_rois_ho.1D"))
    recordings = from_timeseries(files, ["control", "asd"], tr=[2.0, 1.5])
    assert len(recordings.names) == 111
    for x, file in zip(recordings.X, files, strict=True):
        np.testing.assert_allclose(x.T, np.loadtxt(file), rtol=1e-6)
    assert recordings.windows(60.0).metadata["recording"].nunique() == 2
    table = data_root / "fmri" / "small_bold_samples" / "nitime" / "fmri_timeseries.csv"
    named = from_timeseries([table], [0], tr=1.89, drop=["WM", "Vent", "Brain"])
    assert named.X.shape == (1, 28, 250)
    assert named.names[:2] == ("LCau", "LPut")
