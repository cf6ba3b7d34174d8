"""Rocket.Chat: text, by a webhook or a login. Its refusals stand in the body, which Apprise does not read."""

import re

from daemon.notify.message.escape import html_chat
from daemon.notify.services.answers import by_flag
from daemon.notify.services.base import Given, Markup, Service, written

_RULE = by_flag(
    "success",
    needed=False,  # the answer to a login has no flag
    rate=frozenset({"error-too-many-requests"}),
    hold=re.compile(
        r"(?i)(?:invalid|no-such)-(?:room|channel|user)|room-not-found|not-allowed|not-authorized|unauthorized"
        r"|archived|read-?only|does not match any (?:group|channel|room)|not-in-room|muted"
    ),
)


def _pasted(host: str, path: str, given: Given) -> str | None:
    hook = re.fullmatch(r"/hooks/([A-Za-z0-9]{17,24})/([A-Za-z0-9]{24,64})", path)
    return None if hook is None else written(f"rockets://{hook[1]}/{hook[2]}@{host}", given)


SERVICE = Service(
    examples={"rocket": ("Rocket.Chat", "rockets://user:password@chat.example.com/#channel")},
    schemes=("rocket", "rockets"),
    theirs="rocketchat:NotifyRocketChat",
    pasted=_pasted,
    markup=Markup.HTML,
    escape=html_chat,
    limit=1000,
    rule=_RULE,
)
