"""docs/metrics.md: the metrics of daemon/metrics.py."""

from daemon.metrics import Metrics
from docs.paper import NOTE, joined, table

INTRO = """\
`GET /metrics` at the address of `web.listen` (127.0.0.1:8787 by default) serves them in Prometheus' text format:

```sh
curl http://127.0.0.1:8787/metrics
```

Programs on the same machine need no key; others need a token that may read. On a loopback address, the Host header
must be one of its own names, that of `web.public_url` or one of `web.hosts` ([api.md](api.md)).

Label values are names of projects or channels, or short words; no metric contains a job id, a URL or a secret. A
counter comes with a gauge of its creation time (`…_created`), a histogram with `…_bucket`, `…_sum` and `…_count`.
"""

LABELS = (
    ("`project`, `channel`", "a name in the config"),
    ("`operation`", "the query: `show`, `show_asset`, and for the identity service `find_project`, `fetch_token`"),
    ("`outcome` of a request", "`ok`, the HTTP status, or the name of the error if there was no answer"),
    (
        "`outcome` of an attempt",
        "`sent`, `retry`, `unknown`, `held` or `dead`; [channels.md](channels.md) explains them",
    ),
    ("`state`", "the job's new state; `other` for one that wrapd does not know"),
    ("`result`", "`ok` or `refused`"),
    ("`status`", "`pending`, `sending`, `sent`, `held`, `dead` or `canceled`"),
)

QUESTIONS = """\
## Worth alerting on

| question | expression |
|---|---|
| Does a project's API answer? | `wrapd_project_up == 0` |
| Are there more jobs than the request budget allows for? | `wrapd_poll_lateness_seconds > 60` |
| Do alerts need attention? | `wrapd_deliveries{status=~"held\\|dead"} > 0` |
| Was a changed config refused? | `wrapd_config_last_reload_successful == 0` |
| Do writes to the database fail? | `increase(wrapd_store_errors_total[10m]) > 0` |
| Is the daily backup missing? | `time() - wrapd_backup_timestamp_seconds > 172800` |

On a refused channel, one alert is `held` and the others are `pending` behind it.

wrapd itself reports the first two, and held channels, to the `operators` of its config. Use `/healthz` and
`/readyz` to check whether it runs at all.
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
