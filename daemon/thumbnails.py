"""Small pictures of covers, for lists and walls. Pure, but slow: not for an event loop.

The only module that imports Pillow, and only once there is a picture.
"""

import io
from dataclasses import dataclass

MOST_SIDE = 320
"""Pixels of a thumbnail's longer side."""
MOST_DECODED = 16_000_000
"""Most pixels that are decoded, in 64 MB. A larger JPEG is decoded at a half, a quarter or an eighth."""
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_QUALITY = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A small WebP picture, and its size in pixels."""

    data: bytes
    width: int
    height: int


def thumbnail(data: bytes) -> Thumbnail | None:
    """Return a small copy of a picture, upright and without its metadata; None if it is damaged or too large."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - 6 MiB that a daemon without covers does not need

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            picture.draft("RGB", (2 * MOST_SIDE, 2 * MOST_SIDE))  # only JPEG can
            if picture.width * picture.height > MOST_DECODED:
                return None
            upright = ImageOps.exif_transpose(picture)
            small = upright if upright.mode in ("RGB", "RGBA") else upright.convert("RGBA")
            small.thumbnail((MOST_SIDE, MOST_SIDE))
            written = io.BytesIO()
            small.save(written, "WEBP", quality=_QUALITY)
    except Exception:  # noqa: BLE001 - a decoder of foreign bytes fails in many ways: OSError, SyntaxError, ValueError, …
        return None
    return Thumbnail(data=written.getvalue(), width=small.width, height=small.height)
