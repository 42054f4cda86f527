"""Memory that a layer of a network frees stays with the process for the next one.

glibc maps each block of more than 32 MiB by itself and unmaps it when it is freed; activations are
often that large. So layer after layer the system clears pages that were there a moment ago, which
takes a convolutional network on a CPU up to half of its time.

The limits are those of the process: of two threads inside `kept`, the first to leave ends it for
both, which makes the other slower and nothing else.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# The parameters of mallopt, see its manual page.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_NEVER = -1
_LARGEST, _MOST = 32 << 20, 65536  # glibc's DEFAULT_MMAP_THRESHOLD_MAX and DEFAULT_MMAP_MAX


@contextmanager
def kept() -> Iterator[None]:
    """Blocks of any size come from the heap and stay there; see `give_back`.

    For a forward pass only: buffers of many sizes, as those of decoders, would tear the heap.
    """
    libc = _glibc()
    if not libc:
        yield
        return
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_MAX, _MOST)
        libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)


def give_back() -> None:
    """Hand what is free to the system, wherever on the heap it lies."""
    libc = _glibc()
    if libc:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc, with the limits set that it comes to when left alone.

    From the first call of mallopt on it no longer adapts them to the blocks that are freed.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return None
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
    libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
    return libc
