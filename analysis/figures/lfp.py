"""Figures of field potentials."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Figure, Image, Line, Panel, Rule, Spans, reduce_trace
from analysis.methods.spectral import Rhythm, Spectrogram

Array = NDArray[np.floating]

# Columns of a spectrogram beyond what a page is wide in px are averaged.
_MOST_COLUMNS = 900


def trace(time: Array, signal: Array, *, channel: int) -> Figure:
    """Draw the LFP (uV) ``(n,)`` over ``time`` (s).

    All of it by its extremes, and its five seconds of median power in full.
    """
    rate = 1 / float(np.median(np.diff(time)))
    length = min(signal.size, round(5 * rate))
    pieces = signal[: signal.size // length * length].reshape(-1, length)
    power = pieces.std(axis=1)
    first = int(np.argsort(power, kind="stable")[len(power) // 2]) * length
    part = slice(first, first + length)
    return Figure(
        name="trace",
        title="LFP",
        caption=(
            f"Channel {channel}. Above: the whole recording as lowest and highest value of equal stretches. "
            "Below: five seconds "
            "of median power, every sample."
        ),
        span="full",
        aspect=0.42,
        panels=(
            Panel(
                Axis("time", "s", low=float(time[0]), high=float(time[-1])),
                Axis("LFP", "µV"),
                (Line(*reduce_trace(time, signal), width=0.8),),
                legend=False,
            ),
            Panel(
                Axis("time", "s", low=float(time[part][0]), high=float(time[part][-1])),
                Axis("LFP", "µV"),
                (Line(*reduce_trace(time[part], signal[part]), width=1.2),),
                legend=False,
            ),
        ),
    )


def spectrogram(spectra: Spectrogram, *, start: float, highest: float) -> Figure:
    """Draw power over time and frequency in dB; ``start`` (s) is added to the times."""
    keep = (spectra.frequency > 0) & (spectra.frequency <= highest)
    shown = Spectrogram(spectra.time, spectra.frequency[keep], spectra.power[:, keep])
    return Figure(
        name="spectrogram",
        title="Spectrogram",
        caption="Power spectral density of Hann windows, in dB of 1 µV²/Hz.",
        span="full",
        aspect=0.34,
        panels=(Panel(Axis("time", "s"), Axis("frequency", "Hz"), (power_image(shown, start=start),)),),
    )


def power_image(spectra: Spectrogram, *, start: float) -> Image:
    """Return power in dB of 1 uV^2/Hz over time and frequency as a layer; ``start`` (s) is added to the times."""
    power = spectra.power
    group = -(-power.shape[0] // _MOST_COLUMNS)
    columns = -(-power.shape[0] // group)
    edges = np.arange(columns) * group
    mean = np.add.reduceat(power, edges, axis=0) / np.diff(np.append(edges, power.shape[0]))[:, None]
    level = 10 * np.log10(np.maximum(mean, 1e-12))
    frequency = spectra.frequency
    step = float(frequency[1] - frequency[0])
    hop = float(spectra.time[1] - spectra.time[0]) if spectra.time.size > 1 else 1.0
    low, high = np.quantile(level, [0.02, 0.995])
    return Image(
        level.T,
        start + float(spectra.time[0]) - hop / 2,
        start + float(spectra.time[-1]) + hop / 2,
        float(frequency[0]) - step / 2,
        float(frequency[-1]) + step / 2,
        palette="power",
        label="dB (µV²/Hz)",
        low=float(low),
        high=float(high),
    )


def spectrum(frequency: Array, power: Array, rhythm: Rhythm, *, band: tuple[float, float], highest: float) -> Figure:
    """Draw a power spectrum ``(n,)`` (uV^2/Hz) with its 1/f background and the peak found above it."""
    keep = (frequency >= 1) & (frequency <= highest) & (power > 0)
    fitted = (frequency >= rhythm.fit[0]) & (frequency <= min(rhythm.fit[1], highest))
    layers: list = [
        Spans(np.array([band[0]]), np.array([band[1]]), role="chance", label="theta band"),
        Line(*reduce_trace(frequency[keep], power[keep]), label="power", width=2.0),
        Line(frequency[fitted], rhythm.background[fitted], role="reference", dash="dashed", label="1/f background"),
    ]
    if rhythm.frequency is not None:
        layers.append(
            Rule(rhythm.frequency, role="real", dash="dotted", label=f"peak {rhythm.frequency:.2f} Hz", width=2.0)
        )
    low = 10 ** np.floor(np.log10(power[keep].min()))
    high = 10 ** np.ceil(np.log10(power[keep].max()))
    found = (
        f"the peak stands {rhythm.height:.1f} dB above it"
        if rhythm.height is not None
        else "no peak stands out above it"
    )
    return Figure(
        name="spectrum",
        title="Power spectrum",
        caption=f"Welch's power spectral density; dashed: background 1/f^{rhythm.exponent:.2f} fitted "
        f"outside the band; {found}.",
        panels=(
            Panel(
                Axis("frequency", "Hz", log=True, low=1.0, high=highest),
                Axis("power", "µV²/Hz", log=True, low=float(low), high=float(high)),
                tuple(layers),
            ),
        ),
    )


def theta_over_time(
    time: Array, theta: Array, ratio: Array, *, band: tuple[float, float], slow: tuple[float, float]
) -> Figure:
    """Draw theta power (uV^2) and theta over delta power, both ``(n,)``, over ``time`` (s)."""
    return Figure(
        name="theta-power",
        title="Theta over time",
        caption=(
            f"Power from {band[0]:g} to {band[1]:g} Hz, and its ratio to power from {slow[0]:g} to "
            f"{slow[1]:g} Hz; dotted: medians."
        ),
        aspect=0.85,
        shared=True,
        panels=(
            Panel(
                Axis("time", "s"),
                Axis("theta power", "µV²", low=0.0),
                (Line(*reduce_trace(time, theta)), Rule(float(np.median(theta)), axis="y", dash="dotted")),
                legend=False,
            ),
            Panel(
                Axis("time", "s", low=float(time[0]), high=float(time[-1])),
                Axis("theta / delta", low=0.0),
                (
                    Line(*reduce_trace(time, ratio), role="second"),
                    Rule(float(np.median(ratio)), axis="y", dash="dotted"),
                ),
                legend=False,
            ),
        ),
    )
