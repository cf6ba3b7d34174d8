"""Where the services with plugins of ours live, and `host=`, which says that one lives elsewhere. Pure.

A private gateway, or a stand-in for tests, takes a service's place: `?host=gateway.example.com:8443`, with
`&insecure=yes` for plain HTTP, which is for this machine alone: a token must not cross a network in the open.
"""

import re
from collections.abc import Mapping

from daemon.domain.hosts import is_loopback

HOSTS: Mapping[str, str] = {
    "feishu": "open.feishu.cn",
    "lark": "open.larksuite.com",
    "dingtalk": "oapi.dingtalk.com",
    "wecombot": "qyapi.weixin.qq.com",
}
"""By scheme: the host that the service documents for its group bots."""

_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?"
)
_YES = frozenset({"yes", "true", "on", "1"})
_NO = frozenset({"no", "false", "off", "0", ""})


def base_of(scheme: str, options: Mapping[str, str]) -> str:
    """`https://HOST` of a service by the options of its URL. Raises ValueError with what is wrong with these."""
    host, insecure = options.get("host", "").strip(), options.get("insecure", "").strip().lower()
    if insecure not in _YES | _NO:
        raise ValueError("with insecure=, which takes yes or no")
    if not host:
        if insecure in _YES:
            raise ValueError("with insecure= but no host=: the service itself is always asked over TLS")
        return f"https://{HOSTS[scheme]}"
    found = _HOST.fullmatch(host)
    if found is None or not 0 < int(found["port"] or 443) < 65536:
        raise ValueError("with host=, which takes a host's name and a port, like gateway.example.com:8443")
    if insecure not in _YES:
        return f"https://{host}"
    if not is_loopback(found["name"].strip("[]")):
        raise ValueError("with insecure=yes, which is for a host on this machine only, like 127.0.0.1:8080")
    return f"http://{host}"
