"""docs/monitoring.md: how wrapd is watched."""

from docs.alert_rules import runbook
from docs.paper import NOTE, joined

INTRO = """\
wrapd reports by itself what it notices: the `operators` of its config hear of a project that does not answer, a
channel that is refused, alerts that were given up ([events.md](events.md)). What it cannot report is that it is
gone, or that nothing can be sent. That needs something outside of wrapd, on another machine:

- The [heartbeat](#heartbeat) needs one address in the config. wrapd reaches out, so nothing has to reach it.
- [Prometheus](#prometheus-and-grafana) needs to reach `web.listen`, and tells more: why, and since when.
- `/healthz` and `/readyz` at `web.listen` name the parts without progress, for a monitor that can reach them.
"""

HEARTBEAT = """\
## Heartbeat

A dead man's switch alerts someone when it no longer hears from wrapd. Create a check at
[Healthchecks](https://healthchecks.io) (also self-hosted) or a monitor of type Push in Uptime Kuma, with the
period of `interval` and a grace time of at least as long, and put its address into the config:

```toml
[heartbeat]
# https://hc-ping.com/UUID, or https://kuma.example.com/api/push/TOKEN?status=up&msg=OK&ping=
url = { env = "WRAPD_HEARTBEAT_URL" }
interval = "1m"
```

- wrapd requests the address (GET) at every interval while it makes progress: its ticks ran, no project or
  channel hangs, results are stored, and a commit to the database succeeds at that moment. The first ping comes
  after 30 seconds at the latest. So none comes while the disk is full, another program locks the database or
  the loop hangs, although the process lives.
- If wrapd notices that by itself, it says so once: to Healthchecks with `/fail`, to Uptime Kuma with
  `status=down` and the parts without progress in `msg`. Any other service just hears nothing. A check alerts at
  once then.
- A service that cannot be reached, or whose answer is no success, is asked again after 10 seconds. A request
  takes at most 10 seconds, and holds up nothing else. A proxy in the environment is used.
- An API or a chat service that refuses wrapd is no lack of progress: wrapd reports these itself.
- Logged are `heartbeat.sent` (the first), `heartbeat.failed` and `heartbeat.withheld`, each once until that
  changes; `wrapd_heartbeats_total` counts them. The address is a secret: whoever knows it can ping.
- Healthchecks' `/start` is not used: it measures how long a job takes, and wrapd runs all the time.
"""


PROMETHEUS = """\
## Prometheus and Grafana

`packaging/prometheus/rules.yml` has the rules explained below, and `packaging/grafana/wrapd.json` a board with
every metric ([metrics.md](metrics.md)); import it into Grafana. In the configuration of Prometheus:

```yaml
rule_files: [/etc/prometheus/wrapd.rules.yml]
scrape_configs:
  - job_name: wrapd
    scrape_interval: 1m
    static_configs: [{targets: ["127.0.0.1:8787"]}]
    # From another machine, with a token that may read (`wrapd tokens create prometheus --scope read`):
    # authorization: {credentials_file: /etc/prometheus/wrapd.token}
```

`promtool check rules` checks the file. wrapd reports much of this to its `operators` too: these rules are for
teams whose alerts come from Prometheus, and for the time when wrapd cannot report anything.

`WrapdBackupMissing` watches backups where any were made, by the timer or by hand ([install.md](install.md)).

## Rules

Each names a symptom, and what to do about it.
"""


def page() -> str:
    """The text of the page."""
    return joined(["# Monitoring", "", NOTE, "", INTRO, HEARTBEAT, PROMETHEUS, *runbook()])
