"""An overview tells of every stretch exactly what the recording itself has: at every level, and packed."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from analysis.methods import overview
from analysis.methods.errors import InvalidDataError
from analysis.pipelines.base import PipelineError
from analysis.readers import traces
from analysis.readers.traces import Window
from tests.methods.running import recording, run_pipeline

GAIN = 0.195
CHANNELS = 5
RATE = 1000.0


def samples(n: int = 300_001) -> np.ndarray:
    """Steps over their whole range, with the extremes that a converter can give."""
    table = np.random.default_rng(1).integers(-3000, 3000, (n, CHANNELS), dtype=np.int16)
    table[n // 3, 1], table[-1, 2] = -32768, 32767
    return table


def raw(folder, table, **parameters):
    table.tofile(folder / "raw.bin")
    stated = {"channels": CHANNELS, "dtype": table.dtype.name, "gain_to_uV": GAIN, **parameters}
    return recording("ephys", "raw-binary", folder / "raw.bin", rate=RATE, **stated)


def described(source) -> dict:
    """A recording as the process that reads it for a page gets it."""
    files = [{"path": str(f.path), "size": f.size, "sha256": "", "role": f.role} for f in source.files]
    named = ("id", "kind", "format", "rate", "start", "label")
    return {**{name: getattr(source, name) for name in named}, "parameters": dict(source.parameters), "files": files}


def by_hand(table: np.ndarray, start: int, stop: int, width: int) -> np.ndarray:
    """Lowest and highest of each bin, one by one."""
    cuts = [table[at : min(at + width, stop)] for at in range(start, stop, width)]
    return np.array([(np.nanmin(cut, axis=0), np.nanmax(cut, axis=0)) for cut in cuts])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A recording and its overview."""
    folder = tmp_path_factory.mktemp("overview")
    table = samples()
    source = raw(folder, table, positions=[[0, 20 * n] for n in range(CHANNELS)], time_offset=2.5)
    output, heard = run_pipeline("ephys.overview", folder / "run", source)
    assert heard.progress == sorted(heard.progress)
    assert all((folder / "run" / name).is_file() for name in output.artifacts)
    return table, source, traces.Overview(folder / "run"), folder / "run"


def test_every_level_has_the_extremes_of_the_file(made):
    table, _, _, folder = made
    told = json.loads((folder / "overview.json").read_text())
    assert [level["width"] for level in told["levels"]] == [64, 256, 1024]
    for level in told["levels"]:
        found = np.load(folder / level["file"])
        assert found.dtype == np.int16
        assert np.array_equal(found, by_hand(table, 0, len(table), level["width"]))
    assert (told["samples"], told["channels"], told["rate"], told["start"]) == (len(table), CHANNELS, RATE, 2.5)
    assert told["positions"] == [[0, 20 * n] for n in range(CHANNELS)]


