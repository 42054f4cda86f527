"""An object of a bucket as a seekable file."""

import io
import os
from typing import TYPE_CHECKING

from backbench.files import transfer
from backbench.files.s3_address import Address
from backbench.files.transfer import ObjectInfo

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class RangedObject(io.RawIOBase):
    """Each `readinto` is one ranged request; an object that changed meanwhile is an error."""

    def __init__(self, at: Address, info: ObjectInfo) -> None:
        super().__init__()
        self._at, self._info, self._position = at, info, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; no request is made."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._info.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read up to as many bytes as `buffer` holds."""
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._info.size - self._position))
        view[:length] = transfer.read(self._at, self._position, length, self._info.etag)
        self._position += length
        return length
