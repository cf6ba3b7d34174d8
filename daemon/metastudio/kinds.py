"""The kinds of task that wrapd can ask about: rows of one table.

Owns what differs between them. A kind that fits no row's fields wants a new field here, not a class.
Source of the paths and of what answers hold: the API document, and the official SDK where that is silent.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one kind of task is asked about and read.

    `segment` is its part of the path, between the project and the job id. `job_type` is how the API names it; None
    where it never does. `has_preview`: whether a success carries a preview URL; else the finished file is found by
    its asset. `body_at`: the fields that lead from the answer's top to the object that holds the task's state.
    `listed`: whether the list operation holds it. `scripted`: whether its answers carry shoot scripts if asked to.
    """

    name: str
    segment: str
    job_type: str | None = None
    has_preview: bool = False
    body_at: tuple[str, ...] = ()
    listed: bool = False
    scripted: bool = False

    def path(self, project_id: str, job_id: str) -> str:
        """The path of the query; both ids are plain (`settings` and `parse_job_id` saw to it)."""
        return f"/v1/{project_id}/{self.segment}/{job_id}"


AVATAR = Kind(
    name="avatar",
    segment="2d-digital-human-videos",
    job_type="2D_DIGITAL_HUMAN_VIDEO",
    listed=True,
    scripted=True,
)
PHOTO = Kind(
    name="photo",
    segment="photo-digital-human-videos",
    job_type="PHOTO_DIGITAL_HUMAN_VIDEO",
    has_preview=True,
    listed=True,
    scripted=True,
)
BUSINESS_CARD = Kind(name="business_card", segment="digital-human-business-cards", body_at=("job_info",))
PHOTO_DETECTION = Kind(name="photo_detection", segment="photo-detection")
PICTURE_MODELING = Kind(name="picture_modeling", segment="digital-human/stylized/picture-modelings")
KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (AVATAR, PHOTO, BUSINESS_CARD, PHOTO_DETECTION, PICTURE_MODELING)
}
"""By the name that people use: `wrapd track --kind`."""

_JOB_TYPES = {kind.job_type: kind for kind in KINDS.values() if kind.job_type is not None} | {
    "DIGITAL_HUMAN_PHOTO_VIDEO": PHOTO
}


def kind_named(job_type: str | None) -> Kind | None:
    """The kind that an answer's `job_type` names, in any spelling that the service uses; None where it is absent
    or unknown."""
    return None if job_type is None else _JOB_TYPES.get(job_type) or _JOB_TYPES.get(job_type.strip().upper())
