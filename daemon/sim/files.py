"""The files behind the links: a cover picture and a short video for each job.

Makes a small real PNG and a small valid MP4 container with the standard library only. Stores nothing.
"""

import math
import struct
import zlib
from functools import lru_cache

WIDTH, HEIGHT = 640, 360

Colour = tuple[float, float, float]
_STUDIOS: tuple[tuple[Colour, Colour], ...] = (
    ((208, 221, 226), (149, 174, 186)),
    ((236, 222, 205), (205, 172, 141)),
    ((214, 223, 206), (158, 178, 150)),
    ((223, 214, 228), (171, 156, 186)),
    ((60, 73, 92), (32, 40, 54)),
    ((240, 226, 190), (214, 184, 120)),
    ((226, 206, 204), (186, 146, 146)),
)
"""The wall behind a presenter, at its top and at its foot."""
_CLOTHES: tuple[Colour, ...] = ((43, 58, 82), (126, 54, 58), (232, 228, 220), (64, 86, 74), (92, 78, 104))
_FACES: tuple[Colour, ...] = ((233, 196, 166), (190, 139, 104), (216, 170, 134), (133, 91, 66))
_HAIR: tuple[Colour, ...] = ((38, 31, 30), (78, 52, 38), (112, 100, 92))


@lru_cache(maxsize=64)
def cover_png(number: int) -> bytes:
    """Return a 640 x 360 picture (PNG, 8-bit RGB) of a presenter in a studio; 420 numbers look different."""
    top, foot = _STUDIOS[number % len(_STUDIOS)]
    figure = _figure(number)
    rows = bytearray()
    for y in range(HEIGHT):
        wall = _mixed(top, foot, y / HEIGHT)
        line = bytearray(_pixel(wall) * WIDTH)
        for middle, centre, wide, high, colour in figure:
            inside = 1 - ((y - centre) / high) ** 2
            if inside > 0:
                half = wide * math.sqrt(inside)
                _paint(line, middle - half, middle + half, colour)
        rows.append(0)
        rows += line
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(rows), 6)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _figure(number: int) -> list[tuple[float, float, float, float, Colour]]:
    """The ellipses that make the presenter, back to front: centre (x, y), half width and height, colour."""
    clothes, face = _CLOTHES[number % len(_CLOTHES)], _FACES[number % len(_FACES)]
    hair, x = _HAIR[number % len(_HAIR)], WIDTH / 2 + (number % 3 - 1) * 70
    shade = _mixed(face, (40.0, 30.0, 30.0), 0.25)
    behind = (x, 160.0, 70.0, 92.0, hair) if number % 2 else (x, 126.0, 60.0, 62.0, hair)
    return [
        behind,
        (x, 236.0, 24.0, 60.0, shade),
        (x, 402.0, 150.0, 152.0, clothes),
        (x, 254.0, 36.0, 17.0, shade),
        (x, 150.0, 52.0, 66.0, face),
        (x - 8, 92.0, 50.0, 26.0, hair),
    ]


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def _pixel(colour: Colour) -> bytes:
    return bytes(round(each) for each in colour)


def _paint(line: bytearray, left: float, right: float, colour: Colour) -> None:
    """Paint from `left` to `right` (pixels); a pixel at an edge by the part of it that is inside."""
    first, last = math.ceil(left), math.floor(right)
    for place, share in ((first - 1, first - left), (last, right - last)):
        if 0 <= place < WIDTH and last >= first:
            at = 3 * place
            red, green, blue = line[at : at + 3]
            line[at : at + 3] = _pixel(_mixed((red, green, blue), colour, share))
    first, last = max(first, 0), min(last, WIDTH)
    if last > first:
        line[3 * first : 3 * last] = _pixel(colour) * (last - first)


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
