"""Where pixels are: files (local or in a bucket), or arrays in memory."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from backbench.errors import ObjectError, SampleError, counted, some
from backbench.files.listing import files_below
from backbench.files.s3_address import is_s3
from backbench.samples.depth import to_8_bits

PICTURE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def pictures_below(folder: Path) -> list[Path]:
    """Pictures below a folder by their suffix, sorted; what a system hides is none (`._x.png`).

    Raises:
        StorageError: a folder cannot be listed.
    """
    return parted_below(folder)[0]


def parted_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures below a folder as in `pictures_below`, and all other files that are not hidden."""
    files = files_below(folder) if folder.is_dir() else []
    shown = [path for path in files if not _is_hidden(path.relative_to(folder))]
    pictures = [path for path in shown if path.suffix.lower() in PICTURE_SUFFIXES]
    others = [path for path in shown if path.suffix.lower() not in PICTURE_SUFFIXES]
    return pictures, others


def of_no_format(files: Sequence[Path]) -> str:
    """`31 files are of no format that is read (.heic 30, .txt 1)`; nothing of no files."""
    kinds = Counter(path.suffix.lower() or "without a suffix" for path in files)
    listed = some(f"{suffix} {count}" for suffix, count in kinds.most_common())
    are = "is" if len(files) == 1 else "are"
    return f"{counted(len(files), 'file')} {are} of no format that is read ({listed})" * bool(kinds)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


class Source(Protocol):
    """Pixels by row number of the sample table; picklable, so that worker processes can read."""

    def stat(self, i: int) -> tuple[int, int] | None:
        """Size in bytes and modification time in ns, or None where the content is in memory."""

    def read(self, i: int) -> bytes:
        """The exact content; its SHA-256 is the content hash."""

    def open(self, i: int, min_side: int | None = None) -> Image.Image:
        """The RGB picture; `min_side` allows a JPEG at a reduced scale, no side shorter than it."""


def decode(content: bytes, min_side: int | None = None, *, name: str = "") -> Image.Image:
    """Decode a picture to RGB, upright by its EXIF orientation; 16 bits a value are scaled to 8.

    Args:
        content: an encoded picture.
        min_side: a JPEG may be decoded at 1/2, 1/4 or 1/8, with both sides at least this long.
        name: of the picture, for the error.

    Raises:
        SampleError: not a picture, a damaged one, or values of no known scale.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if min_side is not None:
                picture.draft("RGB", (min_side, min_side))
            ImageOps.exif_transpose(picture, in_place=True)  # a copy would not know its format
            return to_8_bits(picture).convert("RGB")
    except UnidentifiedImageError:  # its text is the address of the bytes
        reason = "its content is of no format that is known here" if content else "it is empty"
        raise SampleError(_unreadable(name, reason)) from None
    except MemoryError:  # says nothing of the picture
        raise
    except Exception as error:  # any: Pillow trusts what EXIF and TIFF tags say
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SampleError(_unreadable(name, reason)) from error


def _unreadable(name: str, reason: str) -> str:
    return f"{repr(name) + ' is ' if name else ''}not a readable picture: {reason}"


@dataclass(frozen=True)
class FileSource:
    """Pictures in files: one path or `s3://bucket/key` a sample."""

    paths: Sequence[str]

    def stat(self, i: int) -> tuple[int, int] | None:
        """Size and modification time of the file; a bucket object is staged first."""
        status = self._local(i).stat()
        return status.st_size, status.st_mtime_ns

    def read(self, i: int) -> bytes:
        """The encoded file."""
        return self._local(i).read_bytes()

    def open(self, i: int, min_side: int | None = None) -> Image.Image:
        """The decoded picture."""
        return decode(self.read(i), min_side, name=self.paths[i])

    def _local(self, i: int) -> Path:
        path = self.paths[i]
        if not is_s3(path):
            return Path(path)
        from backbench.files.bucket import fetch

        try:
            return fetch(path)
        except ObjectError as error:
            raise SampleError(str(error)) from error


@dataclass(frozen=True)
class ArraySource:
    """Grey pictures in memory, uint8 `[N, H, W]`."""

    pixels: NDArray[np.uint8]

    def stat(self, i: int) -> tuple[int, int] | None:
        """Nothing to look at: the content is in memory."""
        del i
        return None

    def read(self, i: int) -> bytes:
        """The pixel values, row by row."""
        content: bytes = self.pixels[i].tobytes()
        return content

    def open(self, i: int, min_side: int | None = None) -> Image.Image:
        """The picture as RGB."""
        del min_side
        return Image.fromarray(self.pixels[i]).convert("RGB")


@dataclass(frozen=True)
class NoFiles:
    """Nothing to read: the pictures are elsewhere, and features of them are imported.

    Attributes:
        why: there are none, as a clause, where a table could name some.
    """

    why: str = ""

    def stat(self, i: int) -> tuple[int, int] | None:
        """Nothing to look at."""
        del i
        return None

    def read(self, i: int) -> bytes:
        """Refused."""
        raise SampleError(f"picture {i} has no file.")

    def open(self, i: int, min_side: int | None = None) -> Image.Image:
        """Refused."""
        del min_side
        raise SampleError(f"picture {i} has no file.")


@dataclass(frozen=True)
class PartOf:
    """Some rows of another source, renumbered from 0."""

    whole: Source
    rows: Sequence[int]

    def stat(self, i: int) -> tuple[int, int] | None:
        """As the whole's row."""
        return self.whole.stat(self.rows[i])

    def read(self, i: int) -> bytes:
        """As the whole's row."""
        return self.whole.read(self.rows[i])

    def open(self, i: int, min_side: int | None = None) -> Image.Image:
        """As the whole's row."""
        return self.whole.open(self.rows[i], min_side)
