"""Bytes that are no whole picture: whatever Pillow makes of them, one error names the picture."""

import io

import numpy as np
import pytest
from PIL import Image

from backbench.errors import SampleError
from backbench.samples import decode

ORIENTATION, DESCRIPTION = 0x0112, 0x010E
PIXELS = np.arange(16 * 16).reshape(16, 16)


def encoded(kind: str) -> bytes:
    """A picture with EXIF: 8 bits grey, as TIFF 16."""
    depth = np.uint16 if kind == "TIFF" else np.uint8
    exif = Image.Exif()
    exif[ORIENTATION], exif[DESCRIPTION] = 6, "a plant"
    buffer = io.BytesIO()
    Image.fromarray(PIXELS.astype(depth)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes overwritten, early ones mostly, where the headers are; some are cut as well."""
    content = np.frombuffer(whole, np.uint8).copy()
    places = (len(content) * rng.random(rng.integers(1, 6)) ** 3).astype(int)
    content[places] = rng.integers(0, 256, len(places))
    end = rng.integers(1, len(content)) if rng.random() < 0.1 else len(content)
    return content[:end].tobytes()


def refusal(content: bytes) -> str:
    """Why it cannot be read; empty where it can."""
    try:
        assert decode(content, name="p.x").mode == "RGB"
    except SampleError as error:
        return str(error)
    return ""


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it reads nevertheless
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_damaged_picture_is_read_or_refused_as_unreadable(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1 << 20)  # a damaged size takes no memory
    whole, rng = encoded(kind), np.random.default_rng(1)
    told = list(filter(None, (refusal(damaged(whole, rng)) for _ in range(1500))))
    assert 100 < len(told) < 1500
    assert all(line.startswith("'p.x' is not a readable picture: ") for line in told)
    assert not any("\n" in line for line in told)


def test_want_of_memory_is_no_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", full)
    with pytest.raises(MemoryError):
        decode(encoded("PNG"))


def test_an_odd_entry_of_exif_is_told_with_the_picture() -> None:
    """A sample format that is text: Pillow raises `struct.error` where it writes EXIF anew."""
    odd = encoded("JPEG").replace(b"\x01\x0e\x00\x02", b"\x01\x53\x00\x02", 1)
    with pytest.raises(SampleError, match=r"'p\.jpg' is not a readable picture: required argument"):
        decode(odd, name="p.jpg")
