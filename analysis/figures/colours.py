"""Colours by role and theme, chosen to be told apart with every kind of colour vision and in grey print."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Theme = Literal["light", "dark"]

# Blue against vermillion is the pair that all common kinds of colour vision separate; the rest differ in lightness.
ROLES: dict[str, dict[str, str]] = {
    "light": {
        "data": "#2563eb",
        "truth": "#d9480f",
        "real": "#d9480f",
        "chance": "#b9c6dd",
        "reference": "#5b6472",
        "second": "#0f766e",
        "lost": "#e8a33d",
        "muted": "#98a1b0",
    },
    "dark": {
        "data": "#7aa7ff",
        "truth": "#ff8a4c",
        "real": "#ff8a4c",
        "chance": "#4a5872",
        "reference": "#a5afbf",
        "second": "#4fd1c0",
        "lost": "#c98a2b",
        "muted": "#76819a",
    },
}

GROUND = {
    "light": {"surface": "#ffffff", "text": "#1b2430", "soft": "#5b6472", "grid": "#e6eaf0"},
    "dark": {"surface": "#171c24", "text": "#e7ebf1", "soft": "#a5afbf", "grid": "#2a313d"},
}

# Stops of the maps from least to most; lightness changes in one direction only, so they survive a grey printer.
_STOPS = {
    ("density", "light"): ["#ffffff", "#d5e4f7", "#8fbae6", "#3a7fc8", "#114b97", "#06255a"],
    ("density", "dark"): ["#171c24", "#1d3557", "#22589b", "#3b86d9", "#86bdf7", "#e4f1ff"],
    ("power", "light"): ["#00224e", "#2a3f6d", "#575c6d", "#7d7c78", "#a59c74", "#d2bf60", "#fee838"],
    ("power", "dark"): ["#00224e", "#2a3f6d", "#575c6d", "#7d7c78", "#a59c74", "#d2bf60", "#fee838"],
    # One tone that no map has, beside which each map's ends are seen: for what is not known.
    ("unknown", "light"): ["#bfbfbf", "#bfbfbf"],
    ("unknown", "dark"): ["#3f444c", "#3f444c"],
    ("grey", "light"): ["#000000", "#ffffff"],
    ("grey", "dark"): ["#000000", "#ffffff"],
}


def palette(name: str, theme: Theme, n: int = 256) -> list[str]:
    """Return n colours of a map from least to most, as ``#rrggbb``."""
    stops = np.array([[int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in _STOPS[name, theme]], float)
    at = np.linspace(0, len(stops) - 1, n)
    rgb: NDArray = np.stack([np.interp(at, np.arange(len(stops)), stops[:, k]) for k in range(3)], axis=1)
    return ["#{:02x}{:02x}{:02x}".format(*row) for row in rgb.round().astype(int)]
