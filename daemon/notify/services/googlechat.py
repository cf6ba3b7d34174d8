"""Google Chat: text, posted to the webhook of a space."""

from daemon.notify.message.escape import html_chat
from daemon.notify.services.answers import RATE_WAIT, by_key
from daemon.notify.services.base import Markup, Service

_RULE = by_key(
    "name",
    name="status",
    rate={"RESOURCE_EXHAUSTED": RATE_WAIT},
    hold=frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "NOT_FOUND", "FAILED_PRECONDITION"}),
)

SERVICE = Service(
    examples={"gchat": ("Google Chat, webhook", "gchat://SPACE/KEY/TOKEN")},
    schemes=("gchat",),
    theirs="google_chat:NotifyGoogleChat",
    markup=Markup.HTML,
    escape=html_chat,
    limit=4000,
    rule=_RULE,
)
