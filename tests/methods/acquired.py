"""Files as acquisition systems and sorters write them, small and with known truth."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import h5py
import numpy as np
import scipy.io

RATE = 30_000.0
TRUTH = np.random.default_rng(5).integers(-2000, 2000, (3000, 4)).astype("<i2")
SPIKES = np.array([300, 900, 1500, 2100, 2700])
CLUSTERS = np.array([2, 7, 2, 9, 7])


def spikeglx(folder: Path) -> Path:
    """Four channels of a Neuropixels 1.0 with a gain of 500, and the synchronisation: 2.34375 uV per step."""
    words = np.zeros((len(TRUTH), 1), "<i2")
    words[1000:2000] = 64
    path = folder / "run_g0_t0.imec0.ap.bin"
    path.write_bytes(np.hstack([TRUTH, words]).tobytes())
    table = "".join(f"({n} 0 0 500 250 1)" for n in range(4))
    path.with_suffix(".meta").write_text(
        f"acqApLfSy=4,4,1\nappVersion=20230815\nfileCreateTime=2026-03-02T12:00:00\nfileSizeBytes={len(TRUTH) * 10}\n"
        f"fileTimeSecs={len(TRUTH) / RATE}\nimAiRangeMax=0.6\nimAiRangeMin=-0.6\nimDatPrb_type=0\nimSampRate=30000\n"
        "nSavedChans=5\nsnsApLfSy=4,0,1\nsnsSaveChanSubset=0:3,8\ntypeThis=imec\n"
        f"~imroTbl=(0,4){table}\n"
    )
    return path


def openephys(folder: Path) -> Path:
    """A stream of four channels with 0.195 uV per step that starts at sample 600, and two pulses."""
    place = folder / "recording1"
    stream, ttl = place / "continuous/Acq-100.Data", place / "events/Acq-100.Data/TTL"
    stream.mkdir(parents=True)
    ttl.mkdir(parents=True)
    (stream / "continuous.dat").write_bytes(TRUTH.tobytes())
    np.save(stream / "sample_numbers.npy", np.arange(600, 600 + len(TRUTH)))
    np.save(ttl / "states.npy", np.array([1, -1, 1, -1], np.int16))
    np.save(ttl / "sample_numbers.npy", np.array([900, 960, 1500, 1560]))
    channels = [{"channel_name": f"CH{n}", "bit_volts": 0.195, "units": "uV"} for n in range(4)]
    about = {
        "GUI version": "0.6.7",
        "continuous": [
            {"folder_name": "Acq-100.Data/", "sample_rate": RATE, "stream_name": "Data", "num_channels": 4,
             "channels": channels}
        ],
        "events": [{"folder_name": "Acq-100.Data/TTL/", "channel_name": "TTL", "sample_rate": RATE}],
    }  # fmt: skip
    (place / "structure.oebin").write_text(json.dumps(about))
    return place / "structure.oebin"


def _qstring(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return struct.pack("<I", len(data)) + data


def intan(folder: Path) -> Path:
    """A .rhd of version 1.2: blocks of 60 samples, 0.195 uV per step around 32,768, which stands for nothing."""
    head = struct.pack("<Ihhf", 0xC6912702, 1, 2, RATE) + struct.pack("<h6f", 1, *([1.0] * 6))
    head += struct.pack("<hff", 0, 1000.0, 1000.0) + _qstring("") * 3 + struct.pack("<h", 0)
    head += struct.pack("<h", 1) + _qstring("Port A") + _qstring("A") + struct.pack("<hhh", 1, 4, 4)
    for n in range(4):
        head += _qstring(f"A-{n:03}") * 2 + struct.pack("<hhhhhh", n, n, 0, 1, n, 0)
        head += struct.pack("<hhhhff", 0, 0, 0, 0, 0.0, 0.0)
    path = folder / "day.rhd"
    blocks = b""
    for first in range(0, len(TRUTH), 60):
        piece = (TRUTH[first : first + 60].astype(np.int32) + 32768).astype("<u2")
        blocks += np.arange(first, first + 60, dtype="<i4").tobytes() + piece.T.tobytes()
    path.write_bytes(head + blocks)
    return path


def blackrock(folder: Path) -> Path:
    """A .ns5 of version 2.3 with 0.25 uV per step."""
    size = 314 + 66 * 4
    head = b"NEURALCD" + struct.pack("<BBI", 2, 3, size) + b"30 kS/s".ljust(16, b"\0") + b"\0" * 256
    head += struct.pack("<II8HI", 1, 30_000, 2026, 3, 1, 2, 12, 0, 0, 0, 4)
    for n in range(4):
        head += b"CC" + struct.pack("<H", n + 1) + f"chan{n + 1}".encode().ljust(16, b"\0")
        head += struct.pack("<BBhhhh", 1, n, -32764, 32764, -8191, 8191) + b"uV".ljust(16, b"\0")
        head += struct.pack("<IIHIIH", 0, 0, 0, 7500, 3, 1)
    path = folder / "day.ns5"
    path.write_bytes(head + struct.pack("<BII", 1, 0, len(TRUTH)) + TRUTH.tobytes())
    return path


def axona(folder: Path) -> Path:
    """One tetrode at 48 kHz: a packet of 432 bytes for three samples of 64 places, of which four are in use."""
    path = folder / "day.set"
    gains = "".join(f"gain_ch_{n} 1000\n" for n in range(64))
    masks = "".join(f"collectMask_{n} {int(n == 1)}\n" for n in range(1, 17))
    path.write_text(
        "trial_date Monday, 2 Mar 2026\ntrial_time 12:00:00\nrawRate 48000\nADC_fullscale_mv 1500\n"
        f"duration 1\npretrigSamps 10\n{masks}{gains}data_start"
    )
    packets = np.zeros((1000, 216), "<i2")
    packets.view("u1")[:, :4] = np.frombuffer(b"ADU1", "u1")
    for sample in range(3):
        packets[:, 16 + 64 * sample + 32 : 16 + 64 * sample + 36] = TRUTH[sample::3]
    path.with_suffix(".bin").write_bytes(packets.tobytes())
    return path


def plexon(folder: Path) -> Path:
    """A .plx of version 106: a slow channel at 1 kHz in blocks of 100 samples, and the spikes of two units."""
    from neo.rawio import plexonrawio as layout

    head = np.zeros(1, layout.GlobalHeader)
    for name, value in {
        "MagicNumber": 0x58454C50, "Version": 106, "ADFrequency": 30_000, "NumDSPChannels": 1, "NumEventChannels": 1,
        "NumSlowChannels": 1, "NumPointsWave": 32, "Year": 2026, "Month": 3, "Day": 2, "Hour": 12,
        "WaveformFreq": 30_000, "LastTimestamp": 30_000.0, "Trodalness": 1, "DataTrodalness": 1,
        "BitsPerSpikeSample": 12, "BitsPerSlowSample": 12, "SpikeMaxMagnitudeMV": 3000, "SlowMaxMagnitudeMV": 5000,
        "SpikePreAmpGain": 1000,
    }.items():  # fmt: skip
        head[name] = value
    dsp = np.zeros(1, layout.DspChannelHeader)
    dsp["Name"], dsp["Channel"], dsp["Gain"], dsp["NUnits"] = b"sig001", 1, 1, 2
    event = np.zeros(1, layout.EventChannelHeader)
    event["Name"], event["Channel"] = b"Event001", 1
    slow = np.zeros(1, layout.SlowChannelHeader)
    slow["Name"], slow["ADFreq"], slow["Gain"], slow["Enabled"], slow["PreampGain"] = b"FP01", 1000, 1, 1, 1000
    blocks = b""
    for n, first in enumerate(range(0, 1000, 100)):
        words = TRUTH[first : first + 100, 0]
        blocks += struct.pack("<HHIHHHH", 5, 0, n * 3000, 0, 0, 1, 100) + words.tobytes()
    blocks += struct.pack("<HHIHHHH", 4, 0, 1500, 1, 0, 0, 0)
    for time, unit in ((600, 1), (1200, 2), (1800, 1)):
        blocks += struct.pack("<HHIHHHH", 1, 0, time, 1, unit, 1, 32) + b"\0" * 64
    path = folder / "day.plx"
    path.write_bytes(head.tobytes() + dsp.tobytes() + event.tobytes() + slow.tobytes() + blocks)
    return path


def phy(folder: Path) -> Path:
    """Three clusters, of which one is labelled noise; ``params.py`` also says what only Python could work out."""
    place = folder / "sorted"
    place.mkdir()
    np.save(place / "spike_times.npy", SPIKES[:, None])
    np.save(place / "spike_clusters.npy", CLUSTERS)
    (place / "params.py").write_text("dat_path = r'x.bin'\nsample_rate = 30000.\nhome = __import__('os').getcwd()\n")
    (place / "cluster_group.tsv").write_text("cluster_id\tgroup\n2\tgood\n7\tmua\n9\tnoise\n")
    return place / "params.py"


def statmatrix(folder: Path) -> Path:
    """Four seconds at 1 kHz: raw and theta LFP, theta's phase, and two units."""
    time = np.arange(4000) / 1000
    wave = np.sin(2 * np.pi * 8 * time)
    units = np.zeros((4000, 2))
    units[[100, 1100, 2100], 0] = 1
    units[[500, 600], 1] = 1
    names = ["TimeBin", "T3_LFP_Raw", "T3_LFP_Theta", "T3_LFP_Theta_HilbVals", "T3-U1", "T3-U2"]
    table = np.column_stack([time, wave * 2, wave, np.angle(np.exp(1j * (2 * np.pi * 8 * time - np.pi / 2))), units])
    path = folder / "rat_T3.mat"
    scipy.io.savemat(path, {"statMatrix": table, "statMatrixColIDs": np.array(names, object)})
    return path


