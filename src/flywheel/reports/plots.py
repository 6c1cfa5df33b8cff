"""The plots of a report, drawn from the same values as the tables beside them.

Names stand above their rows, not at their left, so that a plot fits a telephone. What a colour says, a shape
or a word says too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from flywheel.reports.drawing import FAINT, INK, PAPER, ROW, SERIES, canvas, svg

_LONGEST = 52
"""Letters of a name that fit beside a number."""
_STACKED = 7
"""Failure classes with a colour of their own; the rarer ones share the last colour."""
TOOLS_SHOWN = 12
"""Tools that are plotted; the table has all."""

_STYLES = {
    "base": ("o", SERIES[0], PAPER),
    "candidate": ("o", SERIES[0], SERIES[0]),
    "ceiling": ("D", SERIES[1], SERIES[1]),
}
"""Marker, colour and filling by role: a base is hollow, the ceiling a diamond."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds for an answer, and money for `per_requests` answers where it is known."""

    mark: str
    p50: float
    p95: float
    cost: float | None


def intervals(systems: Sequence[Mapping[str, Any]]) -> Markup:
    """Each system's score with its interval, in percent."""
    with canvas(ROW * len(systems)) as (figure, axes):
        for row, system in enumerate(systems):
            marker, colour, filling = _STYLES[system["role"]]
            low, high = system["interval"]["low"] * 100, system["interval"]["high"] * 100
            _interval(axes, row, system["value"] * 100, low, high, marker, colour, filling)
            _name(axes, row, system["name"], f"{system['value'] * 100:.1f} %")
        _rows(axes, len(systems))
        _percent(axes, [each for s in systems for each in (s["interval"]["low"], s["interval"]["high"])])
        told = "; ".join(f"{s['name']} {s['value'] * 100:.1f} %" for s in systems)
        return svg(figure, "intervals", "Scores with their intervals", told)


