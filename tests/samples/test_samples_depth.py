"""Pictures of any depth look as those of 8 bits do, and none becomes white or black in silence."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.errors import SampleError
from backbench.samples import FileSource, decode

EIGHT = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def encoded(values: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, form, **options)
    return file.getvalue()


def grey(content: bytes) -> np.ndarray:
    pixels = np.asarray(decode(content))
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[:, :, 0]


@pytest.mark.parametrize(
    "content",
    [
        encoded(EIGHT.astype(np.uint16) * 257),
        encoded(EIGHT.astype(np.uint16) * 257, "TIFF"),
        encoded(EIGHT.astype(">u2") * 257, "TIFF"),
        encoded(EIGHT.astype(np.int32) * 257, "PPM"),
        encoded(EIGHT.astype(np.float32) / 255, "TIFF"),
    ],
    ids=["png 16", "tiff 16", "tiff 16 big endian", "pgm 16", "tiff float"],
)
def test_a_deep_picture_is_scaled_to_the_same_pixels(content: bytes) -> None:
    assert (grey(content) == EIGHT).all()


def test_values_between_two_greys_are_rounded() -> None:
    assert grey(encoded(np.array([[2000, 62000]], np.uint16))).tolist() == [[8, 241]]


def test_twelve_bits_are_scaled_by_their_own_white() -> None:
    # Pillow reads such a TIFF and writes none: one strip of two values in three bytes.
    tags = [
        (256, 2),
        (257, 1),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, 3),
    ]
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
        for tag, value in tags
    )
    header = b"II*\0" + (12).to_bytes(4, "little") + bytes([0xFF, 0xF0, 0x00, 0])
    content = header + len(tags).to_bytes(2, "little") + entries + bytes(4)
    assert grey(content).tolist() == [[255, 0]]


def test_a_deep_picture_stands_upright() -> None:
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees
    content = encoded(np.array([[0, 257, 514]], np.uint16), exif=exif)
    assert grey(content).tolist() == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((2, 2), 300.0, np.float32), "300 to 300"),
        (np.array([[0.5, np.nan]], np.float32), "nan"),
        (np.array([[-0.5, 0.5]], np.float32), "-0.5 to 0.5"),
        (np.full((2, 2), 200, np.int32), "no known scale"),
        (np.full((2, 2), 200, np.int16), "no known scale"),
    ],
)
def test_a_picture_of_no_known_scale_is_refused_by_name(
    values: np.ndarray, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(encoded(values, "TIFF"))
    with pytest.raises(SampleError, match="not a readable picture") as caught:
        FileSource((str(path),)).open(0)
    for word in (str(path), words, "save it with 8 bits"):
        assert word in str(caught.value)


@pytest.mark.parametrize(("content", "words"), [(b"no picture", "no format"), (b"", "empty")])
def test_what_is_no_picture_is_told_by_its_name_and_not_by_an_address(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(SampleError, match=words) as caught:
        FileSource((str(path),)).open(0)
    assert "bad.png" in str(caught.value)
    assert " at 0x" not in str(caught.value)
