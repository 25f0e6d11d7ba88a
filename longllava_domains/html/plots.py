"""Plots as SVG text: lines on a unit square, bars with intervals, columns, and a heat map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from longllava_domains.html.elements import Html, element

_SIDE: Final = 320
_MARGIN: Final = 48
_ROW: Final = 20
_LABEL: Final = 250
_HUES: Final = (210, 25, 140, 285, 50, 340, 175, 95, 255)


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes:
        name: What it shows.
        x: From 0 to 1.
        y: From 0 to 1, as many.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]


def line_plot(lines: Sequence[Line], title: str, x_label: str, y_label: str) -> Html:
    """Return lines on the unit square with its diagonal, such as ROC or calibration curves.

    Args:
        lines: At least one; the name of each appears when the pointer rests on it.
        title: What the plot shows, for readers who do not see it too.
        x_label: Name of the horizontal axis.
        y_label: Name of the vertical axis.
    """
    size = _SIDE + 2 * _MARGIN
    drawn = [_axes(x_label, y_label)]
    for index, line in enumerate(lines):
        points = " ".join(
            f"{_across(x):.1f},{_up(y):.1f}" for x, y in zip(line.x, line.y, strict=True)
        )
        hue = _HUES[index % len(_HUES)]
        drawn.append(
            element(
                "polyline", element("title", line.name), points=points, fill="none",
                stroke=f"hsl({hue} 70% 45%)", stroke_width="1.5",
            )
        )  # fmt: skip
    return _figure(title, size, size, drawn)


def bar_plot(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float] | None],
    title: str,
) -> Html:
    """Return horizontal bars from 0 to 1 with their intervals as whiskers.

    Args:
        names: One for each bar.
        values: From 0 to 1; what lies outside is drawn at the end.
        intervals: Low and high end, None where there is none.
        title: What the plot shows.
    """
    drawn = []
    for row, (name, value, interval) in enumerate(zip(names, values, intervals, strict=True)):
        top = row * _ROW
        width = _SIDE * min(max(value, 0.0), 1.0)
        drawn.append(element("text", name, x=_LABEL - 8, y=top + 14, text_anchor="end"))
        drawn.append(
            element(
                "rect", element("title", f"{name}: {value:.4f}"), x=_LABEL, y=top + 4,
                width=f"{width:.1f}", height=_ROW - 8, class_="bar",
            )
        )  # fmt: skip
        if interval is not None:
            low, high = (_LABEL + _SIDE * min(max(end, 0.0), 1.0) for end in interval)
            drawn.append(_segment(low, top + 10, high, top + 10, "whisker"))
        drawn.append(element("text", f"{value:.3f}", x=_LABEL + _SIDE + 8, y=top + 14))
    return _figure(title, _LABEL + _SIDE + 60, max(len(names), 1) * _ROW + 4, drawn)


def column_plot(
    names: Sequence[str], values: Sequence[float], told: Sequence[str], title: str
) -> Html:
    """Return upright columns, the highest one as high as the plot, such as a histogram.

    Args:
        names: One below each column; empty ones are left out.
        values: From 0.
        told: What appears when the pointer rests on a column.
        title: What the plot shows.
    """
    width = max(4.0, min(28.0, 2 * _SIDE / max(len(values), 1)))
    highest = max(values, default=0.0) or 1.0
    foot = _SIDE / 2
    drawn = [_segment(0, foot, width * len(values), foot, "axis")]
    for index, (name, value, text) in enumerate(zip(names, values, told, strict=True)):
        height, left = foot * value / highest, index * width
        drawn.append(
            element(
                "rect", element("title", text), x=f"{left + 1:.1f}", y=f"{foot - height:.1f}",
                width=f"{width - 2:.1f}", height=f"{height:.1f}", class_="bar",
            )
        )  # fmt: skip
        if name:
            drawn.append(element("text", name, x=f"{left + 1:.1f}", y=foot + 16))
    return _figure(title, width * len(values) + 60, foot + 24, drawn)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    title: str,
) -> Html:
    """Return a grid of cells from 0 (dark) to 1 (light); None leaves a cell empty.

    Args:
        rows: Names.
        columns: Names.
        values: A list for each row.
        title: What the plot shows.
    """
    cell, left = 28, 90
    drawn = [
        element("text", name, x=left + column * cell + cell / 2, y=14, text_anchor="middle")
        for column, name in enumerate(columns)
    ]
    for row, name in enumerate(rows):
        top = 20 + row * cell
        drawn.append(element("text", name, x=left - 8, y=top + 18, text_anchor="end"))
        for column, value in enumerate(values[row]):
            if value is None:
                continue
            where = f"{name}, {columns[column]}: {value:.3f}"
            drawn.append(
                element(
                    "rect", element("title", where), x=left + column * cell, y=top,
                    width=cell - 1, height=cell - 1, fill=f"hsl(210 60% {25 + 60 * value:.0f}%)",
                )
            )  # fmt: skip
    return _figure(title, left + len(columns) * cell + 10, 26 + len(rows) * cell, drawn)


def _axes(x_label: str, y_label: str) -> Html:
    end = _MARGIN + _SIDE
    middle = _MARGIN + _SIDE / 2
    parts = [
        element(
            "rect", x=_MARGIN, y=_MARGIN, width=_SIDE, height=_SIDE, fill="none", class_="axis"
        ),
        _segment(_MARGIN, end, end, _MARGIN, "guide"),
        element("text", x_label, x=middle, y=end + 34, text_anchor="middle"),
        element(
            "text",
            y_label,
            x=14,
            y=middle,
            text_anchor="middle",
            transform=f"rotate(-90 14 {middle})",
        ),
    ]
    for tick in (0.0, 0.5, 1.0):
        parts.append(
            element("text", f"{tick:g}", x=_across(tick), y=end + 16, text_anchor="middle")
        )
        parts.append(
            element("text", f"{tick:g}", x=_MARGIN - 6, y=_up(tick) + 4, text_anchor="end")
        )
    return element("g", *parts)


def _segment(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    ends = (f"{value:.1f}" for value in (x1, y1, x2, y2))
    return element("line", **dict(zip(("x1", "y1", "x2", "y2"), ends, strict=True)), class_=kind)


def _across(x: float) -> float:
    return _MARGIN + _SIDE * x


def _up(y: float) -> float:
    return _MARGIN + _SIDE * (1 - y)


def _figure(title: str, width: float, height: float, drawn: Sequence[Html]) -> Html:
    image = element(
        "svg", element("title", title), *drawn, viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}", height=f"{height:g}", role="img", xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip
    return element("figure", image, element("figcaption", title))
