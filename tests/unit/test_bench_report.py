"""docs/performance.md is written from the benchmarks' results."""

import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
ROW = {"what": "start", "wrapd": "1.2 s", "beside": "bare: 1 s", "ratio": 1.2, "target": "at most 1.5"}


SCRIPT = """
import pathlib, sys
assert sys.argv[1] == "--json"
text = {text!r}
if text:
    pathlib.Path(sys.argv[2]).write_text(text)
sys.exit({status})
"""


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(BENCH)
    module = importlib.import_module("_report")
    page = tmp_path / "performance.md"
    page.write_text("# Title\n\n<!-- begin benchmarks -->\nstale\n<!-- end benchmarks -->\n\n## By hand\n")
    (tmp_path / "bench").mkdir()
    for name, value in {"BENCH": tmp_path / "bench", "RESULTS": tmp_path / "results", "PAGE": page}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("sys.argv", ["_report.py"])
    return module


def benchmark(report: ModuleType, name: str, result: dict[str, Any] | None, *, status: int = 0) -> None:
    """A benchmark that writes this result, or none, and ends with `status`."""
    text = json.dumps(result) if result is not None else ""
    (report.BENCH / f"{name}.py").write_text(SCRIPT.format(text=text, status=status))


def test_a_run_writes_a_section_for_each_benchmark(report: ModuleType) -> None:
    one = {"title": "Later", "command": "python bench/one.py", "rows": [{**ROW, "met": True}], "order": 60}
    two = {
        "title": "First",
        "command": "python bench/two.py --rounds 3",
        "rows": [{**ROW, "what": "a | b", "ratio": None, "met": False}],
        "about": "Both on one core.",
        "plots": [{"file": "two.svg", "alt": "Two"}],
    }
    benchmark(report, "one", one)
    benchmark(report, "two", two, status=1)
    assert report.main() == 1
    page = report.PAGE.read_text()
    assert page.startswith("# Title\n")
    assert page.endswith("\n## By hand\n")
    assert "stale" not in page
    assert page.index("## First") < page.index("## Later") < page.index("## By hand")
    assert "| start | 1.2 s | bare: 1 s | 1.20 | at most 1.5 | yes |" in page
    assert "| a \\| b | 1.2 s | bare: 1 s |  | at most 1.5 | **no** |" in page
    assert re.search(r"\| took \| \d+ minutes: one \d+ s, two \d+ s \|", page)
    assert "```sh\npython bench/two.py --rounds 3\n```\n\nBoth on one core.\n" in page
    assert "![Two](two.svg)" in page
    assert "| date | 20" in page


def test_a_result_that_lacks_something_is_named(report: ModuleType) -> None:
    broken = {"title": "Two", "rows": [{"what": "start", "wrapd": "1 s", "beside": "", "ratio": None}]}
    benchmark(report, "two", broken)
    with pytest.raises(SystemExit, match=r"two: the result has no command, rows\[0\]\.target"):
        report.main()
    assert "stale" in report.PAGE.read_text()


def test_a_result_of_an_earlier_run_is_not_used(report: ModuleType) -> None:
    benchmark(report, "one", {"title": "One", "command": "python bench/one.py", "rows": [ROW]})
    assert report.main() == 0
    benchmark(report, "one", None, status=1)
    with pytest.raises(SystemExit, match="one: no result"):
        report.main()


def test_a_benchmark_saves_its_own_command(
    report: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = tmp_path / "made" / "x.json"
    monkeypatch.setattr("sys.argv", ["bench/memory.py", "--rounds", "3", "--json", str(target)])
    report.save(target, title="Memory", rows=[ROW], about="Why.")
    assert report.read(target) == {
        "title": "Memory",
        "command": "python bench/memory.py --rounds 3",
        "rows": [ROW],
        "about": "Why.",
    }


@pytest.mark.parametrize("script", sorted(path.name for path in BENCH.glob("[!_]*.py")))
def test_every_benchmark_writes_a_result(script: str) -> None:
    source = (BENCH / script).read_text(encoding="utf-8")
    assert '"--json"' in source
    assert '"rows"' in source or "rows=" in source
