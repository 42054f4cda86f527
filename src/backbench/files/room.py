"""Bytes at their place in a file, all of them or an error: no holes, no short writes."""

import errno
import os
from typing import IO

_NOT_HERE = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}


def reserve(file: IO[bytes], size: int) -> None:
    """Make a file `size` bytes long, with room for all of them on the disk.

    A file that is merely long has none yet, and who maps it is killed (SIGBUS) where the disk turns
    out to be full. File systems that cannot reserve give a file that is merely long.

    Raises:
        OSError: there is no room.
    """
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:  # not on macOS
        file.truncate(size)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        file.truncate(size)


def write_at(descriptor: int, content: bytes, start: int) -> None:
    """Write all of `content` from `start` on.

    Raises:
        OSError: the disk is full; the system writes what fits, and says so at the next attempt.
    """
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, start)
        rest, start = rest[written:], start + written
