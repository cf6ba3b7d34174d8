"""Makes and checks signed, expiring URLs like those of object storage.

Owns the signature of a link (`AccessKeyId`, `Expires` in epoch seconds, `Signature`) and the XML of a refusal.
Source: Huawei Cloud OBS, "Authentication of Signature in a URL": base64(HMAC-SHA1(secret, method, three empty
lines' worth of headers, Expires, resource)).
"""

import base64
import hmac
from dataclasses import dataclass
from urllib.parse import quote

from daemon.sim.settings import SettledSettings
from daemon.sim.signing import parse_query

COVER, PREVIEW, MAIN = "cover.png", "preview.mp4", "video.mp4"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRefusal:
    """Object storage's refusal to serve a file: its status, code and message."""

    status: int
    code: str
    message: str

    def xml(self, request_id: str) -> bytes:
        """Return the body of the refusal."""
        return (
            '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{self.message}</Message>"
            f"<RequestId>{request_id}</RequestId></Error>"
        ).encode()


_EXPIRED = StorageRefusal(status=403, code="AccessDenied", message="Request has expired")
_UNSIGNED = StorageRefusal(
    status=403, code="AccessDenied", message="Anonymous access is forbidden for this operation"
)
_WRONG = StorageRefusal(
    status=403,
    code="SignatureDoesNotMatch",
    message="The request signature we calculated does not match the signature you provided",
)
NO_FILE = StorageRefusal(status=404, code="NoSuchKey", message="The specified key does not exist")


class FileLinks:
    """Makes and checks links for the tenant's files."""

    def __init__(self, settings: SettledSettings) -> None:
        self._settings = settings
        self._secret = settings.storage_secret.encode()

    def sign(self, base: str, asset_id: str, file: str, *, expires: int) -> str:
        """Return a URL for an asset's file under `base` (`http://host:port`); it expires at `expires` (epoch
        seconds)."""
        path = f"/{self._settings.project_id}/{asset_id}/{file}"
        signature = quote(self._signature("GET", path, str(expires)), safe="")
        return f"{base}{path}?AccessKeyId={self._settings.storage_key}&Expires={expires}&Signature={signature}"

    def check(self, method: str, path: str, query: str, *, now: float) -> StorageRefusal | None:
        """Return why the link is refused at `now` (epoch seconds); None if it is valid."""
        given = dict(parse_query(query))
        expires = given.get("Expires", "")
        if not {"AccessKeyId", "Expires", "Signature"} <= given.keys():
            return _UNSIGNED
        if given["AccessKeyId"] != self._settings.storage_key or not (expires.isascii() and expires.isdigit()):
            return _WRONG
        if now >= int(expires):
            return _EXPIRED
        wanted = self._signature(method, path, expires)
        # parse_query decodes an unquoted '+' to a space
        same = hmac.compare_digest(given["Signature"].replace(" ", "+").encode(), wanted.encode())
        return None if same else _WRONG

    def _signature(self, method: str, path: str, expires: str) -> str:
        to_sign = f"{method}\n\n\n{expires}\n{path}"
        return base64.b64encode(hmac.digest(self._secret, to_sign.encode("utf-8", "replace"), "sha1")).decode()
