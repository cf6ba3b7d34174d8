"""The simulator's settings: where it listens, which credentials it accepts, and its rate limits.

Owns the defaults, the documented limits of the regions, and made-up values that look real. Does no I/O.
"""

import base64
import random
from dataclasses import dataclass, field
from typing import Final, Literal

from daemon.clock import Clock, SystemClock
from daemon.sim.callbacks import Signed, Unit

REGION_LIMITS: Final[dict[str, tuple[float, float]]] = {
    "cn-north-4": (20.0, 5.0),
    "cn-east-3": (10.0, 3.0),
    "ap-southeast-3": (10.0, 3.0),
}
"""The service's documented limits of a tenant, in requests a second: (show and list, create and cancel)."""

Rate = float | None | Literal["documented"]
"""Requests a second; None for no limit; "documented" for the region's own limit."""

_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimSettings:
    """Settings of a simulator. Keys, ids and names that are None are made up from `seed`, always the same ones.

    `port` 0 means any free port. `speed` divides every duration in a job's life; 1 is real time. Rates are the
    tenant's requests a second. `link_life` (signed URLs) and `token_life` (IAM tokens) are seconds of the wall
    clock, not affected by `speed`.
    """

    listen_host: str = "127.0.0.1"
    port: int = 0
    seed: int = 1
    speed: float = 1.0
    access_key: str | None = None
    secret_key: str | None = None
    security_token: str | None = None
    """If set, the key pair is temporary: signed requests must carry this X-Security-Token."""
    project_id: str | None = None
    token: str | None = None
    region: str = "cn-north-4"
    show_rate: Rate = "documented"
    write_rate: Rate = "documented"
    link_life: float = 86_400.0
    token_life: float = 86_400.0
    callback_unit: Unit = "ms"
    """The unit of the timestamp of a signed callback."""
    callback_signed: Signed = "hex"
    """The form of the timestamp in the signed string; in the query it is always hex."""
    iam_domain: str | None = None
    iam_user: str | None = None
    iam_password: str | None = None
    clock: Clock = field(default_factory=SystemClock)

    def settle(self) -> "SettledSettings":
        """Decide every open value. Raises ValueError for values that cannot be simulated."""
        if not self.speed > 0:
            raise ValueError(f"speed is {self.speed}: it must be more than 0")
        show, write = REGION_LIMITS.get(self.region, (10.0, 3.0))
        rng = random.Random(f"keys/{self.seed}")  # noqa: S311 - made-up values must repeat, they guard nothing
        # drawn even where given, so that one given value does not change the others
        access_key, secret_key = _drawn(rng, _CAPITALS, 20), _drawn(rng, _LETTERS, 40)
        project_id = rng.randbytes(16).hex()
        token = f"MII{base64.urlsafe_b64encode(rng.randbytes(48)).decode().rstrip('=')}"
        iam_password = _drawn(rng, _LETTERS, 16)
        return SettledSettings(
            listen_host=self.listen_host,
            port=self.port,
            seed=self.seed,
            speed=self.speed,
            access_key=self.access_key or access_key,
            secret_key=self.secret_key or secret_key,
            security_token=self.security_token,
            project_id=self.project_id or project_id,
            token=self.token or token,
            region=self.region,
            show_rate=show if self.show_rate == "documented" else self.show_rate,
            write_rate=write if self.write_rate == "documented" else self.write_rate,
            link_life=self.link_life,
            token_life=self.token_life,
            callback_unit=self.callback_unit,
            callback_signed=self.callback_signed,
            iam_domain=self.iam_domain or "studio",
            iam_user=self.iam_user or "wrapd",
            iam_password=self.iam_password or iam_password,
            domain_id=rng.randbytes(16).hex(),
            user_id=rng.randbytes(16).hex(),
            storage_key=_drawn(rng, _CAPITALS, 20),
            storage_secret=_drawn(rng, _LETTERS, 40),
            clock=self.clock,
        )


def _drawn(rng: random.Random, characters: str, length: int) -> str:
    return "".join(rng.choices(characters, k=length))


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledSettings:
    """`SimSettings` with every value decided, as a running simulator uses them."""

    listen_host: str
    port: int
    seed: int
    speed: float
    access_key: str
    secret_key: str
    security_token: str | None
    project_id: str
    token: str
    region: str
    show_rate: float | None
    write_rate: float | None
    link_life: float
    token_life: float
    callback_unit: Unit
    callback_signed: Signed
    iam_domain: str
    iam_user: str
    iam_password: str
    domain_id: str
    user_id: str
    storage_key: str
    """The access key id in signed file URLs; it is not the tenant's."""
    storage_secret: str
    clock: Clock
