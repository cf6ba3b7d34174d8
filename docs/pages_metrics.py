"""docs/metrics.md: the metrics of daemon/metrics.py."""

from dataclasses import dataclass
from functools import cache

from daemon.metrics import Metrics
from docs.paper import NOTE, joined, table

INTRO = """\
`GET /metrics` at the address of `web.listen` (127.0.0.1:8787 by default) serves them in Prometheus' text format:

```sh
curl http://127.0.0.1:8787/metrics
```

Programs on the same machine need no key; others need a token that may read. On a loopback address, the Host header
must be one of its own names, that of `web.public_url` or one of `web.hosts` ([api.md](api.md)).

[monitoring.md](monitoring.md) has rules that alert on them, and a Grafana board.

Label values are names of projects or channels, or short words; no metric contains a job id, a URL or a secret. A
counter comes with a gauge of its creation time (`…_created`), a histogram with `…_bucket`, `…_sum` and `…_count`.
"""

LABELS = (
    ("`project`, `channel`", "a name in the config"),
    (
        "`operation`",
        "the query: `show`, `list`, `show_asset`, and for the identity service `find_project`, `fetch_token`",
    ),
    ("`by`", "the kind of query: `single`, `ids` or `feed`; [polling.md](polling.md) explains them"),
    ("`outcome` of a request", "`ok`, the HTTP status, or the name of the error if there was no answer"),
    (
        "`outcome` of an attempt",
        "`sent`, `retry`, `unknown`, `held` or `dead`; [channels.md](channels.md) explains them",
    ),
    ("`state`", "the job's new state; `other` for one that wrapd does not know"),
    ("`result`", "`ok` or `refused`"),
    ("`outcome` of a heartbeat", "`sent`, `failed` or `withheld`; [monitoring.md](monitoring.md) explains them"),
    (
        "`part`",
        (
            "`control`, `delivery`, `discovery`, `hub`, `links`, `loop`, `pictures`, `reload`, `schedule`, "
            "`watch` or `web`"
        ),
    ),
    ("`status`", "`pending`, `sending`, `sent`, `held`, `dead` or `canceled`"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One metric: its attribute in `Metrics`, its name as Prometheus sees it, and its labels. A histogram's name
    has no ending."""

    attribute: str
    name: str
    type: str
    labels: tuple[str, ...]
    about: str


@cache
def declared() -> tuple[Declared, ...]:
    """All metrics, in the order of their declaration."""
    found = []
    for attribute, metric in vars(Metrics()).items():
        if attribute == "registry":
            continue
        (family,) = metric.describe()
        found.append(
            Declared(
                attribute=attribute,
                name=f"{family.name}_total" if family.type == "counter" else family.name,
                type=family.type,
                labels=tuple(metric._labelnames),  # the library shows them nowhere else
                about=family.documentation,
            )
        )
    return tuple(found)


def page() -> str:
    """The text of the page."""
    rows = [
        (f"`{each.name}`", each.type, ", ".join(f"`{label}`" for label in each.labels) or "none", each.about)
        for each in declared()
    ]
    lines = ["# Metrics", "", NOTE, "", INTRO]
    lines += [*table(("metric", "type", "labels", "meaning"), rows)]
    return joined([*lines, "## Labels", "", *table(("label", "values"), LABELS)])
