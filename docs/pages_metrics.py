"""docs/metrics.md: the metrics of daemon/metrics.py."""

from daemon.metrics import Metrics
from docs.paper import NOTE, joined, table

INTRO = """\
`GET /metrics` on the address of `web.listen` (127.0.0.1:8787 by default) gives them in Prometheus' text format:

```sh
curl http://127.0.0.1:8787/metrics
```

On a loopback address the Host must be one of its own names or that of `web.public_url` ([api.md](api.md)).

A label is the name of a project or channel, or a short word; no metric has a job's id, a URL or a secret. A
counter comes with a gauge that says when it began to count (`…_created`), a histogram with `…_bucket`, `…_sum`
and `…_count`.
"""

LABELS = (
    ("`project`, `channel`", "a name in the config"),
    ("`operation`", "the query: `show`, `show_asset`, and for the identity service `find_project`, `fetch_token`"),
    ("`outcome` of a request", "`ok`, the HTTP status, or the name of the fault where there was no answer"),
    (
        "`outcome` of an attempt",
        "`sent`, `retry`, `unknown`, `held` or `dead`; [channels.md](channels.md) explains them",
    ),
    ("`state`", "the state that a job came into, `other` for one that wrapd does not know"),
    ("`result`", "`ok` or `refused`"),
    ("`status`", "`pending`, `sending`, `sent`, `held`, `dead` or `canceled`"),
)

QUESTIONS = """\
## Worth an alarm

| question | expression |
|---|---|
| Does a project's API answer? | `wrapd_project_up == 0` |
| Are there more jobs than the request budget allows for? | `wrapd_poll_lateness_seconds > 60` |
| Do alerts wait for a person? | `wrapd_deliveries{status=~"held\\|dead"} > 0` |
| Was a changed config refused? | `wrapd_config_last_reload_successful == 0` |
| Does the database take what is written? | `increase(wrapd_store_errors_total[10m]) > 0` |

At a refused channel one alert is `held`, and the others are `pending` behind it.

wrapd tells the first two, and a channel that is held, to the `operators` of its config by itself. Whether it
runs at all is a question for `/healthz` and `/readyz`.
"""


def page() -> str:
    """The text of the page."""
    rows = []
    for name, metric in vars(Metrics()).items():
        if name == "registry":
            continue
        (family,) = metric.describe()
        shown = f"`{family.name}_total`" if family.type == "counter" else f"`{family.name}`"
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # the library shows them nowhere else
        rows.append((shown, family.type, labels or "none", family.documentation))
    lines = ["# Metrics", "", NOTE, "", INTRO]
    lines += [*table(("metric", "type", "labels", "meaning"), rows)]
    lines += ["## Labels", "", *table(("label", "values"), LABELS), QUESTIONS]
    return joined(lines)
