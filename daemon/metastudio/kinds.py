"""The table of task kinds that wrapd can query.

Owns their differences: a kind that needs more gets a new field here, not a class. Sources of the paths and the
contents of answers: the API document and, where it is silent, the official SDK.
"""

from msgspec import Struct


class Kind(Struct, frozen=True, kw_only=True):
    """How to query one kind of task and read its answers.

    `segment` is the part of the path between the project and the job id. `job_type` is the API's name, if it has
    one. `has_preview`: a success has a preview URL; otherwise the finished file is found by its asset. `body_at`:
    path of fields to the object with the task's state. `listed`: the list operation includes it. `scripted`: its
    answers include shoot scripts on request.
    """

    name: str
    segment: str
    job_type: str | None = None
    has_preview: bool = False
    body_at: tuple[str, ...] = ()
    listed: bool = False
    scripted: bool = False

    def path(self, project_id: str, job_id: str) -> str:
        """The path of the query. Neither id needs quoting (`settings` and `parse_job_id` check them)."""
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
"""By the name for `wrapd track --kind`."""

_JOB_TYPES = {kind.job_type: kind for kind in KINDS.values() if kind.job_type is not None} | {
    "DIGITAL_HUMAN_PHOTO_VIDEO": PHOTO
}


def kind_named(job_type: str | None) -> Kind | None:
    """The kind for an answer's `job_type`, in any of the service's spellings; None if it is absent or unknown."""
    return None if job_type is None else _JOB_TYPES.get(job_type) or _JOB_TYPES.get(job_type.strip().upper())
