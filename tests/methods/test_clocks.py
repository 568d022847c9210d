"""Times of one recording on the clock of another: by starts, and by the fit that the catalog has of a clock."""

import numpy as np
import pytest

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.pipelines.clocks import on_clock_of

TIMES = np.array([0.0, 100.0, 1000.0])
NOON, LATER = "2026-03-01T12:00:00+00:00", "2026-03-01T12:00:30+00:00"


def recording(number: str, kind: str, start: str | None = None, **parameters) -> InputRecording:
    return InputRecording(number, kind, "csv", (), parameters, start=start)


def fit(reference: InputRecording, offset: float, drift: float, origin: float = 0.0) -> dict:
    return {
        "offset": offset, "drift": drift, "origin": origin, "reference": reference.id,
        "reference_start": reference.start, "reference_clock": reference.parameters.get("clock"),
    }  # fmt: skip


def test_a_fit_puts_times_on_its_references_clock_and_back():
    camera = recording("c", "position")
    probe = recording("p", "units", clock_fit=fit(camera, 2.5, 50e-6, 10.0))
    # 2.5 s at 10 s, and 50 microseconds more with every second.
    expected = TIMES + 2.5 + 50e-6 * (TIMES - 10)
    assert on_clock_of(camera, probe, TIMES, "auto") == pytest.approx(expected, abs=1e-12)
    assert on_clock_of(probe, camera, expected, "auto") == pytest.approx(TIMES, abs=1e-9)


def test_two_fits_to_one_reference_need_no_word_on_clocks():
    reference = recording("r", "events", clock="recording")
    one = recording("a", "units", clock_fit=fit(reference, 4.0, 10e-6))
    other = recording("b", "position", clock_fit=fit(reference, -3.0, -20e-6))
    common = TIMES + 4 + 10e-6 * TIMES
    # On the other clock lies t with t - 3 - 20e-6 t = common.
    assert on_clock_of(other, one, TIMES, "auto") == pytest.approx((common + 3) / (1 - 20e-6), abs=1e-9)


def test_what_the_reference_says_of_its_times_is_gone_by_after_the_fit():
    reference = recording("r", "events", LATER, clock="recording")
    moved = recording("a", "units", clock_fit=fit(reference, 1.0, 0.0))
    kept = recording("k", "position", NOON, clock="recording")
    assert on_clock_of(kept, moved, TIMES, "auto") == pytest.approx(TIMES + 31)
    with pytest.raises(PipelineError, match="does not say from when"):
        on_clock_of(recording("k", "position", NOON), moved, TIMES, "auto")


def test_times_and_starts_take_times_as_they_are_written():
    camera = recording("c", "position", NOON)
    probe = recording("p", "units", LATER, clock_fit=fit(camera, 2.5, 50e-6))
    assert on_clock_of(camera, probe, TIMES, "times") == pytest.approx(TIMES)
    assert on_clock_of(camera, probe, TIMES, "starts") == pytest.approx(TIMES + 30)
