"""The alert rules and the board name only metrics and labels that wrapd declares. The runbook explains each."""

import json
import re

import pytest

from docs.alert_rules import RULES, rules_file
from docs.grafana_board import board
from docs.pages_metrics import declared
from docs.pages_monitoring import page

ADDED = {"job", "instance", "le"}
"""Labels that Prometheus adds, or a histogram has."""
NAMES = {
    shown: set(each.labels)
    for each in declared()
    for shown in (
        [f"{each.name}{end}" for end in ("_bucket", "_sum", "_count")] if each.type == "histogram" else [each.name]
    )
}


def faults(expr: str) -> list[str]:
    """What an expression names that is not declared."""
    found = []
    used: set[str] = set()
    for name, chosen in re.findall(r"\b(wrapd_\w+)(?:\{([^}]*)\})?", expr):
        used |= NAMES.get(name, set())
        found += [] if name in NAMES else [name]
        found += [
            label for label in re.findall(r"(\w+) *(?:=~|!~|!=|=)", chosen) if label not in NAMES.get(name, ())
        ]
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expr):
        found += [each for each in labels.split(", ") if each not in used | ADDED]
    return found


def panels() -> list[dict[str, object]]:
    return [each for each in json.loads(board())["panels"] if each["type"] != "row"]


@pytest.mark.parametrize(
    ("expr", "wrong"),
    [
        ('wrapd_deliveries{status="dead"} > 0', []),
        ('wrapd_deliverys{status="dead"} > 0', ["wrapd_deliverys", "status"]),
        ('wrapd_deliveries{state="dead"} > 0', ["state"]),
        ("sum by (job, project) (wrapd_deliveries)", ["project"]),
        ("rate(wrapd_requests[5m])", ["wrapd_requests"]),
    ],
)
def test_what_is_found(expr: str, wrong: list[str]) -> None:
    assert faults(expr) == wrong


def test_rules_name_declared_metrics_and_labels() -> None:
    assert {rule.name: faults(rule.expr) for rule in RULES if faults(rule.expr)} == {}
    for rule in RULES:
        named = set(re.findall(r"\$labels\.(\w+)", rule.summary))
        assert named <= set().union(*(NAMES[each] for each in re.findall(r"\bwrapd_\w+", rule.expr)))


def test_the_board_has_every_metric_and_nothing_else() -> None:
    exprs = [target["expr"] for panel in panels() for target in panel["targets"]]  # type: ignore[attr-defined]
    assert {expr: faults(expr) for expr in exprs if faults(expr)} == {}
    assert {each.name for each in declared()} == {
        name.removesuffix("_bucket") for expr in exprs for name in re.findall(r"\bwrapd_\w+", expr)
    }


def test_no_two_panels_share_a_place() -> None:
    taken = [
        (place["x"] + x, place["y"] + y)
        for place in (each["gridPos"] for each in json.loads(board())["panels"])
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(set(taken)) == len(taken)


def test_every_rule_leads_to_its_place_in_the_runbook() -> None:
    headings = {line[4:].lower() for line in page().splitlines() if line.startswith("### ")}
    anchors = re.findall(r'runbook: "docs/monitoring\.md#(\w+)"', rules_file())
    assert len(anchors) == len(RULES) == len(set(anchors))
    assert set(anchors) == headings
