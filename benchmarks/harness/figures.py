"""Draw the figures: bar charts of ratios, line charts of growth; SVG for documentation, PNG for everything else."""

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.harness.report import Bar, Curve, Report

OUR_COLOUR, OTHER_COLOUR, TEXT_COLOUR = "#1769aa", "#9aa5b1", "#1f2933"
LINE_COLOURS = ("#1769aa", "#c2571a", "#4c7a34", "#7a4c99", "#8a6d1d", "#53606c")


def draw(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Write each figure as SVG and PNG; returns the paths."""
    import matplotlib

    matplotlib.use("Agg")  # draws without a display
    matplotlib.rcParams.update({"svg.hashsalt": "amili_async", "font.size": 10, "text.color": TEXT_COLOUR})
    folder.mkdir(parents=True, exist_ok=True)
    bars = [bar for report in reports for bar in report.bars]
    curves = [curve for report in reports for curve in report.curves]
    written: list[Path] = []
    for name, group in groupby(bars, key=lambda bar: bar.figure):
        written += _save(_draw_bars(list(group)), name, folder)
    for name, lines in groupby(curves, key=lambda curve: curve.figure):
        written += _save(_draw_curves(name, list(lines)), name, folder)
    return written


def _draw_bars(bars: Sequence[Bar]) -> Any:
    from matplotlib import pyplot

    ordered = sorted(bars, key=lambda bar: bar.ratio, reverse=True)
    figure, axes = pyplot.subplots(figsize=(8, 0.42 * len(ordered) + 1.1))
    colours = [OUR_COLOUR if bar.label.startswith("amili_async") else OTHER_COLOUR for bar in ordered]
    drawn = axes.barh([bar.label for bar in ordered], [bar.ratio for bar in ordered], color=colours, height=0.62)
    axes.bar_label(drawn, labels=[f"{bar.ratio:.2g}x" for bar in ordered], padding=4)
    figure.suptitle("CPU to visit 100,000 records, as a multiple of amili_async", x=0.01, ha="left", fontsize=11)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_xticks([])
    axes.margins(x=0.1)
    return figure


def _draw_curves(name: str, curves: Sequence[Curve]) -> Any:
    from matplotlib import pyplot

    panels = [(panel, list(lines)) for panel, lines in groupby(curves, key=_panel_of)]
    figure, grid = pyplot.subplots(1, len(panels), figsize=(max(6.4, 4.2 * len(panels)), 3.4), squeeze=False)
    for axes, (panel, lines) in zip(grid[0], panels, strict=True):
        for line, colour in zip(lines, LINE_COLOURS, strict=False):
            xs, ys = zip(*line.points, strict=True)
            label = line.label.removeprefix(panel).lstrip(": ") or None
            style = {"linewidth": 2.4, "alpha": 0.9} if colour == OUR_COLOUR else {"linewidth": 1.4, "zorder": 3}
            axes.plot(xs, ys, color=colour, label=label, marker="o" if len(xs) < 10 else None, **style)
        axes.set_title(panel, fontsize=10, loc="left")
        axes.set_xlabel(_X_LABELS.get(name, ""))
        axes.spines[["top", "right"]].set_visible(False)
        # Two decades of pages give two decades of seconds; memory stays within a few MB.
        if name == "growth with pages" and panel.startswith("seconds"):
            axes.loglog()
        else:
            axes.set_xscale("log" if name == "growth with pages" else "linear")
            axes.ticklabel_format(axis="y", style="plain")
            axes.set_ylim(0, 1.1 * max(height for line in lines for _, height in line.points))
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=8)
    figure.suptitle(_TITLES.get(name, name), x=0.01, ha="left", fontsize=11)
    return figure


_TITLES = {
    "limiter": "Pages fetched over time: 1,000 pages at 100 requests per minute (virtual time)",
    "processes": "Answers over time: 4 processes with one key send 150 requests",
    "memory": "Memory during an export to Parquet",
    "growth with pages": "Cost of a stream by number of pages",
    "growth with streams at once": "Cost of 1,000 pages by number of concurrent streams",
}


_X_LABELS = {
    "limiter": "seconds",
    "processes": "seconds",
    "memory": "rows",
    "growth with pages": "pages",
    "growth with streams at once": "streams",
}


def _panel_of(curve: Curve) -> str:
    """The text before the first colon: curves that share it share a panel."""
    return curve.label.partition(": ")[0]


def _save(figure: Any, name: str, folder: Path) -> list[Path]:
    from matplotlib import pyplot

    figure.tight_layout()
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    paths = [folder / f"{stem}{suffix}" for suffix in (".svg", ".png")]
    for path in paths:
        # Without a date and with a fixed hash salt, equal data gives an equal SVG, so that diffs show real changes.
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
    return paths
