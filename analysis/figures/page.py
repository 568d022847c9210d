"""Figures in the page: a Bokeh document as JSON, for ``Bokeh.embed.embed_item`` under a strict content policy.

No script is made here: the page loads Bokeh's own files and hands them this JSON. Bokeh puts ``<style>`` elements
into its shadow roots, so a policy without ``unsafe-inline`` needs a style nonce that the page's script gives to the
style elements it sees created before Bokeh is loaded. Swiping over a figure scrolls the page; the toolbar turns on
panning and zooming.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from analysis.figures import colours
from analysis.figures.colours import Theme
from analysis.figures.spec import Axis, Band, Bars, Figure, Image, Layer, Line, Panel, Points, Rule, Spans

_NOWHERE = np.full(2, np.nan)
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
# Radians: words beside each other would run into one another on a phone; so would long ones on a slant.
_SLANT, _UPRIGHT = 0.5, np.pi / 2
_LONGEST_FLAT, _LONGEST_SLANTED = 3, 12
# Height in px of a character of a name that stands upright: the drawing must not pay for it.
_CHARACTER = 6
# Height of the drawing in px: the page stretches it to the width of its card.
_HEIGHT = {"full": 360, "half": 340}
_LEAST_HEIGHT = 240
_MARGIN = 64
# From least to most; wider axes are numbered by powers of ten.
_FEW_DECADES = 300.0
# Within it, 1, 2 and 5 of a decade may be a single number.
_ONE_DECADE = 8.0
# In px; the numbers of more than two ticks would stand upon each other in a lower panel.
_FEW_TICKS_BELOW = 140
# Characters of a legend's label of which two fit beside each other on a phone.
_LONGEST_ABREAST = 20


def json_item(figure: Figure, *, theme: Theme = "light", target: str | None = None) -> dict[str, Any]:
    """Return the figure as JSON for ``Bokeh.embed.embed_item(item, element)``; ``ValueError`` for an unknown theme."""
    if theme not in colours.ROLES:
        raise ValueError(f"Figures are drawn light or dark, not {theme!r}.")
    from bokeh.core.types import ID
    from bokeh.embed import json_item as bokeh_item
    from bokeh.layouts import column

    total = sum(panel.weight for panel in figure.panels)
    height = _HEIGHT[figure.span] * max(1.0, figure.aspect / (0.32 if figure.span == "full" else 0.8))
    plots, shared = [], None
    for number, panel in enumerate(figure.panels):
        last = not figure.shared or number == len(figure.panels) - 1
        share = round(height * panel.weight / total) + (40 if last and len(figure.panels) > 1 else 0)
        plot = _plot(panel, theme, max(90, share), shared if figure.shared else None, last=last)
        if panel.equal and len(figure.panels) == 1:
            # A height of its own would leave a narrow map lost in a tall panel: it grows with the width instead.
            plot.update(sizing_mode="scale_width", aspect_ratio=1 / figure.aspect, min_height=_LEAST_HEIGHT)
        shared = shared or plot.x_range
        plots.append(plot)
    root = plots[0] if len(plots) == 1 else column(*plots, sizing_mode="stretch_width", spacing=4)
    root.name = figure.name
    return dict(bokeh_item(root, ID(target) if target else None))


def _plot(panel: Panel, theme: Theme, height: int, shared, *, last: bool):  # noqa: ANN001, ANN202 - Bokeh objects
    from bokeh.models import (
        BasicTicker,
        BasicTickFormatter,
        BoxZoomTool,
        FixedTicker,
        PanTool,
        ResetTool,
        SaveTool,
        WheelZoomTool,
    )
    from bokeh.plotting import figure as bokeh_figure

    pan, zoom, wheel = PanTool(), BoxZoomTool(), WheelZoomTool()
    options: dict[str, Any] = {
        "x_axis_type": "log" if panel.x.log else "linear",
        "y_axis_type": "log" if panel.y.log else "linear",
        "x_axis_label": panel.x.title if last else None,
        "y_axis_label": panel.y.title,
        "title": panel.title or None,
        "tools": [pan, zoom, wheel, ResetTool(), SaveTool()],
        # None of the gestures is on at first: on a phone a swipe scrolls the page.
        "active_drag": None,
        "active_scroll": None,
        "toolbar_location": "above",
        # Over the drawing and only while it is pointed at: above it, its row would stay empty.
        "toolbar_inner": True,
        "sizing_mode": "stretch_width",
        "height": height,
        "min_width": 200,
        "match_aspect": panel.equal,
    }
    if panel.equal:
        # Widened to keep its shape, an axis gets a minus and more digits, after its margin was measured.
        options["min_border_left"] = _MARGIN
    if last and panel.x.names and _orientation(panel.x) == _UPRIGHT:
        options["height"] += _CHARACTER * max(len(name) for name in panel.x.names)
    if shared is not None:
        options["x_range"] = shared
    plot = bokeh_figure(**options)
    for layer in panel.layers:
        _layer(plot, layer, panel, theme)
    for axis, ticked in ((panel.x, plot.xaxis), (panel.y, plot.yaxis)):
        if axis.names:
            ticked.ticker = FixedTicker(ticks=list(range(1, len(axis.names) + 1)))
            ticked.major_label_overrides = dict(enumerate(axis.names, start=1))
            ticked.major_label_orientation = _orientation(axis) if axis is panel.x else 0.0
        elif axis.whole:
            ticked.ticker = BasicTicker(min_interval=1)
        elif axis is panel.x and not axis.log:
            # One less than usual: thousands of seconds beside each other would run into one another on a phone.
            ticked.ticker = BasicTicker(desired_num_ticks=5)
        elif axis.log and (ticks := _log_ticks(panel, "x" if axis is panel.x else "y")):
            ticked.ticker = FixedTicker(ticks=ticks)
            # That of logarithmic axes would round what is no power of ten to one.
            ticked.formatter = BasicTickFormatter()
    if options["height"] < _FEW_TICKS_BELOW and not panel.y.names and not panel.y.log:
        plot.yaxis.ticker = BasicTicker(desired_num_ticks=2, min_interval=1 if panel.y.whole else 0)
    # Panels that share their x axis take its range from the panel that states it.
    _limits(plot.x_range, panel.x, equal=panel.equal)
    _limits(plot.y_range, panel.y, equal=panel.equal)
    _dress(plot, panel, theme)
    if not last:
        plot.xaxis.major_label_text_font_size = "0px"
    return plot


def _log_ticks(panel: Panel, axis: Literal["x", "y"]) -> list[float]:
    """Return round numbers to stand on a logarithmic axis whose lines and points span few decades; else nothing.

    1, 2 and 5 of each decade, or about four equal steps where even that would leave one or none. Bokeh would number
    such an axis in many equal steps, which on this scale stand upon each other.
    """
    drawn = [np.asarray(getattr(layer, axis), float) for layer in panel.layers if isinstance(layer, Line | Points)]
    values = np.concatenate([each.ravel() for each in drawn]) if drawn else np.empty(0)
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size or values.max() > _FEW_DECADES * values.min():
        return []
    low, high = float(values.min()), float(values.max())
    if high < _ONE_DECADE * low:
        rough = max((high - low) / 4, 1e-3 * high)
        power = 10.0 ** np.floor(np.log10(rough))
        step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough * (1 - 1e-9))
        return [float(f"{each:.6g}") for each in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    return [float(f"{mantissa}e{decade:.0f}") for decade in decades for mantissa in (1, 2, 5)]


def _orientation(axis: Axis) -> float:
    longest = max(len(name) for name in axis.names)
    if longest <= _LONGEST_FLAT:
        return 0.0
    return _SLANT if longest <= _LONGEST_SLANTED else _UPRIGHT


def _limits(span, axis: Axis, *, equal: bool) -> None:  # noqa: ANN001
    if equal:
        # Bokeh keeps both axes on one scale only while it chooses the ranges itself.
        span.flipped = axis.flipped
        span.range_padding = 0.0
        return
    if axis.low is not None:
        span.start = axis.low
    if axis.high is not None:
        span.end = axis.high
    if axis.flipped:
        if axis.low is not None and axis.high is not None:
            span.start, span.end = axis.high, axis.low
        else:
            span.flipped = True


def _dress(plot, panel: Panel, theme: Theme) -> None:  # noqa: ANN001
    from bokeh.models import BasicTickFormatter

    ground = colours.GROUND[theme]
    plot.background_fill_color = ground["surface"]
    plot.border_fill_color = ground["surface"]
    plot.outline_line_color = None
    plot.toolbar.autohide = True
    plot.toolbar.logo = None
    for axis in plot.axis:
        axis.axis_label_text_font = _FONT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "13px"
        axis.axis_label_text_color = ground["soft"]
        axis.major_label_text_font = _FONT
        axis.major_label_text_font_size = "12px"
        axis.major_label_text_color = ground["soft"]
        axis.axis_line_color = ground["soft"]
        axis.major_tick_line_color = ground["soft"]
        axis.minor_tick_line_color = None
        if isinstance(axis.formatter, BasicTickFormatter):
            axis.formatter.power_limit_high = 7
    plot.grid.grid_line_color = ground["grid"]
    if any(isinstance(layer, Image) for layer in panel.layers):
        plot.grid.visible = False
    if all(isinstance(layer, Spans) for layer in panel.layers):
        plot.yaxis.major_label_text_font_size = "0px"
        plot.yaxis.major_tick_line_color = None
        plot.ygrid.visible = False
    if plot.title is not None:
        plot.title.text_font = _FONT
        plot.title.text_font_size = "13px"
        plot.title.text_color = ground["text"]
    if plot.legend:
        legend = plot.legend[0]
        legend.visible = panel.legend
        legend.orientation = "horizontal"
        # Two columns of short labels fit a phone; more, or longer ones, would be cut off.
        longest = max(len(item.label.value) for item in legend.items)
        legend.ncols = 1 if longest > _LONGEST_ABREAST else min(2, len(legend.items))
        legend.label_text_font = _FONT
        legend.label_text_font_size = "12px"
        legend.label_text_color = ground["text"]
        legend.background_fill_alpha = 0
        legend.border_line_color = None
        legend.padding = 2
        legend.click_policy = "hide"
        # Above the axes: a legend inside would cover data somewhere.
        plot.add_layout(legend, "above")


def _layer(plot, layer: Layer, panel: Panel, theme: Theme) -> None:  # noqa: ANN001
    from bokeh.models.annotations import BoxAnnotation, Span

    colour = colours.ROLES[theme].get(getattr(layer, "role", ""), "")
    named = {"legend_label": layer.label} if getattr(layer, "label", "") and not isinstance(layer, Image) else {}
    match layer:
        case Line():
            glyph = plot.step if layer.steps else plot.line
            mode = {"mode": "center"} if layer.steps else {}
            dash = {"line_dash": layer.dash}
            line = glyph(
                _list(layer.x), _list(layer.y), line_color=colour, line_width=layer.width, **dash, **mode, **named
            )
            _hover(plot, line, panel)
        case Points():
            dots = plot.scatter(_list(layer.x), _list(layer.y), size=layer.size, color=colour, line_color=None, **named)
            _hover(plot, dots, panel)
        case Bars():
            plot.quad(
                left=_list(layer.edges[:-1]), right=_list(layer.edges[1:]), top=_list(layer.heights), bottom=0,
                fill_color=colour, line_color=None, **named,
            )  # fmt: skip
        case Image():
            _image(plot, layer, theme)
        case Rule():
            if named:
                # A Span has no place in a legend; an empty line of the same look speaks for it.
                plot.line(_NOWHERE, _NOWHERE, line_color=colour, line_width=layer.width, line_dash=layer.dash, **named)
            dimension: Literal["height", "width"] = "height" if layer.axis == "x" else "width"
            rule = Span(
                location=layer.at, dimension=dimension, line_color=colour, line_width=layer.width, line_dash=layer.dash
            )
            plot.add_layout(rule)
        case Band():
            plot.varea(_list(layer.x), _list(layer.low), _list(layer.high), fill_color=colour, fill_alpha=0.5, **named)
        case Spans():
            # A strip is all there is in its panel; a band behind a line must let the grid through.
            alpha = 0.45 if layer.role == "chance" else 0.9
            if named:
                edges = dict.fromkeys(("left", "right", "top", "bottom"), _NOWHERE)
                plot.quad(**edges, fill_color=colour, fill_alpha=alpha, line_color=None, **named)
            for start, stop in zip(layer.starts, layer.stops, strict=True):
                box = BoxAnnotation(left=float(start), right=float(stop), fill_color=colour, fill_alpha=alpha)
                box.line_color = None if layer.role == "chance" else colour
                box.level = "underlay"
                plot.add_layout(box)


def _image(plot, layer: Image, theme: Theme) -> None:  # noqa: ANN001
    from bokeh.models import LinearColorMapper
    from bokeh.models.annotations import ColorBar, Title

    low, high = layer.limits()
    # What a map does not know is shaded; what a mask or a picture leaves open is open.
    shade = "rgba(0,0,0,0)" if layer.palette in ("grey", "unknown") else "rgba(128,128,128,0.25)"
    mapper = LinearColorMapper(palette=colours.palette(layer.palette, theme), low=low, high=high, nan_color=shade)
    values = layer.values if layer.values.dtype == np.uint8 else np.asarray(layer.values, np.float32)
    plot.image(
        image=[np.ascontiguousarray(values)],
        x=layer.x0,
        y=layer.y0,
        dw=layer.x1 - layer.x0,
        dh=layer.y1 - layer.y0,
        color_mapper=mapper,
        level="image",
    )
    plot.x_range.range_padding = plot.y_range.range_padding = 0
    if layer.label:
        ground = colours.GROUND[theme]
        bar = ColorBar(
            color_mapper=mapper,
            major_label_text_font=_FONT,
            major_label_text_color=ground["soft"],
            background_fill_color=ground["surface"],
            width=8,
            padding=4,
        )
        plot.add_layout(bar, "right")
        # Beside its numbers, in the middle: the bar's own title stands between the map and the bar.
        title = Title(
            text=layer.label, align="center", text_font=_FONT, text_font_size="12px", text_font_style="normal"
        )
        title.text_color = ground["soft"]
        plot.add_layout(title, "right")


def _hover(plot, glyph, panel: Panel) -> None:  # noqa: ANN001
    from bokeh.models import HoverTool

    tips = [(panel.x.label, f"@x{{0.[000]}} {panel.x.unit}"), (panel.y.label, f"@y{{0.[000]}} {panel.y.unit}")]
    plot.add_tools(HoverTool(renderers=[glyph], tooltips=tips, mode="mouse", visible=False))


def _list(values: np.ndarray) -> np.ndarray:
    # float32 arrays travel as base64: half of what digits would need.
    return np.asarray(values, np.float32)
