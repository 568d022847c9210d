"""One way through a raw recording, timed in a process of its own so that its memory can be told from the others'.

``python -m benchmarks._voltage_run`` reads one JSON plan from standard input: ``what`` (a key of ``WAYS``), ``path``,
``rate``, ``channels``, ``seconds``, ``workers``; it prints a line when it begins, and the wall and CPU seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

GAIN = 0.195
LFP_RATE = 1000.0
LOW, HIGH = 300.0, 6000.0
# Compilers and caches are warm after so long a piece.
WARM_SECONDS = 2


def positions(channels: int) -> np.ndarray:
    """Contacts of a probe in two columns, 20 um apart, ``(channels, 2)``."""
    return np.stack([np.arange(channels) % 2 * 20.0, np.arange(channels) // 2 * 20.0], axis=1)


def labsite(plan: dict[str, Any], *, lfp: bool, peaks: bool) -> int:
    """The one pass of ``ephys.lfp`` and ``ephys.spikes``; returns how many peaks and LFP samples it made."""
    from analysis.methods import voltage
    from analysis.methods.lfp import Decimator, decimation_factor
    from analysis.methods.spike_band import band_pass
    from analysis.pipelines.base import InputFile, InputRecording
    from analysis.readers import open_signal

    rate, channels = plan["rate"], plan["channels"]
    path = Path(plan["path"])
    described = {"channels": channels, "rate": rate, "dtype": "int16", "gain_to_uV": GAIN}
    files = (InputFile(path, path.stat().st_size),)
    signal = open_signal(InputRecording("benchmark", "ephys", "raw-binary", files, described))
    n_samples = int(plan["seconds"] * rate)
    how = None
    if peaks:
        band, good = band_pass(rate, LOW, HIGH), np.ones(channels, bool)
        noise = voltage.measure_noise(signal.read, n_samples, channels, rate, band=band, good=good)
        how = voltage.detection(noise, good, rate, band, positions=positions(channels))
    decimator = Decimator(decimation_factor(rate, LFP_RATE)) if lfp else None
    made = 0
    for chunk in voltage.scan(
        signal.read, n_samples, channels, rate, decimator=decimator, peaks=how, workers=plan["workers"]
    ):
        made += len(chunk.peaks.samples) if chunk.peaks else 0
        made += len(chunk.lfp) if chunk.lfp is not None else 0
    return made


def scipy_lfp(plan: dict[str, Any]) -> int:
    """What a script does: ``scipy.signal.resample_poly`` on a second at a time, in one process."""
    from scipy.signal import resample_poly

    rate, channels = int(plan["rate"]), plan["channels"]
    raw = np.memmap(plan["path"], np.int16, "r").reshape(-1, channels)[: int(plan["seconds"] * rate)]
    made = 0
    for start in range(0, len(raw), rate):
        piece = raw[start : start + rate].astype(np.float32) * np.float32(GAIN)
        made += len(resample_poly(piece, 1, rate // int(LFP_RATE), axis=0))
    return made


def _spikeinterface(plan: dict[str, Any]) -> Any:
    import spikeinterface.full as si
    from probeinterface import Probe

    recording = si.read_binary(
        plan["path"],
        sampling_frequency=plan["rate"],
        dtype="int16",
        num_channels=plan["channels"],
        gain_to_uV=GAIN,
        offset_to_uV=0.0,
    ).frame_slice(0, int(plan["seconds"] * plan["rate"]))
    probe = Probe(ndim=2, si_units="um")
    probe.set_contacts(positions(plan["channels"]), shapes="circle", shape_params={"radius": 5})
    probe.set_device_channel_indices(np.arange(plan["channels"]))
    return recording.set_probe(probe) or recording


def spikeinterface_lfp(plan: dict[str, Any]) -> int:
    """SpikeInterface: band pass, then resample, chunk after chunk in two worker processes."""
    import spikeinterface.full as si

    filtered = si.bandpass_filter(
        _spikeinterface(plan), freq_min=1.0, freq_max=400.0, dtype="float32", ignore_low_freq_error=True
    )
    recording = si.resample(filtered, int(LFP_RATE))
    kept = recording.save(
        format="memory", n_jobs=plan["workers"], chunk_duration="1s", progress_bar=False, verbose=False
    )
    return int(kept.get_num_samples())


def spikeinterface_peaks(plan: dict[str, Any]) -> int:
    """SpikeInterface: band pass, common median reference, locally exclusive peaks, in two worker processes."""
    import spikeinterface.full as si
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks

    filtered = si.bandpass_filter(_spikeinterface(plan), freq_min=LOW, freq_max=HIGH, dtype="float32")
    referenced = si.common_reference(filtered, reference="global", operator="median")
    found = detect_peaks(
        referenced,
        method="locally_exclusive",
        method_kwargs={"peak_sign": "neg", "detect_threshold": 5.0, "exclude_sweep_ms": 0.1, "radius_um": 50.0},
        job_kwargs={"n_jobs": plan["workers"], "chunk_duration": "1s", "progress_bar": False},
    )
    return len(found)


WAYS: dict[str, Callable[[dict[str, Any]], int]] = {
    "lfp": lambda plan: labsite(plan, lfp=True, peaks=False),
    "peaks": lambda plan: labsite(plan, lfp=False, peaks=True),
    "both": lambda plan: labsite(plan, lfp=True, peaks=True),
    "scipy lfp": scipy_lfp,
    "SpikeInterface lfp": spikeinterface_lfp,
    "SpikeInterface peaks": spikeinterface_peaks,
}


def _cpu() -> float:
    """CPU seconds of this process, and of its children that have ended."""
    times = psutil.Process().cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Do what the plan says, once on a short piece to warm up and once against the clock."""
    plan = json.loads(sys.stdin.readline())
    way = WAYS[plan["what"]]
    way({**plan, "seconds": min(WARM_SECONDS, plan["seconds"])})
    print("begin", flush=True)
    began, used = time.perf_counter(), _cpu()
    made = way(plan)
    took = time.perf_counter() - began
    print(json.dumps({"wall": took, "cpu": _cpu() - used, "made": made}), flush=True)


if __name__ == "__main__":
    main()
