"""Damaged copies of files, by a fixed seed, and the reading of all that one of them claims to hold."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.pipelines.base import InputFile, InputRecording, PipelineError
from analysis.readers import open_recording
from tests.data import shared_data
from tests.methods import acquired

ENDINGS = (".nwb", ".mat", ".npy", ".csv", ".mp4", ".dat", ".bin", ".meta", ".rhd", ".nev", ".h5", ".npz", ".txt", "")
HEADER = 4096


@dataclass(frozen=True)
class Original:
    """A sound file: what it is registered as, and the folder of which all goes with it."""

    path: Path
    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True)
class Copy:
    """A damaged copy below the data root."""

    path: Path
    damage: str
    original: Original


def originals(folder: Path) -> list[Original]:
    """Return real files, and files that the generators write below ``folder``."""
    real = [
        ("ndr_example/example_data/example.abf", "ephys", {}),
        ("ndr_example/example_data/example_1.nev", "units", {}),
        ("ndr_example/example_data/example_2.ns2", "lfp", {"gain_to_uV": 1.0}),
        ("nelpy_linear_track/linear-track/spikes.mat", "units", {}),
        ("nelpy_linear_track/linear-track/trajectory.videoPositionTracking", "position", {}),
        ("neuroconv_nwb/tests/test_minimal/test_testing/test_mocks/mock_ttl_examples.nwb", "events", {}),
        ("pynapple_nwb/tests/nwbfilestest/phy/pynapplenwb/A8604-211122.nwb", "units", {}),
        ("bycycle_ca1_ec3_lfp/data/ca1.npy", "lfp", {"rate": 1250, "unit": "mV"}),
        ("neurodsp_lfp/data/sample_data_2.npy", "lfp", {"rate": 1000, "unit": "mV"}),
        ("probeinterface_headers/tests/data/3brain/biocam_hw3.0_fw1.6.brw", "ephys", {}),
        ("probeinterface_headers/tests/data/maxwell/data.raw.h5", "ephys", {}),
        ("probeinterface_headers/tests/data/spikeglx/Noise_g0_t0.imec0.ap.meta", "ephys", {}),
        ("probeinterface_headers/tests/data/spikeglx/NP2_4_shanks.imec0.ap.meta", "ephys", {}),
        ("sleap_test_videos/tests/data/dlc/labeled-data/video/madlc_testdata.csv", "position", {"rate": 30}),
        ("sleap_test_videos/tests/data/tracks/clip.slp", "position", {"rate": 30}),
        ("sleap_test_videos/tests/data/tracks/clip.mp4", "video", {}),
        ("tracktor_mouse/output/mouse_video_tracked.csv", "position", {"rate": 30}),
    ]
    found = [
        Original(shared_data(name.partition("/")[0]) / name.partition("/")[2], kind, parameters)
        for name, kind, parameters in real
    ]
    writers: list[tuple[Callable[[Path], Path], str, dict[str, Any]]] = [
        (acquired.spikeglx, "ephys", {}), (acquired.openephys, "ephys", {}), (acquired.intan, "ephys", {}),
        (acquired.blackrock, "ephys", {}), (acquired.axona, "ephys", {}), (acquired.plexon, "lfp", {}),
        (acquired.phy, "units", {}), (acquired.statmatrix, "lfp", {"gain_to_uV": 1.0}),
        (acquired.behavmatrix, "events", {}), (acquired.odour_triple, "units", {}),
        (acquired.deeplabcut_h5, "position", {"rate": 30}), (acquired.sleap_analysis, "position", {"rate": 30}),
        (acquired.matlab_table, "lfp", {"rate": 1000, "unit": "mV"}), (acquired.raw, "ephys", {}),
    ]  # fmt: skip
    for write, kind, parameters in writers:
        place = folder / write.__name__
        place.mkdir(parents=True)
        found.append(Original(write(place), kind, parameters, place))
    return found


def copies(sound: list[Original], root: Path, rounds: int, seed: int) -> Iterator[Copy]:
    """Yield damaged copies: each file cut twice, with flipped bytes, renamed, emptied, with the content of another."""
    rng = np.random.default_rng(seed)
    damages = ("cut", "cut", "flipped head", "flipped", "renamed", "empty", "swapped")
    for turn in range(rounds):
        for number, original in enumerate(sound):
            for kind, damage in enumerate(damages):
                place = root / f"{turn}-{number}-{kind}"
                path = _copied(original, place)
                victims = sorted(file for file in place.rglob("*") if file.is_file()) if kind % 2 else [path]
                yield Copy(
                    _damaged(path, victims[int(rng.integers(len(victims)))], damage, sound, rng), damage, original
                )


def _copied(original: Original, place: Path) -> Path:
    if original.folder is None:
        place.mkdir()
        return Path(shutil.copyfile(original.path, place / original.path.name))
    shutil.copytree(original.folder, place)
    return place / original.path.relative_to(original.folder)


def _damaged(path: Path, victim: Path, damage: str, sound: list[Original], rng: np.random.Generator) -> Path:
    content = bytearray(victim.read_bytes())
    if damage == "cut":
        victim.write_bytes(content[: int(rng.integers(1, len(content)))])
    elif damage.startswith("flipped"):
        reach = min(len(content), HEADER) if damage.endswith("head") else len(content)
        for position in rng.integers(0, reach, int(rng.integers(1, 17))):
            content[position] ^= int(rng.integers(1, 256))
        victim.write_bytes(content)
    elif damage == "empty":
        victim.write_bytes(b"")
    elif damage == "swapped":
        victim.write_bytes(sound[int(rng.integers(len(sound)))].path.read_bytes())
    else:
        renamed = path.with_name(f"{path.name.split('.')[0]}{ENDINGS[int(rng.integers(len(ENDINGS)))]}")
        return path.rename(renamed)
    return path


def read_all(path: str, file_format: str, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Read pieces of all that a file says it holds.

    Return ``read``: how many values; ``refused``: the sentence of a reader; or ``raised``: what should never be.
    """
    place = Path(path)
    file = InputFile(place, place.stat().st_size)
    try:
        return {"read": _values(open_recording(InputRecording("", kind, file_format, (file,), parameters)))}
    except PipelineError as error:
        return {"refused": str(error)}
    except Exception:  # noqa: BLE001 - this is what the test looks for
        return {"raised": traceback.format_exc()}


def _values(contents: Any) -> int:
    count = 0
    for stream in contents.streams[:8]:
        assert 0 < stream.rate < np.inf
        assert len(stream.channels) == len(stream.units)
        for segment, piece in list(enumerate(stream.segments))[:3]:
            for first in {0, piece.n_samples // 2, max(0, piece.n_samples - 20)}:
                last = min(piece.n_samples, first + 20)
                samples = stream.stored(segment, first, last)
                assert samples.shape == (last - first, len(stream.channels)), (samples.shape, first, last)
                count += samples.size
    if contents.units is not None:
        trains = contents.units.read()
        assert len(trains) == len(contents.units.labels)
        if contents.units.counts is not None:
            assert [len(train) for train in trains] == list(contents.units.counts)
        count += sum(len(train) for train in trains)
    for events in contents.events[:8]:
        times, labels = events.read()
        assert len(times) == len(labels) == events.count
        count += events.count
    if contents.tracks is not None:
        tracks = contents.tracks
        xy, score = tracks.read(0, 5)
        assert xy.shape == (min(5, tracks.frames.size), len(tracks.animals), len(tracks.points), 2)
        assert score.shape == xy.shape[:3]
        count += xy.size
    return count
