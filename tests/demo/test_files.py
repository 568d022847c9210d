"""Files of the simulated recordings are what the project's own readers and pipelines find in real ones."""

from __future__ import annotations

import itertools

import av
import numpy as np
import pytest

from analysis.methods.spectral import power_spectrum
from analysis.pipelines.base import InputFile, InputRecording, Run
from analysis.pipelines.registry import get
from analysis.readers import open_signal, read_position, read_spikes
from cameras.agent.strip import read_number
from labsite.demo.arenas import TRACK
from labsite.demo.film import write_film
from labsite.demo.recordings import write_position_npz, write_units_npz, write_units_nwb
from labsite.demo.voltage import write_voltage
from labsite.demo.world import picture_scale

START = 1_790_000_003.7


def of_file(kind, form, path, **more):
    return InputRecording("1", kind, form, (InputFile(path, path.stat().st_size),), **more)


@pytest.mark.parametrize("form", ["nwb", "units-npz"])
def test_units_are_read_back_with_times_from_the_start_of_the_recording(world_of, tmp_path, form):
    world = world_of(TRACK)
    path = tmp_path / ("units.nwb" if form == "nwb" else "units.npz")
    write = write_units_nwb if form == "nwb" else write_units_npz
    count = write(world, path, start=START, stop=START + 30)
    truth = world.spikes(START, START + 30)
    read = read_spikes(of_file("units", form, path))
    assert count == read.times.size == truth.time.size
    assert read.times == pytest.approx(truth.time - START, abs=1e-6)
    fired = np.unique(truth.unit)
    assert [int(label) for label in read.labels] == list(fired)
    assert np.array_equal(np.sort(fired[read.units]), np.sort(truth.unit))


def test_positions_are_read_back_in_centimetres(world_of, tmp_path):
    world = world_of(TRACK)
    path = tmp_path / "position.npz"
    assert write_position_npz(world, path, start=START, stop=START + 10) == 500
    read = read_position(of_file("position", "position-npz", path))
    assert read.unit == "cm"
    assert read.time[0] == 0
    assert read.xy == pytest.approx(world.true_position(START, START + 10).xy)


def test_the_film_carries_its_frames_numbers_and_the_word_simulated(world_of, tmp_path):
    world = world_of(TRACK)
    path = tmp_path / "film.mp4"
    camera = world.camera()
    assert write_film(camera, path, start=START, seconds=2, fps=15) == 30
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert [read_number(frame) for frame in frames] == list(range(30))
    assert camera.label == "SIMULATED"
    middle = frames[0].shape[1] // 2
    below = frames[0][-30:, middle - 110 : middle + 110]
    assert np.percentile(below, 99) > 120, "the label is written where nothing else is bright"
    assert all(np.abs(a[-30:, :80].astype(int) - b[-30:, :80]).mean() < 6 for a, b in itertools.pairwise(frames))
    assert not list(tmp_path.glob(".*"))


def test_tracking_the_film_finds_where_the_animal_truly_is(world_of, tmp_path):
    world = world_of(TRACK)
    path = tmp_path / "film.mp4"
    write_film(world.camera(), path, start=START, seconds=60, fps=15)
    scale, _ = picture_scale(TRACK.bounds, (640, 480))
    pipeline = get("video.track")
    run = Run(
        recordings=(of_file("video", "video", path),),
        parameters=pipeline.parameters(pixels_per_cm=scale),
        seed=1,
        folder=tmp_path,
        progress=lambda *_: None,
        log=lambda *_: None,
    )
    made = pipeline.run(run).recordings[0]
    track = read_position(of_file("position", made.format, tmp_path / made.files[0]))
    truth = world.true_position(START, START + 61)
    expected = world.camera_pixels(
        np.column_stack([np.interp(START + track.time, truth.time, truth.xy[:, axis]) for axis in (0, 1)])
    )
    distance = np.hypot(*(track.xy * scale - expected).T) / scale
    assert np.isfinite(distance).mean() > 0.99
    assert np.nanmedian(distance) < 0.1 * TRACK.body_cm


def test_raw_voltage_has_theta_and_the_units_spikes(world_of, tmp_path):
    world = world_of(TRACK)
    path = tmp_path / "raw.bin"
    made = write_voltage(world, path, start=START, seconds=8)
    signal = open_signal(of_file("ephys", "raw-binary", path, parameters=made.parameters))
    assert (signal.n_channels, signal.rate, signal.duration) == (16, 30000.0, 8.0)
    voltage = signal.read(0, signal.n_samples)
    assert np.abs(voltage).max() < 2000, "microvolts of an extracellular electrode"
    spectrum = power_spectrum(voltage[::24, -1], 1250.0, window=4.0, highest=100.0)
    band = (spectrum.frequency > 4) & (spectrum.frequency < 12)
    assert 7 <= spectrum.frequency[band][np.argmax(spectrum.power[0][band])] <= 9
    # What differs from one sample to the next is spikes and noise; at the times of spikes it is far more.
    steps = np.abs(np.diff(voltage, axis=0)).max(axis=1)
    spikes = world.spikes(START, START + 8)
    samples = np.round((spikes.time[np.isin(spikes.unit, made.units)] - START) * signal.rate).astype(int)
    samples = samples[(samples > 30) & (samples < len(steps) - 30)]
    assert len(samples) > 50
    around = np.array([steps[sample - 15 : sample + 15].max() for sample in samples])
    assert np.median(around) > np.median(steps) + 8 * np.median(np.abs(steps - np.median(steps)))
