"""One channel of field potential as a whole, for what looks at a rhythm of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError

if TYPE_CHECKING:
    from analysis.readers.signal import Signal

# A faster recording should become LFP first: ten minutes at 30 kHz are 144 MB a channel as float64.
HIGHEST_RATE = 5000.0
# Channels are chosen on at most so many seconds from the middle.
_CHOSEN_ON = 60.0


@dataclass(frozen=True)
class LfpTrace:
    """``values`` (uV) ``(n,)`` at ``rate`` (Hz), the time of the first (s), and the channel they are of."""

    values: NDArray[np.floating]
    rate: float
    start: float
    channel: int


def open_trace(recording: InputRecording, channel: int | None, band: tuple[float, float]) -> tuple[Signal, int]:
    """Return the signal of a recording and the channel to look at; that with most power in ``band`` (Hz) when none is.

    ``PipelineError`` when there is no such channel or the recording is too fast.
    """
    from analysis.methods import spectral
    from analysis.readers import open_signal

    signal = open_signal(recording)
    if signal.rate > HIGHEST_RATE:
        raise PipelineError(
            f"The recording has {signal.rate:g} samples a second; make LFP of it first (ephys.lfp), which has up to "
            f"{HIGHEST_RATE:g}."
        )
    if channel is None:
        span = min(signal.n_samples, round(_CHOSEN_ON * signal.rate))
        first = (signal.n_samples - span) // 2
        piece = signal.read(first, first + span).astype(float)
        window = min(2.0, span / signal.rate)
        powers = []
        for number in range(signal.n_channels):
            density = spectral.power_spectrum(piece[:, number], signal.rate, window=window, highest=band[1] + 1)
            powers.append(float(spectral.band_power(density.power[0], density.frequency, *band)))
        channel = int(np.nanargmax(powers)) if np.isfinite(powers).any() else 0
    if channel >= signal.n_channels:
        raise PipelineError(f"There is no channel {channel}; the recording has {signal.n_channels}, from 0.")
    return signal, channel


def read_trace(recording: InputRecording, channel: int | None, band: tuple[float, float]) -> LfpTrace:
    """Return one channel as a whole, chosen as ``open_trace`` does.

    ``PipelineError`` for what that refuses, and when the channel is dead or not finite.
    """
    signal, channel = open_trace(recording, channel, band)
    step = max(1, 4_000_000 // signal.n_channels)
    values = np.concatenate(
        [
            signal.read(at, min(at + step, signal.n_samples))[:, channel].astype(float)
            for at in range(0, signal.n_samples, step)
        ]
    )
    if not np.isfinite(values).all():
        raise PipelineError(f"Channel {channel} has values that are not finite numbers.")
    if not np.ptp(values) > 0:
        raise PipelineError(f"Channel {channel} is dead: it has one value throughout.")
    return LfpTrace(values, signal.rate, signal.start, channel)
