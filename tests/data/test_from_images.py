import gzip
import io
import struct
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spikeneuro.data import from_idx, from_image_folder
from spikeneuro.data.from_images import read_idx
from spikeneuro.errors import DataNotFoundError, InputError

RNG = np.random.default_rng(0)


def png(pixels, mode=None):
    stream = io.BytesIO()
    Image.fromarray(pixels, mode).save(stream, "PNG")
    return stream.getvalue()


def pixels(height=6, width=4):
    return RNG.integers(0, 256, (height, width), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    for name in ("train/cat/a_s1.png", "train/dog/b_s2.png", "test/cat/c_s2.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(pixels()))
    return root


def test_class_is_the_folder_above_each_image(folder):
    recordings = from_image_folder(folder, subject=r"_s(\d+)")
    assert recordings.X.shape == (3, 1, 6, 4)
    assert recordings.X.dtype == np.float32
    assert recordings.label_names == ("cat", "dog")
    assert recordings.metadata["file"].tolist() == ["test/cat/c_s2.png", "train/cat/a_s1.png", "train/dog/b_s2.png"]
    assert recordings.y.tolist() == [0, 0, 1]
    assert recordings.metadata["subject"].tolist() == ["2", "1", "2"]
    expected = np.asarray(Image.open(folder / "train/dog/b_s2.png")) / 255
    np.testing.assert_allclose(recordings.X[2, 0], expected, rtol=1e-6)
    chosen = from_image_folder(folder, classes=["dog"])
    assert (len(chosen), chosen.label_names) == (1, ("dog",))


def test_zip_equals_folder(folder, tmp_path):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, file.relative_to(folder))
    assert from_image_folder(path).fingerprint == from_image_folder(folder).fingerprint


def test_colour_and_size(folder):
    (folder / "train/dog/b_s2.png").write_bytes(png(RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)))
    recordings = from_image_folder(folder, grayscale=False, size=(3, 2))
    assert recordings.X.shape == (3, 3, 3, 2)
    assert from_image_folder(folder, size=5).X.shape == (3, 1, 5, 5)
    assert (recordings.X >= 0).all()
    assert (recordings.X <= 1).all()


def test_sixteen_bit_images_keep_their_depth(tmp_path):
    values = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(png(values))
    np.testing.assert_allclose(from_image_folder(tmp_path).X[0, 0], values / 65535, rtol=1e-6)


def test_index_brings_metadata(folder):
    files = ["train/dog/b_s2.png", "test/cat/c_s2.png", "train/cat/a_s1.png", "extra.png"]
    table = pd.DataFrame({"path": files, "subject": ["B", "C", "A", "Z"], "slice": [1, 2, 3, 4]})
    recordings = from_image_folder(folder, index=table)
    assert recordings.metadata["subject"].tolist() == ["C", "A", "B"]
    table.to_csv(folder / "index.csv", index=False)
    assert from_image_folder(folder, index=folder / "index.csv").fingerprint == recordings.fingerprint
    with pytest.raises(InputError, match=r"train/dog/b_s2.png is not in the index \(1 image"):
        from_image_folder(folder, index=table.iloc[1:])
    with pytest.raises(InputError, match="no column 'path'"):
        from_image_folder(folder, index=table.drop(columns="path"))
    with pytest.raises(InputError, match="twice"):
        from_image_folder(folder, index=pd.concat([table, table]))


