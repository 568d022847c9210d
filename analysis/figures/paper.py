"""Figures for a paper: PNG, SVG and PDF at the width of a journal's column, text as text."""

from __future__ import annotations

import io
import re
from typing import Any, Literal

import numpy as np

from analysis.figures import colours
from analysis.figures.spec import Axis, Band, Bars, Figure, Image, Layer, Line, Panel, Points, Rule, Spans

COLUMN_MM = {"half": 85.0, "full": 180.0}
FORMATS = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}

_DASHES = {"solid": "-", "dashed": (0, (4, 2)), "dotted": (0, (1, 1.5))}
# The page gives widths in CSS px; a paper's lines are finer.
_POINTS_PER_PX = 0.6
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "DejaVu Sans"],
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.borderaxespad": 0.2,
    "svg.hashsalt": "labsite",
}


def render(figure: Figure, file_format: Literal["png", "svg", "pdf"], *, dpi: int = 300) -> bytes:
    """Draw a figure and return the bytes of the file; ``ValueError`` for another format."""
    if file_format not in FORMATS:
        raise ValueError(f"Figures come as {', '.join(FORMATS)}, not as {file_format!r}.")
    import logging

    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    # Which of the three sans-serif fonts a server has is no news.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    width = COLUMN_MM[figure.span] / 25.4
    with mpl.rc_context(_STYLE):
        drawing = Drawing(figsize=(width, width * figure.aspect), layout="constrained")
        FigureCanvasAgg(drawing)
        axes = drawing.subplots(
            len(figure.panels),
            1,
            squeeze=False,
            sharex=figure.shared,
            height_ratios=[panel.weight for panel in figure.panels],
        )[:, 0]
        for number, (panel, ax) in enumerate(zip(figure.panels, axes, strict=True)):
            _draw(drawing, ax, panel, last=not figure.shared or number == len(figure.panels) - 1)
        out = io.BytesIO()
        # No date: the same result gives the same bytes.
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(file_format)
        drawing.savefig(out, format=file_format, dpi=dpi, metadata=metadata)
    return _numbered(out.getvalue(), figure.name) if file_format == "svg" else out.getvalue()


def _numbered(svg: bytes, name: str) -> bytes:
    """Name the clip paths of a drawing by the figure and their order.

    Matplotlib names them by the last bits of the layout, which differ from run to run; and several drawings in one page
    must not share names.
    """
    found = re.findall(rb'<clipPath id="([^"]+)">', svg)
    names = {old: f"{name}-clip-{number}".encode() for number, old in enumerate(found, start=1)}
    return re.sub(rb'(<clipPath id="|"url\(#)([^")]+)', lambda match: match[1] + names.get(match[2], match[2]), svg)


def _draw(drawing, ax, panel: Panel, *, last: bool) -> None:  # noqa: ANN001 - Matplotlib objects
    for layer in panel.layers:
        _layer(drawing, ax, layer, panel)
    if panel.title:
        ax.set_title(panel.title)
    if last:
        ax.set_xlabel(panel.x.title)
    ax.set_ylabel(panel.y.title)
    _limits(ax, panel.x, "x")
    _limits(ax, panel.y, "y")
    if panel.equal:
        ax.set_aspect("equal")
    if all(isinstance(layer, Spans) for layer in panel.layers):
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    if panel.legend and ax.get_legend_handles_labels()[1]:
        # Above the axes: a legend inside would cover data somewhere.
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, columnspacing=1.0)


def _limits(ax, axis: Axis, name: str) -> None:  # noqa: ANN001
    if axis.log:
        getattr(ax, f"set_{name}scale")("log")
    low, high = axis.low, axis.high
    if low is not None or high is not None:
        getattr(ax, f"set_{name}lim")(low, high)
    if axis.names:
        getattr(ax, f"set_{name}ticks")(range(1, len(axis.names) + 1), axis.names)
    elif axis.whole:
        from matplotlib.ticker import MaxNLocator

        getattr(ax, f"{name}axis").set_major_locator(MaxNLocator(integer=True))
    if axis.flipped:
        getattr(ax, f"invert_{name}axis")()


def _layer(drawing, ax, layer: Layer, panel: Panel) -> None:  # noqa: ANN001
    label = getattr(layer, "label", "") or None
    colour = colours.ROLES["light"].get(getattr(layer, "role", ""), "")
    match layer:
        case Line():
            style = "steps-mid" if layer.steps else "default"
            ax.plot(
                layer.x, layer.y, color=colour, lw=layer.width * _POINTS_PER_PX, ls=_DASHES[layer.dash], label=label,
                drawstyle=style, solid_joinstyle="round",
            )  # fmt: skip
        case Points():
            ax.scatter(
                layer.x, layer.y, s=(layer.size * _POINTS_PER_PX) ** 2, color=colour, lw=0, label=label, zorder=3
            )
        case Bars():
            ax.stairs(layer.heights, layer.edges, fill=True, color=colour, label=label)
            ax.margins(x=0)
        case Image():
            _image(drawing, ax, layer, panel)
        case Rule():
            line = ax.axvline if layer.axis == "x" else ax.axhline
            line(layer.at, color=colour, lw=layer.width * _POINTS_PER_PX, ls=_DASHES[layer.dash], label=label)
        case Band():
            ax.fill_between(layer.x, layer.low, layer.high, color=colour, alpha=0.5, lw=0, label=label)
        case Spans():
            behind = {"alpha": 0.45, "lw": 0, "zorder": 0} if layer.role == "chance" else {"lw": 0.3}
            for number, (start, stop) in enumerate(zip(layer.starts, layer.stops, strict=True)):
                ax.axvspan(start, stop, color=colour, label=label if number == 0 else None, **behind)


def _image(drawing, ax, layer: Image, panel: Panel) -> None:  # noqa: ANN001
    from matplotlib.colors import ListedColormap

    low, high = layer.limits()
    drawn = ax.imshow(
        np.asarray(layer.values, float),
        extent=(layer.x0, layer.x1, layer.y0, layer.y1),
        origin="lower",
        aspect="equal" if panel.equal else "auto",
        interpolation="nearest",
        cmap=ListedColormap(colours.palette(layer.palette, "light")),
        vmin=low,
        vmax=high,
    )
    if layer.label:
        # Inside the panel's own coordinates, so that it is as high as the picture also when the scales are equal.
        bar = drawing.colorbar(drawn, cax=ax.inset_axes((1.025, 0.0, 0.025, 1.0)))
        bar.outline.set_linewidth(0.4)
        bar.set_label(layer.label)
