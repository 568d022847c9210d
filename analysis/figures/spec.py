"""What a figure is, before anything draws it: panels with axes and layers of plain arrays.

A figure names roles, not colours: the page and the paper choose colours that can be told apart by everybody on their
own ground. It goes to JSON and back without loss, so a result keeps the JSON and is drawn whenever somebody asks.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

# At most so many points of one trace are kept; more cannot be seen and make a phone slow.
MOST_POINTS = 4000

Role = Literal["data", "truth", "real", "chance", "reference", "second", "lost", "muted"]
Palette = Literal["density", "power", "grey", "unknown"]
Dash = Literal["solid", "dashed", "dotted"]


@dataclass(frozen=True)
class Axis:
    """A labelled axis; ``unit`` is put in brackets after the label. ``low`` and ``high`` fix its range when given.

    ``whole`` puts ticks at whole numbers only; ``flipped`` lets values grow downwards or leftwards.
    ``names`` stand at 1, 2, ... instead of the numbers.
    """

    label: str
    unit: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None
    flipped: bool = False
    whole: bool = False
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return the label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True)
class Line:
    """A line through ``x``, ``y`` ``(n,)``; NaN breaks it.

    Reduce long traces with ``reduce_trace`` or ``every`` before.
    """

    kind: ClassVar[str] = "line"
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    role: Role = "data"
    label: str = ""
    width: float = 1.5
    dash: Dash = "solid"
    steps: bool = False


@dataclass(frozen=True)
class Points:
    """Dots at ``x``, ``y`` ``(n,)``."""

    kind: ClassVar[str] = "points"
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    role: Role = "data"
    label: str = ""
    size: float = 6.0


@dataclass(frozen=True)
class Bars:
    """A histogram: ``heights`` ``(n,)`` between ``edges`` ``(n + 1,)``."""

    kind: ClassVar[str] = "bars"
    edges: NDArray[np.floating]
    heights: NDArray[np.floating]
    role: Role = "data"
    label: str = ""


@dataclass(frozen=True)
class Image:
    """A picture of ``values`` ``(rows, columns)``: row 0 lies at ``y0``, column 0 at ``x0``. NaN is left open.

    ``low`` and ``high`` end the scale (the range of the values unless given); ``label`` names it, empty draws no scale.
    """

    kind: ClassVar[str] = "image"
    values: NDArray[Any]
    x0: float
    x1: float
    y0: float
    y1: float
    palette: Palette = "density"
    label: str = ""
    low: float | None = None
    high: float | None = None

    def limits(self) -> tuple[float, float]:
        """Return the ends of the colour scale, never equal."""
        finite = self.values[np.isfinite(self.values)] if self.values.dtype.kind == "f" else self.values
        low = self.low if self.low is not None else (float(finite.min()) if finite.size else 0.0)
        high = self.high if self.high is not None else (float(finite.max()) if finite.size else 1.0)
        return low, high if high > low else low + 1.0


@dataclass(frozen=True)
class Rule:
    """A straight line across the panel at one value of ``axis``."""

    kind: ClassVar[str] = "rule"
    at: float
    axis: Literal["x", "y"] = "x"
    role: Role = "reference"
    label: str = ""
    width: float = 1.5
    dash: Dash = "solid"


@dataclass(frozen=True)
class Band:
    """A shaded area between ``low`` and ``high`` ``(n,)`` over ``x`` ``(n,)``."""

    kind: ClassVar[str] = "band"
    x: NDArray[np.floating]
    low: NDArray[np.floating]
    high: NDArray[np.floating]
    role: Role = "chance"
    label: str = ""


@dataclass(frozen=True)
class Spans:
    """Shaded stretches of the x axis, from ``starts`` to ``stops`` ``(n,)``."""

    kind: ClassVar[str] = "spans"
    starts: NDArray[np.floating]
    stops: NDArray[np.floating]
    role: Role = "lost"
    label: str = ""


Layer = Line | Points | Bars | Image | Rule | Band | Spans
_LAYERS = {layer.kind: layer for layer in (Line, Points, Bars, Image, Rule, Band, Spans)}


@dataclass(frozen=True)
class Panel:
    """One pair of axes. ``weight`` is its share of the height; ``equal`` keeps both axes on one scale."""

    x: Axis
    y: Axis
    layers: tuple[Layer, ...]
    title: str = ""
    weight: float = 1.0
    equal: bool = False
    legend: bool = True


@dataclass(frozen=True)
class Figure:
    """A figure of a result: panels one below the other on a shared x axis when ``shared``.

    ``name`` is what files and addresses use (letters, digits, hyphens); ``caption`` says what is seen, with n and
    units. ``span`` is its width on a page and in a paper: ``full`` or ``half`` (180 or 85 mm); ``aspect`` the height
    over the width.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    span: Literal["full", "half"] = "half"
    aspect: float = 0.75
    shared: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def wide(cls, name: str, title: str, caption: str, panel: Panel) -> Figure:
        """Return a figure of one panel over the whole width of the page."""
        return cls(name, title, caption, (panel,), span="full", aspect=0.4)

    def _repr_svg_(self) -> str:
        """Return the figure as a notebook shows it: as for a paper."""
        from analysis.figures.paper import render

        return render(self, "svg").decode()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: lists with None for NaN; pictures as compressed base64."""
        return {
            **_plain(self, skip=("panels",)),
            "panels": [
                {
                    **_plain(panel, skip=("layers",)),
                    "layers": [{"kind": layer.kind, **_plain(layer)} for layer in panel.layers],
                }
                for panel in self.panels
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Figure:
        """Return the figure that ``to_json`` wrote; ``ValueError`` names what is wrong with other data."""
        try:
            panels = tuple(
                Panel(
                    **{
                        **panel,
                        "x": _axis(panel["x"]),
                        "y": _axis(panel["y"]),
                        "layers": tuple(_layer(layer) for layer in panel["layers"]),
                    }
                )
                for panel in data["panels"]
            )
            return cls(**{**data, "panels": panels})
        except (KeyError, TypeError, zlib.error) as error:
            raise ValueError(f"This is no figure: {error}.") from error


def _axis(data: Mapping[str, Any]) -> Axis:
    return Axis(**{**data, "names": tuple(data.get("names", ()))})


def _layer(data: Mapping[str, Any]) -> Layer:
    values = {name: restored(value) for name, value in data.items() if name != "kind"}
    return _LAYERS[data["kind"]](**values)


def _plain(item: Any, skip: Sequence[str] = ()) -> dict[str, Any]:
    return {f.name: _value(getattr(item, f.name)) for f in fields(item) if f.name not in skip}


def _value(value: Any) -> Any:
    if isinstance(value, Axis):
        return _plain(value)
    if isinstance(value, np.ndarray):
        if value.ndim == 1:
            # Seven digits are more than any screen shows and half the length of all of them.
            return {"list": [None if not np.isfinite(v) else float(f"{v:.7g}") for v in value.tolist()]}
        array = np.ascontiguousarray(value if value.dtype == np.uint8 else value.astype("<f4"))
        packed = base64.b64encode(zlib.compress(array.tobytes(), 6)).decode("ascii")
        return {"shape": list(array.shape), "dtype": array.dtype.str, "zlib": packed}
    if isinstance(value, np.generic):
        return value.item()
    return value


def restored(value: Any) -> Any:
    """Return the array that ``to_json`` packed, or what is no packed array as it is."""
    if isinstance(value, Mapping) and "list" in value:
        return np.array([np.nan if v is None else v for v in value["list"]], float)
    if isinstance(value, Mapping) and "zlib" in value:
        raw = zlib.decompress(base64.b64decode(value["zlib"]))
        return np.frombuffer(raw, np.dtype(value["dtype"])).reshape(value["shape"])
    return value


def reduce_trace(x: NDArray[Any], y: NDArray[Any], *, points: int = MOST_POINTS) -> tuple[NDArray, NDArray]:
    """Reduce a trace ``(n,)`` to at most ``points`` by the lowest and highest sample of equal stretches, in order.

    Unlike taking every k-th sample this keeps every spike of the trace in view. NaN gaps stay gaps.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if y.size <= points:
        return x, y
    stretch = -(-y.size // (points // 2))
    full = np.full(-(-y.size // stretch) * stretch, np.nan)
    full[: y.size] = y
    table = full.reshape(-1, stretch)
    lowest = np.where(np.isnan(table), np.inf, table).argmin(axis=1)
    highest = np.where(np.isnan(table), -np.inf, table).argmax(axis=1)
    pair = np.sort(np.stack([lowest, highest], axis=1), axis=1) + (np.arange(len(table)) * stretch)[:, None]
    kept = np.minimum(pair.ravel(), y.size - 1)
    return x[kept], y[kept]


def every(x: NDArray[Any], y: NDArray[Any], *, points: int = MOST_POINTS) -> tuple[NDArray, NDArray]:
    """Keep at most ``points`` samples at equal distances: for paths, where order matters and extremes do not."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    stride = max(1, -(-x.size // points))
    return x[::stride], y[::stride]
