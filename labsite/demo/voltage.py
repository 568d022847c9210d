"""Raw voltage of the simulated probe: spikes and noise by SpikeInterface's generator, theta as the animal runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labsite.demo.recordings import FROM_START
from labsite.demo.world import World

Floats = NDArray[np.float64]

RATE_HZ = 30_000.0
CHANNELS = 16
CONTACT_PITCH_UM = 25.0
# Microvolts per step of the analogue-digital converter, as in the common 16-bit headstages.
GAIN_UV = 0.195
NOISE_UV = 6.0
THETA_UV = 110.0
BACKGROUND_UV = 75.0
UNITS_ON_PROBE = 10
LFP_GRID_HZ = 1000.0
CHUNK_SECONDS = 5.0


@dataclass(frozen=True)
class RawVoltage:
    """What was written: the parameters that a reader needs, and which of the world's neurons are on the probe."""

    parameters: dict[str, Any]
    seconds: float
    units: tuple[int, ...]


def write_voltage(world: World, path: Path, *, start: float, seconds: float) -> RawVoltage:
    """Write int16 samples ``(n_samples, n_channels)``, little-endian, from ``start`` (Unix time, s) on.

    The spikes are those of some of the world's neurons at their true times; the theta follows the world's theta phase,
    is stronger while the animal runs, and grows from the first contact to the last.
    """
    units = _units(world, start, seconds)
    recording = _spikes_in_noise(world, units, start=start, seconds=seconds)
    theta, background = _field_potentials(world, start=start, seconds=seconds)
    depth = np.linspace(0.45, 1.0, CHANNELS)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    total = round(seconds * RATE_HZ)
    grid = np.arange(len(theta)) / LFP_GRID_HZ
    with part.open("wb") as output:
        for first in range(0, total, round(CHUNK_SECONDS * RATE_HZ)):
            last = min(total, first + round(CHUNK_SECONDS * RATE_HZ))
            moments = np.arange(first, last) / RATE_HZ
            slow = np.interp(moments, grid, theta)[:, None] * depth + np.interp(moments, grid, background)[:, None]
            traces = recording.get_traces(start_frame=first, end_frame=last)
            steps = np.rint((traces + slow) / GAIN_UV)
            output.write(np.clip(steps, -32768, 32767).astype("<i2").tobytes())
    part.replace(path)
    parameters = {
        "rate": RATE_HZ, "channels": CHANNELS, "dtype": "int16", "gain_to_uV": GAIN_UV, **FROM_START,
    }  # fmt: skip
    return RawVoltage(parameters, seconds, tuple(int(unit) for unit in units))


def _units(world: World, start: float, seconds: float) -> NDArray[np.int64]:
    """Choose the neurons near the probe: the busiest place cells and one interneuron."""
    spikes = world.spikes(start, start + seconds)
    counts = np.bincount(spikes.unit, minlength=world.n_units)
    place = np.flatnonzero(world.ensemble.kinds == "place")
    busiest = place[np.argsort(counts[place])[::-1][: UNITS_ON_PROBE - 1]]
    return np.sort(np.append(busiest, np.flatnonzero(world.ensemble.kinds == "interneuron")[0]))


def _spikes_in_noise(world: World, units: NDArray[np.int64], *, start: float, seconds: float) -> Any:
    from spikeinterface.core import NumpySorting
    from spikeinterface.generation import InjectTemplatesRecording, NoiseGeneratorRecording, generate_templates

    seed = world.arena.seed
    rng = np.random.default_rng([seed, 3])
    contacts = np.column_stack([np.zeros(CHANNELS), np.arange(CHANNELS) * CONTACT_PITCH_UM])
    length = CHANNELS * CONTACT_PITCH_UM
    cells = np.column_stack(
        [rng.uniform(5, 15, len(units)), np.linspace(20, length - 20, len(units)), rng.uniform(10, 25, len(units))]
    )
    templates = generate_templates(contacts, cells, RATE_HZ, ms_before=1.0, ms_after=3.0, seed=seed)
    # The largest deflection of each unit is set, whatever the generator's model of distance gives.
    largest = np.abs(templates).max(axis=(1, 2), keepdims=True)
    templates = templates / largest * rng.uniform(90, 220, (len(units), 1, 1))
    spikes = world.spikes(start, start + seconds)
    seen = np.isin(spikes.unit, units)
    samples = np.round((spikes.time[seen] - start) * RATE_HZ).astype(np.int64)
    inside = samples < round(seconds * RATE_HZ)
    sorting = NumpySorting.from_samples_and_labels([samples[inside]], [spikes.unit[seen][inside]], RATE_HZ, units)
    noise = NoiseGeneratorRecording(
        CHANNELS, RATE_HZ, [seconds], noise_levels=NOISE_UV, dtype="float32", seed=seed, strategy="on_the_fly"
    )
    return InjectTemplatesRecording(
        sorting, templates.astype("float32"), nbefore=round(0.001 * RATE_HZ), parent_recording=noise
    )


def _field_potentials(world: World, *, start: float, seconds: float) -> tuple[Floats, Floats]:
    """Return theta (uV) at the strongest contact and what all contacts share, on a grid of 1 kHz."""
    rng = np.random.default_rng([world.arena.seed, 4])
    time = start + np.arange(round(seconds * LFP_GRID_HZ) + 1) / LFP_GRID_HZ
    phase = world.theta_phase(time)
    position = world.true_position(start, start + seconds + 1)
    speed = np.interp(time, position.time, position.speed)
    strength = THETA_UV * (0.3 + 0.7 * np.minimum(speed / 30, 1))
    theta = strength * (np.cos(phase) + 0.18 * np.cos(2 * phase + 0.6))
    spectrum = np.fft.rfft(rng.normal(size=len(time)))
    frequency = np.maximum(np.fft.rfftfreq(len(time), 1 / LFP_GRID_HZ), 1.0)
    background = np.fft.irfft(spectrum / np.sqrt(frequency), n=len(time))
    return theta, BACKGROUND_UV * background / background.std()
