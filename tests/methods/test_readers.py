"""Every format is read as written, and every wrong, cut-off or empty file is one sentence."""

from __future__ import annotations

import os
import pickle
import uuid
import zlib
from datetime import UTC, datetime

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from analysis.pipelines.base import PipelineError
from analysis.readers import open_signal, open_video, read_position, read_spikes
from cameras import frametable
from sessions import headers
from sessions.headers import HeaderError
from tests.methods.running import recording

TIMES = np.array([0.5, 1.25, 2.0, 2.5, 7.75])
UNITS = np.array([3, 7, 3, 7, 3])


def written(path, data: bytes):
    path.write_bytes(data)
    return path


def matclust(path, *, scale=1.0):
    """Cells of tetrodes of cells of units, as MatClust saves them, with empty ones in between."""
    units = np.empty((1, 3), object)
    units[0, 0] = {"time": TIMES[UNITS == 3][:, None] * scale, "meanrate": 1.0}
    units[0, 1] = np.zeros((0, 0))
    units[0, 2] = {"time": TIMES[UNITS == 7][:, None] * scale, "meanrate": 1.0}
    tetrodes = np.empty((1, 2), object)
    tetrodes[0, 0], tetrodes[0, 1] = np.zeros((0, 0)), units
    scipy.io.savemat(path, {"spikes": tetrodes})
    return path


def trodes(path, rows, *, clockrate=30_000, scale="0"):
    dtype = [("time", "<u4"), ("xloc", "<u2"), ("yloc", "<u2"), ("xloc2", "<u2"), ("yloc2", "<u2")]
    head = (
        f"<Start settings>\nthreshold: 199\nclockrate: {clockrate}\ncamera resolution: 640x480\n"
        f"pixel scale: {scale} pix/cm\n"
        "Fields: <time uint32><xloc uint16><yloc uint16><xloc2 uint16><yloc2 uint16>\n<End settings>\n"
    )
    return written(path, head.encode() + np.array(rows, dtype).tobytes())


def nwb(path):
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        units = file.create_group("units")
        units["spike_times"] = np.sort(TIMES)
        units["spike_times_index"] = np.array([2, 2, 5])
        units["id"] = np.array([10, 11, 12])
        series = file.create_group("processing/behavior/Position/led")
        series.attrs["neurodata_type"] = "SpatialSeries"
        data = series.create_dataset("data", data=np.arange(20).reshape(10, 2))
        data.attrs.update({"conversion": 0.01, "unit": "meters"})
        series["timestamps"] = np.arange(10) / 5
        voltage = file.create_group("acquisition/lfp")
        voltage.attrs["neurodata_type"] = "ElectricalSeries"
        samples = voltage.create_dataset("data", data=np.arange(300, dtype=np.int16).reshape(100, 3))
        samples.attrs.update({"conversion": 2e-6, "unit": "volts"})
        start = voltage.create_dataset("starting_time", data=4.0)
        start.attrs["rate"] = 1000.0
    return path


class Trap:
    """Leaves a trace when something unpickles it."""

    def __reduce__(self):
        return os.mkdir, (self.place,)

    def __init__(self, place):
        self.place = place


def test_matclust_units_are_read_in_order_of_time(tmp_path):
    spikes = read_spikes(recording("units", "matclust-mat", matclust(tmp_path / "a.mat")))
    assert spikes.times.tolist() == sorted(TIMES.tolist())
    assert spikes.units.tolist() == [0, 1, 0, 1, 0]
    assert spikes.labels == ("2-1", "2-3")


def test_ticks_are_asked_about_and_become_seconds(tmp_path):
    path = matclust(tmp_path / "a.mat", scale=30_000)
    with pytest.raises(PipelineError, match="clockrate"):
        read_spikes(recording("units", "matclust-mat", path))
    spikes = read_spikes(recording("units", "matclust-mat", path, clockrate=30_000))
    assert spikes.times == pytest.approx(np.sort(TIMES))


def test_our_own_units_and_tables_of_units_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", spike_times=TIMES, spike_units=UNITS)
    lines = "".join(f"{time},{unit}\n" for time, unit in zip(TIMES, UNITS, strict=True))
    (tmp_path / "a.csv").write_text("time,unit\n" + lines)
    for file_format, name in (("units-npz", "a.npz"), ("csv", "a.csv")):
        spikes = read_spikes(recording("units", file_format, tmp_path / name, time_offset=10))
        assert spikes.times.tolist() == (np.sort(TIMES) + 10).tolist()
        assert spikes.labels == ("3", "7")
        assert spikes.units.tolist() == [0, 1, 0, 1, 0]


