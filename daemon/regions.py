"""The regions that offer MetaStudio, with their endpoints and documented limits. Plain data.

Sources: the public endpoint list (`metastudio.{region}.myhuaweicloud.com`, `iam.{region}.myhuaweicloud.com`) and
the public table of limits per tenant. The official SDK's own table lacks ap-southeast-3.
"""

from dataclasses import dataclass

RATE_WITHOUT_REGION = 5.0
"""Requests per second for an endpoint without a region: half of the smallest documented limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One region. Limits are requests per second for the whole tenant, across all of its programs."""

    name: str
    query_limit: float
    """For show and list."""
    create_limit: float
    """For create and cancel."""

    @property
    def endpoint(self) -> str:
        """Base URL of the MetaStudio API."""
        return f"https://metastudio.{self.name}.myhuaweicloud.com"

    @property
    def iam_endpoint(self) -> str:
        """Base URL of the identity service: tokens and project ids."""
        return f"https://iam.{self.name}.myhuaweicloud.com"

    @property
    def default_rate(self) -> float:
        """Requests per second that wrapd uses: half the limit. The rest is left to other programs."""
        return self.query_limit / 2


REGIONS: dict[str, Region] = {
    region.name: region
    for region in (
        Region(name="cn-north-4", query_limit=20, create_limit=5),
        Region(name="cn-east-3", query_limit=10, create_limit=3),
        Region(name="ap-southeast-3", query_limit=10, create_limit=3),
    )
}
