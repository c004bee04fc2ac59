"""The memory of a server stays at what it uses: without this the C library keeps what was freed."""

import contextlib
import ctypes
import gc

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def configure_malloc() -> None:
    """Let glibc use few arenas, map big blocks and return them at once; does nothing where there is no glibc."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_ARENA_MAX, 2)
        library.mallopt(_MMAP_THRESHOLD, 2 << 20)
        library.mallopt(_TRIM_THRESHOLD, 4 << 20)


def trim_heap() -> None:
    """Return freed memory to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