def test_nwb_units_position_and_voltage_are_read(tmp_path):
    path = nwb(tmp_path / "a.nwb")
    spikes = read_spikes(recording("units", "nwb", path))
    assert spikes.labels == ("10", "12")
    position = read_position(recording("position", "nwb", path))
    assert position.unit == "m"
    assert position.xy[3].tolist() == pytest.approx([0.06, 0.07])
    signal = open_signal(recording("lfp", "nwb", path))
    assert (signal.n_samples, signal.n_channels, signal.rate, signal.start) == (100, 3, 1000.0, 4.0)
    assert signal.read(1, 3) == pytest.approx(np.array([[6, 8, 10], [12, 14, 16]]))


def test_trodes_positions_keep_what_was_recorded(tmp_path):
    rows = [(30_000, 10, 20, 0, 0), (30_500, 0, 0, 0, 0), (30_500, 12, 22, 0, 0)]
    position = read_position(
        recording("position", "trodes-position", trodes(tmp_path / "a.videoPositionTracking", rows))
    )
    assert position.time.tolist() == pytest.approx([1, 1 + 500 / 30_000, 1 + 500 / 30_000])
    assert np.isnan(position.xy[1]).all()
    assert position.unit == "px"
    scaled = read_position(
        recording("position", "trodes-position", trodes(tmp_path / "b.videoPositionTracking", rows, scale="2"))
    )
    assert scaled.unit == "cm"
    assert scaled.xy[0].tolist() == [5, 10]


def test_tables_of_positions_are_read_by_time_or_frame(tmp_path):
    (tmp_path / "a.csv").write_text(",frame,pos_x,pos_y\n0,1.0,5,6\n1,2.0,,\n2,4.0,7,8\n")
    position = read_position(recording("position", "csv", tmp_path / "a.csv", rate=10))
    assert position.time.tolist() == pytest.approx([0, 0.1, 0.3])
    assert np.isnan(position.xy[1]).all()
    with pytest.raises(PipelineError, match="frame rate"):
        read_position(recording("position", "csv", tmp_path / "a.csv"))
    (tmp_path / "b.csv").write_text("time;x_cm;y_cm\n0;1;2\n0.5;3;4\n")
    assert read_position(recording("position", "csv", tmp_path / "b.csv")).unit == "cm"


def test_voltage_comes_in_microvolts(tmp_path):
    samples = np.arange(-30, 30, dtype=np.int16).reshape(20, 3)
    samples.tofile(tmp_path / "a.bin")
    np.save(tmp_path / "a.npy", samples / 1000)
    np.savez(tmp_path / "a.npz", lfp=samples / 1000, rate=500.0, unit="mV")
    raw = recording("ephys", "raw-binary", tmp_path / "a.bin", rate=500, channels=3, dtype="int16", gain_to_uV=0.5)
    assert open_signal(raw).read(2, 4) == pytest.approx(samples[2:4] * 0.5)
    for source in (
        recording("lfp", "npy", tmp_path / "a.npy", rate=500, unit="mV"),
        recording("lfp", "lfp-npz", tmp_path / "a.npz"),
    ):
        signal = open_signal(source)
        assert (signal.n_samples, signal.n_channels, signal.rate) == (20, 3, 500)
        assert signal.read(0, 20) == pytest.approx(samples.astype(float), abs=1e-4)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("rate", "sampling rate"),
        ("channels", "number of channels"),
        ("dtype", "type of number"),
        ("gain_to_uV", "gain"),
    ],
)
def test_what_a_binary_file_does_not_say_is_asked_for(tmp_path, missing, words):
    np.zeros((10, 2), np.int16).tofile(tmp_path / "a.bin")
    said = {"rate": 1000, "channels": 2, "dtype": "int16", "gain_to_uV": 0.2}
    del said[missing]
    with pytest.raises(PipelineError, match=words):
        open_signal(recording("ephys", "raw-binary", tmp_path / "a.bin", **said))


def test_rate_and_unit_of_an_array_are_asked_for(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(100))
    with pytest.raises(PipelineError, match="sampling rate"):
        open_signal(recording("lfp", "npy", tmp_path / "a.npy", unit="uV"))
    with pytest.raises(PipelineError, match=r"unit \(V, mV or uV\)"):
        open_signal(recording("lfp", "npy", tmp_path / "a.npy", rate=1000))
    with pytest.raises(PipelineError, match="not one of voltage"):
        open_signal(recording("lfp", "npy", tmp_path / "a.npy", rate=1000, unit="kg"))
    with pytest.raises(PipelineError, match="above zero"):
        open_signal(recording("lfp", "npy", tmp_path / "a.npy", rate=-5, unit="uV"))