def test_mistakes_are_named(folder, tmp_path):
    with pytest.raises(InputError, match="no folder 'dogs' with images; did you mean 'dog'"):
        from_image_folder(folder, classes=["dogs"])
    with pytest.raises(InputError, match=r"the subject pattern 'x\(\\\\d\)' does not match"):
        from_image_folder(folder, subject=r"x(\d)")
    with pytest.raises(InputError, match="regular expression with one group"):
        from_image_folder(folder, subject=r"_s\d")
    (folder / "train/dog/z.png").write_bytes(png(pixels(7, 4)))
    with pytest.raises(InputError, match=r"images differ in size: .*\(6, 4\).*\(7, 4\)"):
        from_image_folder(folder)
    with pytest.raises(DataNotFoundError, match="no such folder or zip"):
        from_image_folder(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image in a subfolder"):
        from_image_folder(tmp_path / "empty")


def test_truncated_images_and_zips_are_named(folder, tmp_path):
    victim = folder / "train/dog/b_s2.png"
    victim.write_bytes(png(RNG.integers(0, 256, (60, 60), dtype=np.uint8))[:900])
    with pytest.raises(InputError, match=r"train/dog/b_s2.png: truncated, or not an image") as caught:
        from_image_folder(folder, size=6)
    assert "\n" not in str(caught.value)
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "train/cat/a_s1.png", "cat/a.png")
    content = path.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut.zip: truncated, or not a zip file"):
        from_image_folder(tmp_path / "cut.zip")
    (tmp_path / "bad.zip").write_bytes(content[:60] + bytes(8) + content[68:])
    with pytest.raises(InputError, match=r"bad.zip: cat/a.png in it is damaged"):
        from_image_folder(tmp_path / "bad.zip")


def idx(array, code):
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, ">u1"), (9, ">i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_every_idx_type_is_read(tmp_path, code, dtype):
    array = RNG.integers(0, 100, (3, 4)).astype(dtype)
    (tmp_path / "a.idx").write_bytes(idx(array, code))
    (tmp_path / "a.idx.gz").write_bytes(gzip.compress(idx(array, code)))
    for name in ("a.idx", "a.idx.gz"):
        result = read_idx(tmp_path / name)
        np.testing.assert_array_equal(result, array)
        assert result.dtype.isnative


def test_idx_mistakes_are_named(tmp_path):
    images, labels = RNG.integers(0, 256, (5, 4, 4)).astype(np.uint8), np.array([0, 1, 2, 1, 0], np.uint8)
    files = {
        "i": idx(images, 8),
        "l": idx(labels, 8),
        "cut": idx(images, 8)[:-1],
        "long": idx(images, 8) + b"x",
        "head": idx(images, 8)[:9],
        "text": b"hello world",
        "short": idx(labels[:4], 8),
        "cut.gz": gzip.compress(idx(images, 8))[:-20],
        "float": idx(images.astype(">f4"), 13),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    recordings = from_idx(tmp_path / "i", tmp_path / "l")
    np.testing.assert_allclose(recordings.X[:, 0], images / 255, rtol=1e-6)
    for first, second, message in (
        ("cut", "l", "cut: truncated: 95 bytes where its header .* needs 96"),
        ("long", "l", "long: too long"),
        ("head", "l", "head: truncated within its header"),
        ("text", "l", "text: not an IDX file"),
        ("cut.gz", "l", "cut.gz: truncated or damaged gzip"),
        ("i", "short", "5 images but .* 4 labels"),
        ("l", "i", "images need 3, labels 1"),
        ("float", "l", "no known range"),
        ("absent", "l", "no such file"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            from_idx(tmp_path / first, tmp_path / second)
        assert "\n" not in str(caught.value)


def test_real_digits_are_read(data_root):
    folder = data_root / "images" / "mnist"
    recordings = from_idx(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz")
    assert recordings.X.shape == (10000, 1, 28, 28)
    assert np.bincount(recordings.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert recordings.X.max() == 1.0


def test_real_slices_come_with_their_subjects(data_root):
    folder = data_root / "images" / "alzheimer_mri_4class"
    recordings = from_image_folder(
        folder / "alzheimer_mri_4class_176x208.zip",
        classes=["ModerateDemented"],
        index=folder / "index.csv",
        size=(52, 44),
    )
    assert recordings.X.shape == (64, 1, 52, 44)
    assert recordings.metadata["subject"].value_counts().tolist() == [32, 32]
