"""The kinds of task that wrapd can ask about: rows of one table.

Owns what differs between them. A kind that fits no row's fields wants a new field here, not a class.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one kind of task is asked about and read.

    `segment` is its part of the path, between the project and the job id. `job_type` is how the API names it.
    `has_preview`: whether a success carries a preview URL; else the finished file is found by its asset.
    `body_at`: the fields that lead from the answer's top to the object that holds the task's state.
    """

    name: str
    segment: str
    job_type: str
    has_preview: bool
    body_at: tuple[str, ...] = ()

    def path(self, project_id: str, job_id: str) -> str:
        """The path of the query; both ids are plain (`settings` and `parse_job_id` saw to it)."""
        return f"/v1/{project_id}/{self.segment}/{job_id}"


AVATAR = Kind(
    name="avatar", segment="2d-digital-human-videos", job_type="2D_DIGITAL_HUMAN_VIDEO", has_preview=False
)
PHOTO = Kind(
    name="photo", segment="photo-digital-human-videos", job_type="PHOTO_DIGITAL_HUMAN_VIDEO", has_preview=True
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in (AVATAR, PHOTO)}
"""By the name that people use: `wrapd track --kind`."""

_JOB_TYPES = {kind.job_type: kind for kind in KINDS.values()} | {"DIGITAL_HUMAN_PHOTO_VIDEO": PHOTO}


def kind_of_job_type(job_type: str | None, *, asked: Kind) -> Kind:
    """The kind that an answer's `job_type` names, in any spelling that the service uses; the one that was `asked`
    where it is absent or unknown."""
    return _JOB_TYPES.get((job_type or "").strip().upper(), asked)
