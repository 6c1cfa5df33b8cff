"""A matplotlib figure as an element of a page: small, accessible, the same every time, in the page's colours.

matplotlib knows no CSS, so figures are drawn in marked colours, which become the page's variables here; that
is how one drawing serves the light theme, the dark one and paper. Text stays text.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDTH: Final = 440.0
"""Points, of every figure: its letters are readable at 360 pixels, and not too large at 520."""
ROW: Final = 40.0
"""Points of a row that has its name above it."""

INK: Final = "#00000a"
FAINT: Final = "#00000b"
LINE: Final = "#00000c"
PAPER: Final = "#00000d"
SERIES: Final = tuple(f"#0000{0xA0 + number:02x}" for number in range(8))
"""Colours of Okabe and Ito, which the colour-blind can tell apart; `page.css` has both themes' variants."""

_VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)", LINE: "var(--line)", PAPER: "var(--paper)"} | {
    colour: f"var(--c{number})" for number, colour in enumerate(SERIES)
}
_MARKED = re.compile("|".join(_VARIABLES))
_FONT = re.compile(r"font:\s*([\d.]+)px [^;]*")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_XLINK = "{http://www.w3.org/1999/xlink}href"

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "flywheel",
    "text.parse_math": False,
    "font.size": 12.0,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "xtick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
}


@contextmanager
def canvas(height: float, *, below: float = 26.0, left: float = 12.0) -> Iterator[tuple[Figure, Axes]]:
    """A figure whose axes are `height` points high, with `below` points under them; no matplotlibrc counts.

    A glyph that the measuring font does not have is no trouble: the reader's browser draws the text.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        whole = height + below + 6
        figure = Figure(figsize=(WIDTH / 72, whole / 72), facecolor="none")
        FigureCanvasSVG(figure)
        axes = figure.add_axes((left / WIDTH, below / whole, (WIDTH - left - 16) / WIDTH, height / whole))
        yield figure, axes


def svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """The figure as `<svg>`; `name` keeps its ids apart from those of the page's other figures."""
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314 - drawn here, not read from anybody
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    _rename(root, name)
    for element in root.iter():
        element.tag = _local(element.tag)
        if "style" in element.attrib:
            element.set("style", _FONT.sub(r"font-size: \1px", _coloured(element.get("style", ""))))
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {
        "role": "img",
        "class": "plot",
        "aria-labelledby": f"{name}-title {name}-desc",
        "stroke-linejoin": "round",
    }
    for tag, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(tag, {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(0, element)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - serialised, so escaped


def _rename(root: ElementTree.Element, name: str) -> None:
    """Drop ids that nothing refers to; put the figure's name before the others."""
    used: set[str] = set()
    for element in root.iter():
        if _XLINK in element.attrib:
            used.add(element.get(_XLINK, "")[1:])
            element.set("href", f"#{name}-{element.attrib.pop(_XLINK)[1:]}")
        for key, value in element.attrib.items():
            used.update(_REFERENCE.findall(value))
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
    for element in root.iter():
        if (found := element.attrib.pop("id", None)) in used:
            element.set("id", f"{name}-{found}")


def _coloured(style: str) -> str:
    return _MARKED.sub(lambda found: _VARIABLES[found.group()], style)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
