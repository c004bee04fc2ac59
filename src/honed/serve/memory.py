"""Keeps a server's memory at what it uses: the C library would hold on to what it once needed."""

import contextlib
import ctypes
import gc

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def keep_small() -> None:
    """Take big blocks from the system and return them at once; few arenas. Where there is no glibc: nothing."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_ARENA_MAX, 2)
        library.mallopt(_MMAP_THRESHOLD, 2 << 20)
        library.mallopt(_TRIM_THRESHOLD, 4 << 20)


def give_back() -> None:
    """Hand freed memory back to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