@pytest.mark.parametrize("width", [1, 2, 32, 64, 128, 512, 4096, 2**19])
def test_a_stretch_of_any_width_is_what_the_file_has(made, width):
    table, source, overviewed, _ = made
    start = 37 * width if 40 * width < len(table) else 0
    stop = min(start + 500 * width, len(table))
    asked = Window(start, stop, -(-stop // width) - start // width, 1, 3)
    packed = overviewed.window(asked)
    # Below the finest level only the recording itself knows; above, both know the same.
    assert (packed is None) == (width < 64)
    read = base64.b64decode(traces.window(described(source), asked))
    assert packed in (None, read)
    found = traces.unpack(read)
    assert (found.start, found.width, found.first) == (start, width, 1)
    expected = table[start:stop, None] if width == 1 else by_hand(table, start, stop, width)
    assert np.array_equal(found.columns, expected[:, :, 1:4])
    assert np.allclose(found.gain, GAIN)
    assert not found.offset.any()
    assert len(found.columns) == asked.columns


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_threads_changes_nothing(workers, monkeypatch):
    monkeypatch.setattr(overview, "_HELD_BYTES", 20_000)
    monkeypatch.setattr(overview, "_JOINED_VALUES", 1000)
    table = samples(1_100_007)
    sizes = overview.widths(len(table))
    levels = [np.zeros((-(-len(table) // width), 2, CHANNELS), np.int16) for width in sizes]
    told: list[float] = []
    overview.build(lambda a, b: table[a:b], *table.shape, levels, workers=workers, progress=told.append)
    assert sizes == (64, 256, 1024, 4096)
    for level, width in zip(levels, sizes, strict=True):
        assert np.array_equal(level, by_hand(table, 0, len(table), width))
    assert told == sorted(told)
    assert told[-1] == 1


def test_a_file_that_ends_early_is_refused():
    table = samples(1000)
    levels = [np.zeros((32, 2, CHANNELS), np.int16)]
    with pytest.raises(InvalidDataError, match="ended early, near sample 1,000 of 2,000"):
        overview.build(lambda a, b: table[a:b], 2000, CHANNELS, levels)


def test_samples_without_a_sign_and_in_microvolts_are_told_too(tmp_path):
    table = samples(5000)
    (tmp_path / "unsigned").mkdir()
    unsigned = raw(tmp_path / "unsigned", (table.astype(int) + 32768).astype(np.uint16), offset_to_uV=-32768 * GAIN)
    run_pipeline("ephys.overview", tmp_path / "unsigned" / "run", unsigned)
    found = traces.unpack(traces.Overview(tmp_path / "unsigned" / "run").window(Window(0, 5000, 50, 0, CHANNELS)))
    microvolts = found.columns * found.gain + found.offset
    assert np.allclose(microvolts, by_hand(table, 0, 5000, 128) * GAIN, atol=0.01)
    volts = (table * np.float32(GAIN)).astype(np.float32)
    volts[100, 0] = np.nan
    volts[256:640, 1] = np.nan
    np.save(tmp_path / "lfp.npy", volts)
    floats = recording("lfp", "npy", tmp_path / "lfp.npy", rate=RATE, unit="uV")
    run_pipeline("ephys.overview", tmp_path / "run", floats)
    found = traces.unpack(traces.Overview(tmp_path / "run").window(Window(0, 5000, 50, 0, CHANNELS)))
    with np.errstate(all="ignore"):
        expected = np.stack([overview.extremes(volts, 128)])[0]
    # What is no number hides nothing beside it, and a bin of nothing else is told as such.
    assert np.array_equal(np.isnan(found.columns), np.isnan(expected))
    assert np.isnan(found.columns[2:5, :, 1]).all()
    span = np.nanmax(expected, axis=(0, 1)) - np.nanmin(expected, axis=(0, 1))
    assert np.all(np.nan_to_num(np.abs(found.columns - expected)) <= span / 65534 + 1e-3)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ((300_001, 300_100, 100, 0, 4), "has the samples 0 to 300,000"),
        ((-1, 100, 100, 0, 4), "has the samples 0 to 300,000"),
        ((0, 100, 100, 5, 1), "has the channels 0 to 4"),
    ],
)
def test_what_the_recording_does_not_have_is_said(made, asked, words):
    _, source, overviewed, _ = made
    with pytest.raises(PipelineError, match=words):
        overviewed.window(Window(*asked))
    with pytest.raises(PipelineError, match=words):
        traces.window(described(source), asked)


def test_without_an_overview_so_much_is_read_at_a_time(made, monkeypatch):
    _, source, _, _ = made
    monkeypatch.setattr(traces, "MOST_READ", 100_000)
    assert traces.window(described(source), (0, 20_000, 2500, 0, 1))
    with pytest.raises(PipelineError, match=r"up to 20 s are read at a time, not 20.1 s: compute the overview"):
        traces.window(described(source), (0, 20_100, 10_000, 0, 1))


def test_an_overview_whose_files_are_gone_says_so(made, tmp_path):
    with pytest.raises(PipelineError, match="gone or damaged"):
        traces.Overview(tmp_path)
    (tmp_path / "overview.json").write_bytes((made[3] / "overview.json").read_bytes())
    with pytest.raises(PipelineError, match="gone or damaged"):
        traces.Overview(tmp_path).window(Window(0, 300_001, 500, 0, 1))
