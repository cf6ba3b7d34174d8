"""The alert rules for Prometheus, and what to do about each: packaging/prometheus/rules.yml and the runbook.

A rule names its metrics by their attributes in daemon/metrics.py, so that one which is gone or renamed cannot stay
in a rule.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from types import SimpleNamespace

from docs.pages_metrics import declared

RUNBOOK = "docs/monitoring.md"
_M = SimpleNamespace(**{each.attribute: each.name for each in declared()})
_ONE = "job, instance"
"""Labels that Prometheus adds: they tell one wrapd from another."""
_MISSING = 2 * 86400.0
"""Age of the newest backup in seconds from which one is missing, as for `wrapd doctor`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One alert. `hold` is how long `expr` must be true, in Prometheus' notation; `meaning` and `remedy` are for
    the runbook."""

    name: str
    expr: str
    hold: str
    severity: str
    summary: str
    meaning: str
    remedy: tuple[str, ...]

    @property
    def anchor(self) -> str:
        return f"{RUNBOOK}#{self.name.lower()}"


RULES = (
    Rule(
        name="WrapdDown",
        expr=f"absent({_M.ready})",
        hold="5m",
        severity="critical",
        summary="wrapd cannot be reached",
        meaning="Prometheus gets no metrics: wrapd or its machine is down, or the address is wrong. Nobody is "
        "alerted of videos. Where one Prometheus watches several wrapds, this fires only if all are gone: use "
        '`up{job="wrapd"} == 0` instead.',
        remedy=(
            (
                "`systemctl status wrapd` and `journalctl -u wrapd -p warning -n 20` name the reason; "
                "[install.md](install.md) explains the exit statuses."
            ),
            (
                "If it runs: `curl http://127.0.0.1:8787/metrics` on that machine; then check `web.listen`, "
                "`web.hosts` and the token that Prometheus uses."
            ),
        ),
    ),
    Rule(
        name="WrapdNotReady",
        expr=f"{_M.ready} == 0",
        hold="2m",
        severity="critical",
        summary="wrapd runs, but makes no progress",
        meaning="A part makes no progress: the database takes no commits (the disk is full, another program locks "
        "it), or a project or channel hangs. Ends of videos are noticed late or not at all.",
        remedy=(
            "`curl http://127.0.0.1:8787/readyz` names the parts.",
            (
                "`writer`: free space on the disk (`df -h`), or end the program that locks the database (`fuser "
                "wrapd.db`). wrapd continues by itself."
            ),
            "`database`: its file was replaced; wrapd exits and uses the new one.",
            "Others: `journalctl -u wrapd -p err`, then `systemctl restart wrapd`. No alert is lost by it.",
        ),
    ),
    Rule(
        name="WrapdProjectDown",
        expr=f"{_M.project_up} == 0",
        hold="5m",
        severity="critical",
        summary="the API of project {{ $labels.project }} gives no usable answers",
        meaning="MetaStudio cannot be reached or answers with errors. Ends are noticed once it answers again; "
        "none is lost.",
        remedy=(
            "`wrapd doctor --online` asks the API and says why it fails.",
            "Check the project's `proxy` and `ca_file`, DNS, the firewall.",
        ),
    ),
    Rule(
        name="WrapdCredentialsRefused",
        expr=f"{_M.project_authorized} == 0",
        hold="2m",
        severity="critical",
        summary="MetaStudio refuses the credentials of project {{ $labels.project }}",
        meaning="The key, token or password is wrong, expired or locked. wrapd sends a refused key at most three "
        "times in five minutes, so that it does not get locked. Ends are noticed once it is accepted.",
        remedy=(
            "`wrapd doctor --online` shows the service's words.",
            "Renew the secret where the config points to, then `wrapd reload`.",
        ),
    ),
    Rule(
        name="WrapdJobsLate",
        expr=f"{_M.lateness} > 60 unless on ({_ONE}, project) {_M.project_up} == 0",
        hold="10m",
        severity="warning",
        summary="jobs of project {{ $labels.project }} are polled over a minute late",
        meaning="There are more jobs than the request budget allows for, or the service throttles.",
        remedy=(
            "`wrapd stats` shows the requests by kind against the budget.",
            "Raise `requests_per_second` as far as the tenant's limit allows; set up callbacks.",
            "If `polling.batch` or `polling.feed` is off, turn it on.",
        ),
    ),
    Rule(
        name="WrapdChannelHeld",
        expr=f'{_M.deliveries}{{status="held"}} > 0',
        hold="10m",
        severity="critical",
        summary="the chat service refuses channel {{ $labels.channel }}",
        meaning="The chat service says that the channel's address or key is no longer valid. Its alerts wait; "
        "wrapd tries again at growing intervals.",
        remedy=(
            "`wrapd channels` shows the service's own words.",
            "Create the webhook or bot anew, change the secret, `wrapd reload`, `wrapd channels test CHANNEL`.",
        ),
    ),
    Rule(
        name="WrapdChannelFailing",
        expr=(
            f'sum by ({_ONE}, channel) (increase({_M.attempts}{{outcome=~"retry|unknown"}}[15m])) > 0'
            f' unless sum by ({_ONE}, channel) (increase({_M.attempts}{{outcome="sent"}}[15m])) > 0'
            f' and sum by ({_ONE}, channel) ({_M.deliveries}{{status=~"pending|sending"}}) > 0'
        ),
        hold="10m",
        severity="warning",
        summary="no alert has reached channel {{ $labels.channel }} for a while",
        meaning="Each attempt fails in a way that may pass: the chat service cannot be reached, is overloaded, or "
        "times out. The alerts wait and are sent again.",
        remedy=(
            "`wrapd deliveries --channel CHANNEL` shows the reason of each attempt.",
            "Check the service's status page, the network and the proxy. Set `fallback` for such times.",
        ),
    ),
    Rule(
        name="WrapdAlertsDead",
        expr=f'{_M.deliveries}{{status="dead"}} > 0',
        hold="0m",
        severity="warning",
        summary="{{ $value }} alerts for channel {{ $labels.channel }} were given up",
        meaning="They could not be sent within `notify.give_up_after`, or in no form. They stay until someone "
        "decides.",
        remedy=(
            "`wrapd needs` lists them; `wrapd deliveries show ID` shows why.",
            "`wrapd deliveries retry ID` (or `--dead`) sends them, `wrapd deliveries cancel ID` drops them.",
        ),
    ),
    Rule(
        name="WrapdFeedLost",
        expr=f"{_M.feed_trusted} == 0 and max_over_time({_M.feed_trusted}[1d]) == 1",
        hold="1h",
        severity="info",
        summary="project {{ $labels.project }} no longer learns of ends from the list of ended jobs",
        meaning="The service's list missed or distorted something, so wrapd polls by other queries: more "
        "requests, and with very many jobs later news. It tries the list again by itself.",
        remedy=(
            "`journalctl -u wrapd | grep feed.distrusted` says what was wrong with it.",
            "Nothing has to be done unless WrapdJobsLate fires too.",
        ),
    ),
    Rule(
        name="WrapdConfigRefused",
        expr=f"{_M.config_good} == 0",
        hold="1m",
        severity="warning",
        summary="a changed config has a fault, wrapd runs with the last good one",
        meaning="The next restart would fail.",
        remedy=("`wrapd config check` lists the faults; fix them, then `wrapd reload`.",),
    ),
    Rule(
        name="WrapdHeartbeatFailing",
        expr=(
            f'increase({_M.heartbeats}{{outcome="failed"}}[15m]) > 0'
            f' unless on ({_ONE}) increase({_M.heartbeats}{{outcome="sent"}}[15m]) > 0'
        ),
        hold="5m",
        severity="warning",
        summary="the heartbeat does not reach its service",
        meaning="The dead man's switch is not pinged although wrapd makes progress: it will alert, or did.",
        remedy=(
            "`journalctl -u wrapd | grep heartbeat.failed` says why.",
            "Check that the check still exists at the service, `heartbeat.url`, the network and the proxy.",
        ),
    ),
    Rule(
        name="WrapdBackupMissing",
        expr=f"time() - ({_M.backup_at} > 0) > {_MISSING:.0f}",
        hold="5m",
        severity="warning",
        summary="the newest backup of wrapd's database is older than two days",
        meaning="Of two nightly backups, one is missing. Silent where no backup was ever made: `wrapd doctor` "
        "says so.",
        remedy=(
            "`journalctl -u wrapd-backup` says why the last one failed: a full disk, a damaged database.",
            "`systemctl list-timers wrapd-backup.timer` shows whether the timer runs.",
            "`systemctl start wrapd-backup` makes one now ([install.md](install.md#backup-and-restore)).",
        ),
    ),
    Rule(
        name="WrapdDefect",
        # A counter that appears with its first event shows no increase.
        expr=f"increase({_M.defects}[1h]) > 0 or {_M.defects} unless {_M.defects} offset 1h",
        hold="0m",
        severity="warning",
        summary="an internal error in wrapd, in its part {{ $labels.part }}",
        meaning="wrapd met something unforeseen and went on. A job or an alert may be late.",
        remedy=("`journalctl -u wrapd | grep -A 30 defect` has the traceback; please report it.",),
    ),
)


def rules_file() -> str:
    """The text of rules.yml. JSON's strings are YAML's too."""
    head = "# Generated by docs/generate.py from docs/alert_rules.py: change it there."
    lines = [head, "groups:", "  - name: wrapd", "    rules:", *(line for rule in RULES for line in _lines(rule))]
    return "\n".join(lines) + "\n"


def _lines(rule: Rule) -> Iterator[str]:
    text = json.dumps
    yield f"      - alert: {rule.name}"
    yield f"        expr: {text(rule.expr)}"
    yield f"        for: {rule.hold}"
    yield f"        labels: {{severity: {rule.severity}}}"
    yield "        annotations:"
    yield f"          summary: {text(rule.summary)}"
    yield f"          description: {text(rule.meaning)}"
    yield f"          runbook: {text(rule.anchor)}"


def _wrapped(text: str, *, indent: str = "") -> list[str]:
    return wrap(text, 115, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def runbook() -> Iterator[str]:
    """The lines of the runbook: a section for each rule."""
    for rule in RULES:
        hold = "at once" if rule.hold == "0m" else f"after {rule.hold}"
        yield from (f"### {rule.name}", "", *_wrapped(f"{rule.meaning} (Severity {rule.severity}, {hold}.)"), "")
        for each in rule.remedy:
            yield from _wrapped(f"- {each}", indent="  ")
        yield from ("", "```text", rule.expr, "```", "")