def non_inferiority(found: Mapping[str, Mapping[str, Any]], ceiling_measured: bool) -> Markup:
    """Each candidate's difference to the ceiling with its interval, in points, and the margin as a line."""
    with canvas(ROW * len(found), below=58) as (figure, axes):
        margin = -100 * next(iter(found.values()))["margin"]
        for row, (name, each) in enumerate(found.items()):
            low, high = each["interval"]["low"] * 100, each["interval"]["high"] * 100
            colour = SERIES[2] if each["passes"] else SERIES[3]
            filling = colour if each["passes"] else PAPER
            _interval(axes, row, each["difference"] * 100, low, high, "o", colour, filling)
            _name(axes, row, name, "passes" if each["passes"] else "not shown")
        _rows(axes, len(found))
        axes.axvline(0, color=INK, linewidth=1)
        axes.axvline(margin, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        lows = [each["interval"]["low"] * 100 for each in found.values()]
        highs = [each["interval"]["high"] * 100 for each in found.values()]
        room = (max(*highs, 0) - min(*lows, margin)) * 0.06
        axes.set_xlim(min(*lows, margin) - room, max(*highs, 0) + room)
        against = "the teacher, asked again" if ceiling_measured else "the teacher's log"
        axes.set_xlabel(f"points above or below {against}\ndashed: the margin, −{-margin:.1f} points")
        told = "; ".join(
            f"{name} {each['difference'] * 100:+.1f} points, {'passes' if each['passes'] else 'not shown'}"
            for name, each in found.items()
        )
        return svg(figure, "non-inferiority", f"Difference to {against}, and the margin", told)


def failures(counts: Mapping[str, Mapping[str, int]]) -> Markup:
    """Wrong answers of each system, stacked by failure class."""
    totals: dict[str, int] = {}
    for by_class in counts.values():
        for failure, count in by_class.items():
            totals[failure] = totals.get(failure, 0) + count
    often = sorted(totals, key=lambda failure: (-totals[failure], failure))
    shown, rest = (often, []) if len(often) <= len(SERIES) else (often[:_STACKED], often[_STACKED:])
    lines = -(-(len(shown) + bool(rest)) // 2)
    with canvas(ROW * len(counts), below=34 + 19 * lines) as (figure, axes):
        for row, (name, by_class) in enumerate(counts.items()):
            start = 0
            for number, failure in enumerate(shown):
                axes.barh(row, by_class.get(failure, 0), left=start, height=0.34, color=SERIES[number])
                start += by_class.get(failure, 0)
            axes.barh(row, sum(by_class.get(f, 0) for f in rest), left=start, height=0.34, color=SERIES[-1])
            _name(axes, row, name, f"{sum(by_class.values()):,} wrong")
        _rows(axes, len(counts))
        axes.set_xlim(0, max(sum(c.values()) for c in counts.values()) * 1.02 or 1)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        labels = [*shown, f"{len(rest)} other classes"] if rest else shown
        height = figure.get_figheight() * 72
        for number, label in enumerate(labels):
            x, y = 12 + 214 * (number % 2), 19 * (lines - number // 2) - 4
            figure.text((x + 18) / 440, y / height, _short(label, 30), va="center")
            figure.text(x / 440, y / height, "■", color=SERIES[number if label in shown else -1], va="center")
        told = "; ".join(f"{name} {sum(by_class.values())} wrong" for name, by_class in counts.items())
        return svg(figure, "failures", "Wrong answers by failure class", told)


def tools(entries: Sequence[Mapping[str, Any]], systems: Sequence[Mapping[str, Any]]) -> Markup:
    """The score of up to three systems per tool, the first one with its interval; small slices are grey."""
    shown = entries[:TOOLS_SHOWN]
    with canvas(ROW * len(shown), below=34 + 19 * len(systems)) as (figure, axes):
        for row, entry in enumerate(shown):
            grey = entry["small"]
            for system in reversed(systems):
                value = entry["values"].get(system["name"])
                if value is None:
                    continue
                marker, colour, filling = _STYLES[system["role"]]
                interval = entry["intervals"].get(system["name"]) if system is systems[0] else None
                low, high = (interval["low"], interval["high"]) if interval else (value, value)
                colours = (FAINT, PAPER if filling == PAPER else FAINT) if grey else (colour, filling)
                _interval(axes, row, value * 100, low * 100, high * 100, marker, *colours)
            note = f"{entry['records']:,} records" + (", few" if grey else "")
            _name(axes, row, entry["label"], note, FAINT if grey else INK)
        _rows(axes, len(shown))
        _percent(axes, [0.0, 1.0])
        height = figure.get_figheight() * 72
        for number, system in enumerate(systems):
            marker, colour, filling = _STYLES[system["role"]]
            y = 19 * (len(systems) - number) - 4
            sign = {"o": "○" if filling == PAPER else "●", "D": "◆"}[marker]
            figure.text(12 / 440, y / height, sign, color=colour, va="center")
            figure.text(30 / 440, y / height, _short(system["name"]), va="center")
        told = "; ".join(f"{e['label']} on {e['records']} records" for e in shown)
        return svg(figure, "tools", "Scores by tool", told)


def latency(speeds: Sequence[Speed], per_requests: int | None) -> Markup:
    """Latency against cost: a dot at p50 with a line up to p95; without prices, one row for each system."""
    priced = [(each, each.cost) for each in speeds if each.cost is not None]
    if not priced:
        return _latency_alone(speeds)
    with canvas(230, below=42, left=58) as (figure, axes):
        for number, (each, cost) in enumerate(priced):
            colour = SERIES[number % len(SERIES)]
            axes.plot([cost, cost], [each.p50, each.p95], color=colour, linewidth=2)
            axes.plot([cost], [each.p50], "o", color=colour, markersize=8)
            axes.plot([cost], [each.p95], "_", color=colour, markersize=10, markeredgewidth=2)
            axes.annotate(each.mark, (cost, each.p50), (7, -3), textcoords="offset points")
        axes.set_xlim(0, max(cost for _, cost in priced) * 1.1 or 1)
        axes.set_ylim(0, max(each.p95 for each, _ in priced) * 1.08 or 1)
        axes.grid(visible=True)
        axes.locator_params(axis="x", nbins=5)
        axes.set_ylabel("milliseconds, p50 to p95")
        axes.set_xlabel(f"cost of {per_requests:,} requests")
        told = "; ".join(f"{e.mark}: {e.p50:.0f} to {e.p95:.0f} ms, cost {cost:.4g}" for e, cost in priced)
        return svg(figure, "latency", "Latency against cost", told)


def _latency_alone(speeds: Sequence[Speed]) -> Markup:
    with canvas(22.0 * len(speeds), below=42, left=34) as (figure, axes):
        for row, each in enumerate(speeds):
            axes.plot([each.p50, each.p95], [row, row], color=SERIES[0], linewidth=2)
            axes.plot([each.p50], [row], "o", color=SERIES[0], markersize=8)
            axes.plot([each.p95], [row], "|", color=SERIES[0], markersize=10, markeredgewidth=2)
        axes.set_yticks(range(len(speeds)), [each.mark for each in speeds])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(speeds) - 0.4, -0.6)
        axes.set_xlim(0, max(each.p95 for each in speeds) * 1.05 or 1)
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("milliseconds: dot p50, bar p95")
        told = "; ".join(f"{each.mark}: {each.p50:.0f} to {each.p95:.0f} ms" for each in speeds)
        return svg(figure, "latency", "Latency", told)


def _interval(
    axes: Axes, row: int, value: float, low: float, high: float, marker: str, colour: str, filling: str
) -> None:
    if low != high:
        axes.plot([low, high], [row, row], color=colour, linewidth=2.4, solid_capstyle="butt", clip_on=False)
        axes.plot(
            [low, high], [row, row], "|", color=colour, markersize=8, markeredgewidth=1.6, clip_on=False
        )
    axes.plot(
        [value],
        [row],
        marker,
        markersize=8,
        markeredgecolor=colour,
        markerfacecolor=filling,
        markeredgewidth=2,
        clip_on=False,
    )


def _name(axes: Axes, row: int, name: str, note: str, colour: str = INK) -> None:
    """The row's name above it, from the left edge; a short note at the right edge."""
    across = axes.get_yaxis_transform()
    over = {
        "facecolor": PAPER,
        "edgecolor": "none",
        "pad": 1.0,
    }  # The lines of the grid do not cross the letters.
    axes.text(0, row - 0.2, _short(name), transform=across, va="bottom", color=colour, bbox=over)
    axes.text(1, row - 0.2, note, transform=across, va="bottom", ha="right", color=colour, bbox=over)


def _rows(axes: Axes, count: int) -> None:
    """Row 0 at the top, its name inside the axes."""
    axes.set_ylim(count - 0.6, -0.65)
    axes.set_yticks([])
    axes.grid(visible=True, axis="x")


def _percent(axes: Axes, shares: Sequence[float]) -> None:
    """The x axis in percent: from the ten below the lowest share to the ten above the highest."""
    low = max(0.0, min(shares) * 100 // 10 * 10)
    high = min(100.0, -(-max(shares) * 100 // 10) * 10)
    axes.set_xlim(low - 0.01 * (high - low), high + 0.01 * (high - low) or 1)
    axes.xaxis.set_major_formatter("{x:.0f} %")


def _short(name: str, longest: int = _LONGEST) -> str:
    """The name on one line, its middle left out where it is too long."""
    line = " ".join(name.split())
    half = (longest - 1) // 2
    return line if len(line) <= longest else f"{line[:half]}…{line[-half:]}"
