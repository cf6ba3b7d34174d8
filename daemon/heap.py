"""Has the kernel put a large heap into huge pages.

A look at one of 1,000,000 jobs visits a dozen places all over 500 MiB. In pages of 4 KiB nearly each of them
misses the processor's table of pages (TLB), and on a virtual machine such a miss costs several reads of memory:
together over a third of a look, its bookkeeping aside. In pages of 2 MiB the table covers the whole heap.

Linux does this by itself only for memory that asks for it, where `transparent_hugepage/enabled` is `madvise`, and
Python's allocator does not ask. So this does, once, for what is mapped by then. Elsewhere, and where the kernel
refuses, it does nothing.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_LEAST = 16 << 20
"""Bytes of the smallest mapping that is worth it. Stacks of threads (8 MiB, nearly all of it never used) are
smaller: huge pages would make them resident."""
_HUGE_PAGE, _COLLAPSE = 14, 25
"""MADV_HUGEPAGE: use huge pages from now on; MADV_COLLAPSE: also for what is there already, now (Linux 6.1 and
newer; the kernel does it by and by otherwise). Source: madvise(2)."""


def use_huge_pages() -> int:
    """Put the large mappings of this process's heap into huge pages. Returns how many bytes the kernel agreed to.

    Takes about 0.5 ms for each MiB and does not hold the interpreter's lock meanwhile: call it in a thread.
    """
    if sys.platform != "linux":
        return 0
    agreed = 0
    with contextlib.suppress(OSError, AttributeError, ValueError):  # costs speed only
        import ctypes  # noqa: PLC0415 - 1 MiB, which only those pay who have a large heap

        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for begin, size in _large(_MAPS.read_text().splitlines()):
            if madvise(begin, size, _HUGE_PAGE) == 0:
                madvise(begin, size, _COLLAPSE)
                agreed += size
    return agreed


def _large(maps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the address and the size of each large anonymous mapping.

    >>> list(_large(["10000000-14000000 rw-p 00000000 00:00 0 ", "20000000-24000000 r-xp 00000000 08:01 7 /lib"]))
    [(268435456, 67108864)]
    """
    for line in maps:
        addresses, rights, _, _, inode, *name = line.split()
        begin, end = (int(each, 16) for each in addresses.split("-"))
        if rights == "rw-p" and inode == "0" and name in ([], ["[heap]"]) and end - begin >= _LEAST:
            yield begin, end - begin