def test_nothing_is_ever_unpickled(tmp_path):
    trace = tmp_path / "opened"
    bomb = pickle.dumps(Trap(str(trace)))
    np.save(tmp_path / "object.npy", np.array([Trap(str(trace))], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "object.npz", spike_times=np.array([Trap(str(trace))], dtype=object), spike_units=UNITS)
    for file_format, name in (("npy", "object.npy"), ("npy", "bomb.npy"), ("lfp-npz", "bomb.npy")):
        (tmp_path / "bomb.npy").write_bytes(bomb)
        with pytest.raises(PipelineError, match="sound"):
            open_signal(recording("lfp", file_format, tmp_path / name, rate=1000, unit="uV"))
    for file_format, name in (("units-npz", "object.npz"), ("units-npz", "bomb.npy"), ("matclust-mat", "bomb.npy")):
        with pytest.raises(PipelineError, match="sound"):
            read_spikes(recording("units", file_format, tmp_path / name))
    assert not trace.exists()


READERS = {
    "matclust-mat": (read_spikes, "units", matclust),
    "nwb": (read_spikes, "units", nwb),
    "trodes-position": (read_position, "position", lambda path: trodes(path, [(k, 1, 2, 3, 4) for k in range(99)])),
    "npy": (open_signal, "lfp", lambda path: np.save(path, np.zeros(5000))),
    "units-npz": (read_spikes, "units", lambda path: np.savez(path, spike_times=TIMES, spike_units=UNITS)),
    "position-npz": (read_position, "position", lambda path: np.savez(path, time=TIMES, x=TIMES, y=TIMES)),
    "lfp-npz": (open_signal, "lfp", lambda path: np.savez(path, lfp=np.zeros(500), rate=1000, unit="uV")),
}
ENDINGS = {"npy": ".npy", "units-npz": ".npz", "position-npz": ".npz", "lfp-npz": ".npz"}


@pytest.mark.parametrize("file_format", READERS)
@pytest.mark.parametrize("harm", ["empty", "text", "cut", "noise", "absent"])
def test_damaged_files_are_one_sentence(tmp_path, file_format, harm):
    read, kind, make = READERS[file_format]
    path = tmp_path / f"recording{ENDINGS.get(file_format, '.dat')}"
    make(path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    if harm == "absent":
        path.unlink()
    else:
        path.write_bytes(
            {
                "empty": b"",
                "text": b"these are notes, not data\n" * 50,
                "cut": data[: len(data) * 2 // 3 - 1],
                "noise": rng.integers(0, 256, 5000, dtype=np.uint8).tobytes(),
            }[harm]
        )
    with pytest.raises(PipelineError) as raised:
        read(recording(kind, file_format, path, rate=1000, unit="uV" if kind == "lfp" else None))
    sentence = str(raised.value)
    assert path.name in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,x,y\n", "no row"),
        ("time,x\n1,2\n", "needs the columns"),
        ("time,x,y\n1,2\n", "Row 2"),
        ("time,x,y\n1,2,3\n2,five,4\n", "'five' in row 3"),
    ],
)
def test_bad_tables_name_the_row(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(PipelineError, match=words):
        read_position(recording("position", "csv", tmp_path / "a.csv"))


def test_other_mistakes_are_told(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 900)))
    with pytest.raises(PipelineError, match="axes are exchanged"):
        open_signal(recording("lfp", "npy", tmp_path / "a.npy", rate=1000, unit="uV"))
    np.zeros(7, np.int16).tofile(tmp_path / "a.bin")
    with pytest.raises(PipelineError, match="do not divide"):
        open_signal(
            recording("ephys", "raw-binary", tmp_path / "a.bin", rate=1e3, channels=2, dtype="int16", gain_to_uV=1)
        )
    with pytest.raises(PipelineError, match="holds no units"):
        read_spikes(recording("units", "npy", tmp_path / "a.npy"))
    with pytest.raises(PipelineError, match="one data file, not 2"):
        read_spikes(recording("units", "nwb", tmp_path / "a.npy", tmp_path / "a.bin"))


def film(path, frames, *, codec="mpeg4", rate=25, **options):
    import av

    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = frames[0].shape[1], frames[0].shape[0]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return path


