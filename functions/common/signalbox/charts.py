"""The charts of the report: static SVG by Matplotlib, coloured by the page's CSS variables."""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from signalbox.report_data import BINS, Curve, Distribution
from signalbox.wording import dollars

# Matplotlib draws in these colours, which stand for what the style sheet defines for light, dark and print.
_COLOURS = {
    "#010203": "var(--ink)",
    "#010204": "var(--muted)",
    "#010205": "var(--line)",
    "#010206": "var(--accent)",
    "#010207": "var(--second)",
    "#010208": "var(--paper)",
}
_INK, _MUTED, _LINE, _ACCENT, _SECOND, _PAPER = _COLOURS
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_LEFT_OUT = {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}
_MARKERS = {"embedded": "D", "bedrock": "o", "base": "s", "baseline": "^", "live": "P"}
# The page sets the type; a hundredth of a pixel is not seen; between elements stands nothing.
_SHORTER = ((r" ?font-family: [^;\"]*;", ""), (r"(\d\.\d\d)\d+", r"\1"), (r">\s+<", "><"))
_SMALLEST, _LARGEST = 45.0, 420.0
"""Areas of the marks in square points, from the cheapest candidate to the dearest."""
# Where a name may stand beside its mark, in points, the best place first: the offset and what it is aligned to.
_PLACES = (
    (0, 1, "center", "bottom"),
    (0, -1, "center", "top"),
    (1, 0, "left", "center"),
    (-1, 0, "right", "center"),
    (0.7, 1, "left", "bottom"),
    (-0.7, 1, "right", "bottom"),
    (0.7, -1, "left", "top"),
    (-0.7, -1, "right", "top"),
    (1, 2.5, "left", "bottom"),
    (1, -2.5, "left", "top"),
    (-1, 2.5, "right", "bottom"),
    (-1, -2.5, "right", "top"),
    (-1, 4.5, "right", "bottom"),
    (1, 4.5, "left", "bottom"),
)


@dataclass(frozen=True)
class Mark:
    """One candidate in the picture of quality, latency and cost.

    Attributes
    ----------
    latency : tuple[float, float, float]
        In milliseconds: where it stands, and the ends of its bar (p50 and p95).
    quality : tuple[float, float, float]
        Likewise, with the ends of its 95 % interval.
    cost : float | None
        US dollars for a million queries, None if it is not known.
    """

    candidate: str
    title: str
    latency: tuple[float, float, float]
    quality: tuple[float, float, float]
    cost: float | None
    first: bool


def quality(
    marks: Sequence[Mark], measure: str, lower_is_better: bool, title: str, description: str
) -> Markup:
    """Draw quality against latency (logarithmic), with intervals; the area of a mark grows with its cost."""
    from matplotlib.ticker import LogLocator

    figure, axes = _figure(460, 340, left=56, bottom=48)
    costs = [mark.cost for mark in marks if mark.cost is not None]
    axes.set_xscale("log")
    for mark in marks:
        colour = _ACCENT if mark.first else _INK
        (x, x_low, x_high), (y, y_low, y_high) = mark.latency, mark.quality
        axes.errorbar(
            x,
            y,
            xerr=[[max(0.0, x - x_low)], [max(0.0, x_high - x)]],
            yerr=[[max(0.0, y - y_low)], [max(0.0, y_high - y)]],
            fmt="none",
            ecolor=_MUTED,
            elinewidth=1,
            capsize=2.5,
        )
        axes.scatter(
            x,
            y,
            s=_area(mark.cost, costs),
            marker=_MARKERS.get(mark.candidate, "o"),
            facecolor=colour if mark.cost is not None else _PAPER,
            edgecolor=colour,
            linewidth=1.5,
            zorder=3,
            clip_on=False,
        )
    axes.margins(0.14, 0.16)
    bottom, top = axes.get_ylim()
    room = 0.05 * (top - bottom)
    axes.set_ylim(max(-room, bottom), top if lower_is_better else min(1 + room, top))
    left, right = axes.get_xlim()
    if right < 100 * left:  # so few powers of ten would say little
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.set_xlabel("median latency, milliseconds, logarithmic; bar to p95")
    axes.set_ylabel(f"{measure} ({'lower' if lower_is_better else 'higher'} is better)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.12g}")
    axes.xaxis.set_minor_formatter("")
    axes.grid(True, which="major", color=_LINE, linewidth=0.8)
    _name_marks(figure, axes, marks, [_area(mark.cost, costs) for mark in marks])
    return _svg(figure, "quality", title, description)


def _area(cost: float | None, costs: Sequence[float]) -> float:
    if cost is None or len(costs) < 2 or not max(costs):
        return 2 * _SMALLEST
    return _SMALLEST + (_LARGEST - _SMALLEST) * cost / max(costs)


