"""What can be taken home of a recording: the times of its frames, and a piece of it as it was recorded."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.http import StreamingHttpResponse

from cameras import cutting, frametable, queries, timing
from cameras.models import CameraRecording
from sessions.errors import Invalid, NotFound

ROWS_AT_ONCE = 2000


class PiecesResponse(StreamingHttpResponse):
    """Streams pieces as they are made; an event loop has each piece made in a thread."""

    def __init__(self, pieces: Iterator[bytes], *, name: str, content_type: str) -> None:
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__(pieces, content_type=content_type, headers=disposition)
        self._made = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await asyncio.to_thread(next, self._made, None)) is not None:
            yield piece


def folder_of(recording: CameraRecording) -> Path:
    """Return where the recording's files lie."""
    return Path(settings.LAB_DATA_ROOT) / recording.folder


def records_of(recording: CameraRecording) -> np.ndarray:
    """Return the frame table in the order of capture; ``NotFound`` when it cannot be read or has no frame."""
    try:
        records = frametable.read(folder_of(recording)).in_order()
    except (OSError, frametable.TableError) as error:
        raise NotFound("The frame table of this recording cannot be read.") from error
    if not len(records):
        raise NotFound("No frame of this recording is stored.")
    return records


def times_of(recording: CameraRecording) -> timing.FrameTimes:
    """Return the times of the stored frames; ``NotFound`` when they cannot be read or there is none."""
    try:
        times = timing.read_times(folder_of(recording))
    except (OSError, frametable.TableError) as error:
        raise NotFound("The frame table of this recording cannot be read.") from error
    if not len(times.sequence):
        raise NotFound("No frame of this recording is stored.")
    return times


def csv_response(recording: CameraRecording) -> PiecesResponse:
    """Return the frame table as CSV: one line for each frame."""
    pieces = _csv(records_of(recording))
    return PiecesResponse(pieces, name=f"{_stem(recording)}-frames.csv", content_type="text/csv; charset=utf-8")


def npy_response(recording: CameraRecording) -> PiecesResponse:
    """Return the times of all frames as an NPY file: a structured array of ``timing.NPY_DTYPE``."""
    pieces = _npy(records_of(recording))
    return PiecesResponse(pieces, name=f"{_stem(recording)}-frames.npy", content_type="application/octet-stream")


def cut_response(recording: CameraRecording, start: str | None, stop: str | None) -> PiecesResponse:
    """Return the original pictures from ``start`` to ``stop`` (s since the first frame, as text), with their table.

    ``Invalid`` for what is no time, or a piece without a frame.
    """
    first, last = queries.seconds("from", start, 0.0), queries.seconds("to", stop, math.inf)
    records = records_of(recording)
    chosen = cutting.select(records, first, last)
    if first > last or not len(chosen):
        length = (int(records["captured_ns"].max()) - int(records["captured_ns"][0])) / 1e9
        sentence = f"There is no frame from {first:g} s to {last:g} s; the recording has 0 to {length:.3f} s."
        raise Invalid(sentence, {"to" if first > last else "from": [sentence]})
    wanted, chosen = chosen, cutting.with_key_frames(records, chosen)
    about = {
        "camera": recording.camera.slug,
        "camera_recording": str(recording.pk),
        "session": str(recording.session_id),
        "recording_starts_ns": int(records["captured_ns"][0]),
        "from_seconds": first,
        "to_seconds": None if math.isinf(last) else last,
        "frames": len(chosen),
        "frames_only_to_decode": len(chosen) - len(wanted),
        "first_sequence": int(wanted["sequence"][0]),
        "last_sequence": int(chosen["sequence"][-1]),
    }
    name = f"{_stem(recording)}-cut-{about['first_sequence']}-{about['last_sequence']}"
    pieces = cutting.cut(folder_of(recording), recording.pk, chosen, name=name, about=about)
    return PiecesResponse(pieces, name=f"{name}.zip", content_type="application/zip")


def _stem(recording: CameraRecording) -> str:
    return f"{recording.camera.slug}-{recording.started:%Y%m%d-%H%M%S}"


def _csv(records: np.ndarray) -> Iterator[bytes]:
    for start in range(0, len(records), ROWS_AT_ONCE):
        text = io.StringIO()
        frametable.write_csv(records[start : start + ROWS_AT_ONCE], text, header=start == 0)
        yield text.getvalue().encode()


def _npy(records: np.ndarray) -> Iterator[bytes]:
    head = io.BytesIO()
    about: dict[str, Any] = {
        "descr": np.lib.format.dtype_to_descr(timing.NPY_DTYPE), "fortran_order": False, "shape": (len(records),),
    }  # fmt: skip
    np.lib.format.write_array_header_1_0(head, about)
    yield head.getvalue()
    for start in range(0, len(records), ROWS_AT_ONCE):
        yield timing.npy_rows(records[start : start + ROWS_AT_ONCE]).tobytes()