def pictures(n=60):
    rows, columns = np.mgrid[:96, :128]
    return [np.where((columns - 20 - k) ** 2 + (rows - 48) ** 2 < 80, 30, 180).astype(np.uint8) for k in range(n)]


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "mpeg4"), ("avi", "mjpeg"), ("mkv", "mpeg4")])
def test_video_gives_grey_frames_with_their_times(tmp_path, ending, codec):
    video = open_video(recording("video", "video", film(tmp_path / f"a.{ending}", pictures(), codec=codec)))
    frames = list(video.frames())
    assert (video.width, video.height, len(frames)) == (128, 96, 60)
    assert [time for time, _ in frames] == pytest.approx(np.arange(60) / 25, abs=2e-3)
    assert np.abs(frames[40][1].astype(int) - pictures()[40]).mean() < 12
    sample = video.sample(10)
    assert 8 <= len(sample) <= 20
    assert len({frame.tobytes() for frame in sample}) == len(sample)


def test_a_bare_stream_needs_its_rate(tmp_path):
    data = b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in pictures(12))
    path = written(tmp_path / "a.mjpeg", data)
    with pytest.raises(PipelineError, match="frame rate"):
        open_video(recording("video", "video", path))
    video = open_video(recording("video", "video", path, rate=50.0))
    assert [time for time, _ in video.frames()] == pytest.approx(np.arange(12) / 50)
    assert len(video.sample(5)) >= 5


@pytest.mark.parametrize("harm", ["empty", "text", "cut", "sound only"])
def test_damaged_video_is_one_sentence(tmp_path, harm):
    path = film(tmp_path / "a.mp4", pictures())
    data = path.read_bytes()
    if harm == "sound only":
        import av

        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    else:
        path.write_bytes({"empty": b"", "text": b"no video\n" * 200, "cut": data[: len(data) // 2]}[harm])
    with pytest.raises(PipelineError, match=r"a\.mp4"):
        list(open_video(recording("video", "video", path)).frames())


def test_the_rest_of_a_cut_video_is_not_made_up(tmp_path):
    """One whose index stands at its front still speaks of all pictures."""
    path = film(tmp_path / "a.mp4", pictures(75), movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(HeaderError, match="cut: it has"):
        headers.video(path, {})
    video = open_video(recording("video", "video", path))
    with pytest.raises(PipelineError, match=r"cut or damaged|damaged after frame"):
        video.sample(10)


def segments(folder, *, damaged=()):
    """A camera's recording: two segments of JPEG pictures and their frame table; one sequence number was lost."""
    start = 1_700_000_000 * 10**9
    offsets, table = {1: 0, 2: 0}, b""
    for k, frame in enumerate(pictures(30)):
        if k == 13:
            continue
        segment = 1 if k < 20 else 2
        data = cv2.imencode(".jpg", frame)[1].tobytes()
        crc = zlib.crc32(data)
        with (folder / frametable.segment_name(segment)).open("ab") as out:
            out.write(b"\0" * len(data) if k in damaged else data)
        captured = start + 500_000_000 + k * 40_000_000
        record = frametable.FrameRecord(k, captured, captured, offsets[segment], len(data), crc, segment, 128, 96, 1, 0)
        offsets[segment] += len(data)
        table += record.pack()
    written(folder / "frames.labt", frametable.file_header(uuid.uuid4(), start) + table)
    names = ("segment-0001.mjpeg", "segment-0002.mjpeg", "frames.labt")
    began = datetime.fromtimestamp(1_700_000_000, UTC).isoformat()
    return recording(
        "video",
        "mjpeg-segments",
        *(folder / name for name in names),
        start=began,
        roles=("segment", "segment", "frames"),
    )


def test_a_cameras_segments_have_the_times_of_the_frame_table(tmp_path):
    video = open_video(segments(tmp_path, damaged=(7,)))
    frames = list(video.frames())
    assert (video.count, video.missing) == (29, 1)
    wanted = [0.5 + k * 0.04 for k in range(30) if k != 13]
    assert [time for time, _ in frames] == pytest.approx(wanted)
    assert [number for number, (_, frame) in enumerate(frames) if frame is None] == [7]
    assert np.abs(frames[20][1].astype(int) - pictures(30)[21]).mean() < 12


def test_a_cameras_recording_without_its_table_is_refused(tmp_path):
    whole = segments(tmp_path)
    (tmp_path / "frames.labt").write_bytes(b"LABX" + b"\0" * 200)
    with pytest.raises(PipelineError, match="frame table"):
        open_video(whole)