def _name_marks(figure: Any, axes: Any, marks: Sequence[Mark], areas: Sequence[float]) -> None:
    """Write each candidate's name and cost beside its mark, where no other name or mark stands if there is room."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    places = [axes.transData.transform((mark.latency[0], mark.quality[0])) for mark in marks]
    scale = figure.dpi / 72
    radii = [math.sqrt(area / math.pi) * scale for area in areas]
    taken = [Bbox.from_extents(x - r, y - r, x + r, y + r) for (x, y), r in zip(places, radii, strict=True)]
    for mark, (x, y) in zip(marks, places, strict=True):
        left, low = axes.transData.transform((mark.latency[1], mark.quality[1]))
        right, high = axes.transData.transform((mark.latency[2], mark.quality[2]))
        taken += [Bbox.from_extents(left, y - 2, right, y + 2), Bbox.from_extents(x - 2, low, x + 2, high)]
    frame = axes.get_window_extent()
    for mark, radius in zip(marks, radii, strict=True):
        cost = "not priced" if mark.cost is None else f"{dollars(mark.cost)} a million"
        name = axes.annotate(
            f"{mark.title}\n{cost}",
            (mark.latency[0], mark.quality[0]),
            xytext=(0, 0),
            textcoords="offset points",
            color=_ACCENT if mark.first else _INK,
            fontsize=9,
            linespacing=1.25,
            fontweight="bold" if mark.first else "normal",
        )
        best, least = None, math.inf
        for dx, dy, horizontal, vertical in _PLACES:
            name.set(ha=horizontal, va=vertical)
            name.set_position((dx * (radius / scale + 5), dy * (radius / scale + 5)))
            box = name.get_window_extent()
            outside = box.width * box.height - _overlap(box, frame)
            crowded = sum(_overlap(box, other) for other in taken) + 10 * outside
            if crowded < least - 1:
                best, least = (dx, dy, horizontal, vertical, box), crowded
        assert best is not None
        dx, dy, horizontal, vertical, box = best
        name.set(ha=horizontal, va=vertical)
        name.set_position((dx * (radius / scale + 5), dy * (radius / scale + 5)))
        taken.append(box.padded(4 * scale))


def _overlap(one: Any, other: Any) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, width) * max(0.0, height)


def distribution(of: Distribution, number: int, most: int, title: str, description: str) -> Markup:
    """Draw how the weights of one signal are distributed; `most` is the height that all signals share."""
    figure, axes = _figure(230, 150, left=40, bottom=26)
    axes.bar([step / (BINS - 1) for step in range(BINS)], of.counts, width=0.038, color=_ACCENT)
    axes.axvline(of.mean, color=_INK, linewidth=1.2, linestyle=(0, (3, 2)))
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(0, most * 1.08)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.yaxis.set_major_locator(_few_whole_numbers())
    axes.grid(True, axis="y", color=_LINE, linewidth=0.8)
    return _svg(figure, f"distribution-{number}", title, description)


def losses(curve: Curve, number: int, description: str) -> Markup:
    """Draw a training's losses, or rewards, the validation's dashed and with marks."""
    figure, axes = _figure(460, 250, left=56, bottom=44)
    for points, name, style in (
        (curve.training, "training", {"color": _ACCENT, "linewidth": 1.8}),
        (curve.validation, "validation", {"color": _SECOND, "linewidth": 1.8, "linestyle": (0, (4, 2))}),
    ):
        if not points:
            continue
        steps, values = zip(*points, strict=True)
        few = {"marker": "o", "markersize": 4} if len(points) < 12 else {}
        axes.plot(steps, values, label=name, **style, **few)
    axes.set_xlabel("step")
    axes.set_ylabel(f"{curve.measure} ({'lower' if curve.measure == 'loss' else 'higher'} is better)")
    axes.xaxis.set_major_locator(_few_whole_numbers())
    axes.grid(True, axis="y", color=_LINE, linewidth=0.8)
    axes.legend(frameon=False, labelcolor=_INK, fontsize=9, loc="best")
    title = f"{curve.measure.capitalize()} of the {curve.title.lower()} by step"
    return _svg(figure, f"loss-{number}", title, description)


def _few_whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, integer=True)


@cache
def _style() -> dict[str, Any]:
    return {
        "svg.fonttype": "none",  # text stays text: it is read aloud, searched, and set in the page's own type
        "text.parse_math": False,
        "font.size": 9,
        "axes.edgecolor": _MUTED,
        "axes.labelcolor": _MUTED,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "xtick.color": _MUTED,
        "ytick.color": _MUTED,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "xtick.minor.size": 2,
        "text.color": _INK,
    }


def _figure(width: int, height: int, left: int, bottom: int) -> tuple[Any, Any]:
    """Return a figure with one pair of axes in the report's style; sizes and margins in CSS pixels."""
    # Matplotlib comes with `promote` alone, while every function has this package; and it takes a while to import.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(_style()):
        figure = Figure(figsize=(width / 96, height / 96))
        FigureCanvasSVG(figure)
        figure.subplots_adjust(
            left=left / width, right=1 - 10 / width, bottom=bottom / height, top=1 - 10 / height
        )
        return figure, figure.add_subplot()


def _svg(figure: Any, name: str, title: str, description: str) -> Markup:
    """Write a figure as an element of the page: title and description first, no ids but those it refers to."""
    from matplotlib import rc_context

    written = io.StringIO()
    with rc_context(_style() | {"svg.hashsalt": name}):
        empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=empty)
    text = written.getvalue()
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    # The text is Matplotlib's own, not foreign XML: there is nothing in it to defend against.
    root = ElementTree.fromstring(text[text.index("<svg") :])
    referred = set(re.findall(r"#(\w+)[\")]", text))
    for parent in root.iter():
        for child in [child for child in parent if child.tag in _LEFT_OUT]:
            parent.remove(child)
        if parent.get("id") not in referred:
            parent.attrib.pop("id", None)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"role": "img", "class": "chart", "aria-labelledby": f"{name}-title {name}-description"}
    for place, (tag, content) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(
            f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag.replace('desc', 'description')}"}
        )
        element.text = content
        root.insert(place, element)
    drawn = ElementTree.tostring(root, encoding="unicode")
    for placeholder, variable in _COLOURS.items():
        drawn = drawn.replace(placeholder, variable)
    for pattern, shorter in _SHORTER:
        drawn = re.sub(pattern, shorter, drawn)
    return Markup(drawn)
