"""Where the contacts of a probe lie, as the recording says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError

DESCRIBING_PROBES = ("spikeglx", "openephys", "maxwell", "nwb")


def read_positions(recording: InputRecording, n_channels: int) -> NDArray[np.floating] | None:
    """Return the contacts ``(n_channels, 2)`` (um), or ``None`` when the recording does not state them.

    They are the recording's parameter ``positions``: one pair (across, along the probe towards the surface) for each
    channel; or those of the probe that its files describe. ``PipelineError`` when they are no such pairs or not as many
    as there are channels.
    """
    stated = recording.parameters.get("positions")
    if stated is None:
        return _of_files(recording, n_channels)
    try:
        positions = np.asarray(stated, float)
    except (TypeError, ValueError):
        positions = np.zeros(0)
    if positions.ndim != 2 or positions.shape[1] != 2 or not np.isfinite(positions).all():
        raise PipelineError(
            "The parameter 'positions' of the recording must be one pair of micrometres for each channel."
        )
    if len(positions) != n_channels:
        raise PipelineError(
            f"The parameter 'positions' of the recording has {len(positions)} pairs; there are {n_channels} channels."
        )
    return positions


def _of_files(recording: InputRecording, n_channels: int) -> NDArray[np.floating] | None:
    from analysis.readers.opening import open_recording

    if recording.format not in DESCRIBING_PROBES:
        return None
    probe = open_recording(recording).probe
    return probe.positions if probe is not None and len(probe.positions) == n_channels else None
