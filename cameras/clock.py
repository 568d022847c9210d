"""The clock of an agent beside the server's: offset and drift from questions and answers over the websocket.

The server writes its time ``t1`` into a question; the agent answers with its own times of arrival ``t2`` and sending
``t3``; the answer arrives at ``t4``. As in NTP (Mills, RFC 5905) the offset is ``((t2 - t1) + (t3 - t4)) / 2`` and the
delay ``(t4 - t1) - (t3 - t2)``; half the delay bounds the offset's error. Drift is the slope of a line through the
samples whose delay was short.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# A sample every 2 s: more than half a day, then the oldest are thinned out.
MOST_SAMPLES = 24_000
# What the offset now is told from: a minute of samples; a clock of 50 ppm drifts by 3 ms in that time.
RECENT = 30
SLACK_NS = 3_000_000


class Sample(NamedTuple):
    """One question and answer, all in ns; ``offset`` is the agent's clock minus the server's."""

    server_ns: int
    offset_ns: int
    delay_ns: int


class ClockLine:
    """The samples of one recording, and the line through them."""

    def __init__(self, samples: list[Sample] | None = None) -> None:
        self.samples = samples or []

    def add(self, t1: int, t2: int, t3: int, t4: int) -> Sample | None:
        """Take one question and answer (ns); ``None`` when the times cannot be (an answer before its question)."""
        delay = (t4 - t1) - (t3 - t2)
        if t4 < t1 or t3 < t2 or delay < 0:
            return None
        sample = Sample((t1 + t4) // 2, ((t2 - t1) + (t3 - t4)) // 2, delay)
        self.samples.append(sample)
        if len(self.samples) > MOST_SAMPLES:
            self.samples = self.samples[::2]
        return sample

    def offset_now(self) -> float | None:
        """Return the offset (ms) now, known within half the shortest delay of late; ``None`` without samples.

        The line of ``estimate`` tells a recording's times best; this one follows at once when the clock is set: samples
        whose bounds exclude each other cannot be of one clock, and only those since then count.
        """
        best: Sample | None = None
        low, high = -math.inf, math.inf
        for sample in reversed(self.samples[-RECENT:]):
            low = max(low, sample.offset_ns - sample.delay_ns / 2 - SLACK_NS)
            high = min(high, sample.offset_ns + sample.delay_ns / 2 + SLACK_NS)
            if low > high:
                break
            if best is None or sample.delay_ns < best.delay_ns:
                best = sample
        return None if best is None else round(best.offset_ns / 1e6, 3)

    def estimate(self) -> dict[str, float | int | None]:
        """Return offset (ms, at the last sample), drift (ppm, ``None`` below 20 s), number and delay of the samples."""
        if not self.samples:
            return {"offset_ms": None, "drift_ppm": None, "samples": 0, "delay_ms": None}
        values = np.array(self.samples[:], dtype=np.int64)
        short = values[values[:, 2] <= np.quantile(values[:, 2], 0.5)]
        seconds = (short[:, 0] - short[0, 0]) / 1e9
        offsets = short[:, 1] / 1e6
        drift = None
        offset = float(np.median(offsets[-15:]))
        if len(short) >= 5 and seconds[-1] >= 20:
            slope, start = np.polyfit(seconds, offsets, 1)
            drift = float(slope * 1e3)
            offset = float(start + slope * seconds[-1])
        return {
            "offset_ms": round(offset, 4),
            "drift_ppm": None if drift is None else round(drift, 3),
            "samples": len(values),
            "delay_ms": round(float(np.median(values[:, 2])) / 1e6, 4),
        }

    def save(self, path: Path, **more: Any) -> None:
        """Write the JSON beside the frames, in one step."""
        content = {
            "about": "offset = agent's clock minus server's clock; samples are [server_ns, offset_ns, delay_ns]",
            **self.estimate(),
            **more,
            "clock_samples": [list(sample) for sample in self.samples[:]],
        }
        new = path.with_suffix(".new")
        with new.open("w") as out:
            json.dump(content, out)
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> ClockLine:
        """Read what ``save`` wrote; empty when there is none, or it is damaged."""
        try:
            content = json.loads(path.read_text())
            return cls([Sample(*map(int, sample)) for sample in content["clock_samples"]])
        except (OSError, ValueError, TypeError, KeyError):
            return cls()
