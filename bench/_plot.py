"""A small writer of plots as SVG: axes, labels, a legend, light and dark, the same bytes for the same figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from pathlib import Path

_WIDTH, _HEIGHT = 300.0, 270.0
_LEFT, _TOP, _BOTTOM, _GAP = 52.0, 34.0, 44.0, 20.0
_LEGEND = 22.0
_COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#57606a")
_DARK = ("#58a6ff", "#ff7b72", "#56d364", "#e3b341", "#d2a8ff", "#9aa4ae")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points in the order in which a line joins them; `dots` leaves the line out, `dashed` breaks it."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    dots: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes. `right` and `top` end them (0 starts them); what lies beyond is left out."""

    title: str
    x: str
    y: str
    right: float
    top: float
    series: Sequence[Series]
    level: float | None = None  # a thin line across


def write(path: Path, panels: Sequence[Panel], *, description: str) -> None:
    """Write panels side by side; the legend names the series of the first one."""
    width = len(panels) * (_WIDTH + _GAP)
    names = panels[0].series
    rows = -(-len(names) // max(1, int(width // 190)))
    height = _HEIGHT + rows * _LEGEND + 8
    size = f'viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(description)}">',
        f"<title>{escape(description)}</title>",
        f"<style>{_style()}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
    ]
    for i, panel in enumerate(panels):
        parts += _panel(panel, i * (_WIDTH + _GAP))
    in_row = -(-len(names) // rows)
    for i, each in enumerate(names):
        parts += _legend(each, 16 + (i % in_row) * (width - 16) / in_row, _HEIGHT + 14 + (i // in_row) * _LEGEND)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _style() -> str:
    def colours(values: Sequence[str]) -> str:
        return "".join(f".l{i}{{stroke:{each}}}.d{i}{{fill:{each}}}" for i, each in enumerate(values))

    return (
        "text{font:12px sans-serif;fill:#1f2328}.title{font-weight:bold}.paper{fill:#fff}"
        ".axis{stroke:#59636e}.grid{stroke:#d8dee4}.line{fill:none;stroke-width:2}.dashed{stroke-dasharray:6 4}"
        f"{colours(_COLOURS)}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.axis{stroke:#9198a1}"
        f".grid{{stroke:#30363d}}{colours(_DARK)}}}"
    )


def _panel(panel: Panel, at: float) -> list[str]:
    left, right = at + _LEFT, at + _WIDTH
    top, bottom = _TOP, _HEIGHT - _BOTTOM

    def x(value: float) -> float:
        return left + (right - left) * value / panel.right

    def y(value: float) -> float:
        return bottom - (bottom - top) * value / panel.top

    centre, middle = _n((left + right) / 2), _n((top + bottom) / 2)
    parts = [f'<text class="title" x="{centre}" y="20" text-anchor="middle">{escape(panel.title)}</text>']
    for value in _ticks(panel.top):
        parts.append(f'<path class="grid" d="M{_n(left)} {_n(y(value))}H{_n(right)}"/>')
        parts.append(f'<text x="{_n(left - 6)}" y="{_n(y(value) + 4)}" text-anchor="end">{_n(value)}</text>')
    for value in _ticks(panel.right):
        parts.append(f'<path class="axis" d="M{_n(x(value))} {_n(bottom)}v4"/>')
        parts.append(f'<text x="{_n(x(value))}" y="{_n(bottom + 17)}" text-anchor="middle">{_n(value)}</text>')
    parts.append(f'<path class="axis" fill="none" d="M{_n(left)} {_n(top)}V{_n(bottom)}H{_n(right)}"/>')
    parts.append(f'<text x="{centre}" y="{_n(bottom + 35)}" text-anchor="middle">{escape(panel.x)}</text>')
    turned = f"translate({_n(at + 14)} {middle}) rotate(-90)"
    parts.append(f'<text transform="{turned}" text-anchor="middle">{escape(panel.y)}</text>')
    if panel.level is not None:
        parts.append(f'<path class="axis dashed" d="M{_n(left)} {_n(y(panel.level))}H{_n(right)}"/>')
    for each in panel.series:
        shown = [(x(a), y(b)) for a, b in each.points if 0 <= a <= panel.right and 0 <= b <= panel.top]
        parts += _marks(each, shown)
    return parts


def _marks(series: Series, shown: Sequence[tuple[float, float]]) -> list[str]:
    parts = []
    if len(shown) > 1 and not series.dots:
        path = "L".join(f"{_n(a)} {_n(b)}" for a, b in shown)
        dashed = " dashed" if series.dashed else ""
        parts.append(f'<path class="line l{series.colour}{dashed}" d="M{path}"/>')
    parts += [f'<circle class="d{series.colour}" cx="{_n(a)}" cy="{_n(b)}" r="3"/>' for a, b in shown]
    return parts


def _legend(series: Series, x: float, y: float) -> list[str]:
    marks = _marks(series, [(x, y), (x + 22, y)] if not series.dots else [(x + 11, y)])
    return [*marks, f'<text x="{_n(x + 30)}" y="{_n(y + 4)}">{escape(series.name)}</text>']


def _ticks(end: float) -> list[float]:
    """Round numbers from 0 to `end`, four to eight of them."""
    rough = end / 5
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.8)
    return [i * step for i in range(int(end / step + 1e-9) + 1)]


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
