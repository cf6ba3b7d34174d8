"""The files behind the links: a cover picture and a short video for each job.

Makes a small real PNG and a small valid MP4 container with the standard library only. Stores nothing.
"""

import struct
import zlib
from functools import lru_cache

WIDTH, HEIGHT = 320, 180


@lru_cache(maxsize=64)
def cover_png(number: int) -> bytes:
    """Return a 320 x 180 picture (PNG, 8-bit RGB) whose colours depend on the number."""
    tone = (number * 47) % 160 + 60
    rows = bytearray()
    for y in range(HEIGHT):
        rows.append(0)
        shade = 255 - y * 120 // HEIGHT
        pixel = bytes((tone * shade // 255, (300 - tone) * shade // 300, shade))
        stripe = bytes((pixel[2], pixel[0], pixel[1]))
        bar = WIDTH * (number % 7 + 1) // 9
        rows += stripe * bar + pixel * (WIDTH - bar) if HEIGHT * 3 // 4 < y < HEIGHT * 5 // 6 else pixel * WIDTH
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(rows), 6)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@lru_cache(maxsize=64)
def video_mp4(number: int, seconds: int) -> bytes:
    """Return a small valid MP4 container that claims to last `seconds` and has no track; it differs by number."""
    brand = _box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isomiso2mp41")
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    movie = _box(
        b"mvhd",
        struct.pack(">IIIIIIHH8x", 0, 0, 0, 1000, seconds * 1000, 0x10000, 0x100, 0)
        + matrix
        + bytes(24)
        + struct.pack(">I", 1),
    )
    return brand + _box(b"moov", movie) + _box(b"mdat", f"job {number} ".encode() * 64)


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + kind + data
