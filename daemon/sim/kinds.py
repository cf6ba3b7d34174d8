"""The kinds of jobs that the simulator offers, one row each, and the states that end a job.

Owns all differences between kinds.
Source: the API document for the two video kinds, the official SDK for the others.
"""

from dataclasses import dataclass
from typing import Final

ENDED: Final = frozenset({"SUCCEED", "PARTIAL_SUCCEED", "FAILED", "CANCELED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of job: its names in requests and the properties of its jobs."""

    name: str
    segment: str
    """The path segment between the project id and the job id."""
    job_type: str = ""
    """The `job_type` of its answers and of the list's filter; empty if it has none."""
    listed: bool = False
    """Whether the list operation includes its jobs, and clients may create and cancel them."""
    makes_video: bool = False
    """Whether success leaves a video asset."""
    has_preview: bool = False
    scripted: bool = False
    """Whether answers can include scripts, and longer scripts take longer to produce."""
    seconds: float = 0.0
    """The usual seconds in production of a kind without scripts."""
    freezes: bool = False
    """Whether its jobs may enter BLOCK."""
    may_half_succeed: bool = False
    """Whether its jobs may end in PARTIAL_SUCCEED."""


AVATAR: Final = Kind(
    name="avatar",
    segment="2d-digital-human-videos",
    job_type="2D_DIGITAL_HUMAN_VIDEO",
    listed=True,
    makes_video=True,
    scripted=True,
    freezes=True,
)
PHOTO: Final = Kind(
    name="photo",
    segment="photo-digital-human-videos",
    job_type="PHOTO_DIGITAL_HUMAN_VIDEO",
    listed=True,
    makes_video=True,
    has_preview=True,
    scripted=True,
    freezes=True,
)
BUSINESS_CARD: Final = Kind(
    name="business_card",
    segment="digital-human-business-cards",
    makes_video=True,
    has_preview=True,
    seconds=90.0,
    freezes=True,
)
PHOTO_DETECTION: Final = Kind(name="photo_detection", segment="photo-detection", seconds=8.0)
PICTURE_MODELING: Final = Kind(
    name="picture_modeling",
    segment="digital-human/stylized/picture-modelings",
    seconds=240.0,
    may_half_succeed=True,
)

KINDS: Final = {kind.name: kind for kind in (AVATAR, PHOTO, BUSINESS_CARD, PHOTO_DETECTION, PICTURE_MODELING)}
LISTED: Final = frozenset(kind.name for kind in KINDS.values() if kind.listed)
