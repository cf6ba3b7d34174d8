"""A large heap is put into huge pages; stacks, files and small mappings are left alone."""

import ctypes
import mmap
import re
from pathlib import Path

import pytest

from daemon import heap

SIZE = 64 << 20


def rights(begin: int) -> str:
    """What the kernel notes of the mapping at this address ("hg": huge pages were asked for)."""
    smaps = Path("/proc/self/smaps").read_text()
    for part in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", smaps):
        found = re.match("([0-9a-f]+)-([0-9a-f]+) ", part)
        if found and int(found[1], 16) <= begin < int(found[2], 16):
            return re.search("VmFlags:(.*)", part)[1]  # type: ignore[index]
    raise AssertionError("it is not mapped")


def address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def test_a_large_heap_is_put_into_huge_pages_and_keeps_what_it_holds() -> None:
    memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, SIZE, mmap.PAGESIZE):
        memory[page] = 1
    memory[12345:12350] = b"heart"
    assert heap.use_huge_pages() >= SIZE
    assert "hg" in rights(address(memory)).split()
    assert memory[12345:12350] == b"heart"


def test_what_is_no_heap_is_left_alone() -> None:
    lines = [
        "10000000-14000000 rw-p 00000000 00:00 0 ",
        "20000000-24000000 rw-p 00000000 00:00 0                          [heap]",
        "30000000-30800000 rw-p 00000000 00:00 0 ",  # a stack
        "40000000-44000000 rw-s 00000000 00:01 9                          /dev/zero (deleted)",
        "50000000-54000000 r--p 00000000 08:01 7                          /usr/lib/a name",
        "60000000-64000000 rw-p 00000000 00:00 0                          [stack]",
    ]
    assert list(heap._large(lines)) == [(0x10000000, 64 << 20), (0x20000000, 64 << 20)]


@pytest.mark.parametrize("how", ["no maps", "another system"])
def test_where_it_cannot_be_done_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    if how == "no maps":
        monkeypatch.setattr(heap, "_MAPS", tmp_path / "none")
    else:
        monkeypatch.setattr("sys.platform", "darwin")
    assert heap.use_huge_pages() == 0