def behavmatrix(folder: Path) -> Path:
    """Two trials: odour 1 in position 1 in sequence, odour 4 in position 2 out of sequence."""
    names = ["TimeBin", "Odor1", "Odor4", "Position1", "Position2", "InSeqLog", "PerformanceLog", "PokeEvents"]
    table = np.zeros((3000, len(names)))
    table[:, 0] = np.arange(3000) / 1000 + 10
    table[500, [1, 3, 5, 6]] = 1
    table[1500, [2, 4]], table[1500, 5], table[1500, 6] = 1, -1, 1
    table[[400, 1400], 7], table[[1000, 2000], 7] = 1, -1
    path = folder / "rat_behavior.mat"
    scipy.io.savemat(path, {"behavMatrix": table, "behavMatrixColIDs": np.array(names, object)})
    return path


def odour_triple(folder: Path) -> Path:
    """Six trials of eight units in 50 bins, and LFP of two tetrodes."""
    rng = np.random.default_rng(3)
    info = np.zeros((6, 5))
    info[:, 0], info[:, 1], info[:, 3] = [1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 1, 1], [1, 2, 3, 5, 5, 1]
    np.save(folder / "rat_trial_info.npy", info)
    np.save(folder / "rat_spike_data_binned.npy", rng.poisson(0.3, (6, 8, 50)).astype(float))
    np.save(folder / "rat_lfp_data_sampled.npy", rng.normal(size=(6, 500, 2)))
    return folder / "rat_trial_info.npy"


