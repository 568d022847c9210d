"""Figures of power in bands over time and of theta over delta with speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.figures.chance import against_chance
from analysis.figures.lfp import power_image
from analysis.figures.spec import Axis, Band, Figure, Line, Panel, Points, Role, Rule, every, reduce_trace
from analysis.methods.bands import BandPower
from analysis.methods.permutation import ShiftedCorrelation
from analysis.methods.spectral import Spectrogram

Array = NDArray[np.floating]

# Power falls so steeply with frequency that slow and fast rhythms need scales of their own.
_SLOW_HZ = 30.0
_SPEED_BINS = 12


def spectrogram_with_speed(measured: BandPower, speed: Array | None, *, start: float, unit: str) -> Figure:
    """Draw the spectrogram below and above 30 Hz, each on its own scale, with the speed ``(n_windows,)`` on top.

    ``start`` (s) is added to the times of what was measured.
    """
    spectra = measured.spectrogram
    time = Axis("time", "s")
    panels = []
    if speed is not None:
        line = Line(*reduce_trace(measured.time + start, speed), width=1.0)
        panels.append(Panel(time, Axis("speed", f"{unit}/s", low=0.0), (line,), weight=0.35, legend=False))
    fast = spectra.frequency >= _SLOW_HZ
    if np.count_nonzero(fast) > 1:
        upper = Spectrogram(spectra.time, spectra.frequency[fast], spectra.power[:, fast])
        panels.append(Panel(time, Axis("frequency", "Hz"), (power_image(upper, start=start),), weight=0.7))
    slow = (spectra.frequency > 0) & (spectra.frequency <= _SLOW_HZ)
    lower = Spectrogram(spectra.time, spectra.frequency[slow], spectra.power[:, slow])
    panels.append(Panel(time, Axis("frequency", "Hz"), (power_image(lower, start=start),)))
    above = " Above, the mean speed in the same windows." if speed is not None else ""
    return Figure(
        name="spectrogram",
        title="Spectrogram",
        caption=f"Multitaper power spectral density in dB of 1 µV²/Hz; {measured.time.size:,} windows.{above}",
        span="full",
        aspect=0.3 * sum(panel.weight for panel in panels),
        shared=True,
        panels=tuple(panels),
    )


def power_over_time(time: Array, power: Array, limits: Mapping[str, tuple[float, float]]) -> Figure:
    """Draw the power (uV^2) ``(n_windows, n_bands)`` over ``time`` (s), each band on its own logarithmic axis."""
    panels = []
    for number, (name, (low, high)) in enumerate(limits.items()):
        mine = power[:, number]
        bottom, top = (float(np.quantile(mine[mine > 0], share)) for share in (0.001, 1.0))
        panels.append(
            Panel(
                Axis("time", "s", low=float(time[0]), high=float(time[-1])),
                Axis("power", "µV²", log=True, low=bottom / 1.3, high=top * 1.3),
                (
                    Line(*reduce_trace(time, np.where(mine > 0, mine, np.nan), points=2000), width=1.0),
                    Rule(float(np.median(mine)), axis="y", dash="dotted"),
                ),
                title=f"{name}, {low:g}-{high:g} Hz",
                legend=False,
            )
        )
    return Figure(
        name="band-power",
        title="Power over time",
        caption="Integral of the spectral density over each band; dotted: medians.",
        span="full",
        aspect=0.17 * len(panels),
        shared=True,
        panels=tuple(panels),
    )


def mean_spectra(
    frequency: Array, spectra: Array, labels: Sequence[str], limits: Mapping[str, tuple[float, float]]
) -> Figure:
    """Draw mean spectra (uV^2/Hz) ``(n_groups, n_frequencies)``, NaN for a group without windows."""
    keep = frequency >= min(low for low, _ in limits.values())
    keep &= frequency > 0
    roles: tuple[Role, ...] = ("reference", "data") if len(labels) > 1 else ("data",)
    layers = [
        Line(*reduce_trace(frequency[keep], mine[keep]), role=role, label=label, width=2.0)
        for mine, label, role in zip(spectra, labels, roles, strict=False)
        if np.isfinite(mine).all()
    ]
    drawn = spectra[:, keep]
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    return Figure(
        name="spectrum",
        title="Power spectrum",
        caption=f"Mean multitaper spectrum of the windows: {', '.join(layer.label for layer in layers)}.",
        panels=(
            Panel(
                Axis("frequency", "Hz", log=True),
                Axis("power", "µV²/Hz", log=True, low=float(drawn.min()) / 1.5, high=float(drawn.max()) * 1.5),
                tuple(layers),
            ),
        ),
    )


def ratio_with_speed(speed: Array, ratio: Array, *, unit: str, rho: float) -> Figure:
    """Draw theta over delta ``(n_windows,)`` against speed, with medians and quartiles of equal numbers of windows."""
    seen = np.flatnonzero(np.isfinite(speed))
    x, y = speed[seen], ratio[seen]
    order = np.argsort(x, kind="stable")
    parts = [part for part in np.array_split(order, min(_SPEED_BINS, max(1, order.size // 5))) if part.size]
    middle = np.array([float(np.median(x[part])) for part in parts])
    low, half, high = (np.array([float(np.quantile(y[part], q)) for part in parts]) for q in (0.25, 0.5, 0.75))
    told = f"Spearman's correlation {rho:.2f}. " if np.isfinite(rho) else ""
    return Figure(
        name="theta-delta-speed",
        title="Theta / delta and speed",
        caption=f"{told}A dot is a window, {x.size:,} in all; line and shade: median and quartiles of windows of like "
        "speed, the same number in each.",
        panels=(
            Panel(
                Axis("speed", f"{unit}/s", low=0.0),
                Axis("theta / delta", log=True),
                (
                    Points(*every(x, y, points=2000), role="muted", size=3.0),
                    Band(middle, low, high),
                    Line(middle, half, width=2.5),
                ),
                legend=False,
            ),
        ),
    )


def correlation_by_chance(found: ShiftedCorrelation, *, shortest_shift: float) -> Figure:
    """Draw the correlations of shifted data with the real one."""
    return against_chance(
        found.null,
        found.rho,
        found.p,
        Axis("correlation with speed"),
        caption=f"Spearman's correlation of theta / delta with speed, and of {found.null.size:,} data sets shifted "
        f"circularly against speed by at least {shortest_shift:g} s; two-sided p = (1 + k) / (1 + n) = {found.p:.2g}.",
    )