POINTS = np.random.default_rng(4).uniform(0, 640, (50, 2, 2))


def deeplabcut_h5(folder: Path) -> Path:
    """Two points over 50 frames, as pandas writes a table; the columns are named in a pickle."""
    names = [("net", point, word) for point in ("nose", "tail") for word in ("x", "y", "likelihood")]
    values = np.concatenate([POINTS, np.full((50, 2, 1), 0.9)], axis=2).reshape(50, 6)
    table = np.zeros(50, [("index", "<i8"), ("values_block_0", "<f8", (6,))])
    table["index"], table["values_block_0"] = np.arange(50), values
    path = folder / "tracks.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("df_with_missing/table", data=table)
        made.attrs["values_block_0_kind"] = np.void(pickle.dumps(names, protocol=4))
    return path


def sleap_analysis(folder: Path) -> Path:
    """One animal of two points over 50 frames."""
    path = folder / "tracks.analysis.h5"
    with h5py.File(path, "w") as file:
        file["tracks"] = POINTS.transpose(2, 1, 0)[None]
        file["track_names"] = np.array([b"mouse"])
        file["node_names"] = np.array([b"nose", b"tail"])
    return path


def matlab_table(folder: Path) -> Path:
    """A table of numbers and nothing else."""
    path = folder / "lfp.mat"
    scipy.io.savemat(path, {"lfp": TRUTH.astype(float)})
    return path


def raw(folder: Path) -> Path:
    """Raw samples with a description beside them."""
    path = folder / "raw.dat"
    path.write_bytes(TRUTH.tobytes())
    path.with_suffix(".toml").write_text('channels = 4\nrate = 30000.0\ndtype = "int16"\ngain_to_uV = 0.5\n')
    return path
