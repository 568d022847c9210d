"""The end of a recording: its files go into the catalog, with what is known of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cameras import frametable
from cameras.models import CameraRecording, ProxyState, RecordingState
from cameras.services.proxies import send_proxy
from cameras.wake import wake_ingest
from cameras.wire import CODECS
from sessions.errors import Conflict, Invalid
from sessions.live import tell
from sessions.models import DataFile, Recording
from sessions.permissions import LABORATORY
from sessions.services import complete_recording, register_file_revision
from sessions.services.transaction import one_write


def finish_recording(
    *,
    recording_id: UUID,
    first: int | None = None,
    last: int | None = None,
    clock: dict[str, Any] | None = None,
    dropped: int | None = None,
    message: str = "",
) -> CameraRecording:
    """Put a stopped recording into the catalog: its files, its frames and what is missing of them.

    ``first`` and ``last`` are the sequence numbers that the agent says it captured; without them the frame table's own
    are taken; ``dropped`` is what the device says to have dropped before the agent. Does nothing when the recording
    was finished before; with frames that came late, changed files become new revisions and new ones are added. What
    the catalog refuses makes the recording ``failed``, with the reason; its files stay where they are.
    """
    try:
        return _finish(recording_id, first, last, clock=clock, dropped=dropped, message=message)
    except (Invalid, Conflict) as refusal:
        CameraRecording.objects.filter(pk=recording_id, state=RecordingState.STOPPING).update(
            state=RecordingState.FAILED, finished=timezone.now(), message=f"The catalog refused: {refusal.detail}"[:500]
        )
        return CameraRecording.objects.get(pk=recording_id)


def _finish(
    recording_id: UUID,
    first: int | None,
    last: int | None,
    *,
    clock: dict[str, Any] | None,
    dropped: int | None,
    message: str,
) -> CameraRecording:
    with one_write():
        row = (
            CameraRecording.objects.select_for_update(of=("self",))
            .select_related("camera", "recording__session__project")
            .get(pk=recording_id)
        )
        if row.state != RecordingState.STOPPING:
            return row
        folder = Path(settings.LAB_DATA_ROOT) / row.folder
        row.finished = timezone.now()
        row.message = message
        row.dropped = row.dropped if dropped is None else dropped
        try:
            table = frametable.read(folder)
        except (FileNotFoundError, frametable.TableError):
            table = None
        if table is None or not len(table):
            row.state = RecordingState.FAILED
            row.message = message or "No picture arrived while this was recorded."
            row.save()
            tell(row.session_id, {"type": "cameras", "recording": False})
            return row
        facts = _describe(row, table, first, last, clock)
        row.state = RecordingState.FINISHED
        row.proxy, row.proxy_since, row.proxy_message = ProxyState.QUEUED, timezone.now(), ""
        row.save()
        _register(row, folder, facts)
        tell(row.session_id, {"type": "cameras", "recording": False})
        transaction.on_commit(lambda: send_proxy(row.pk))
    return row


def reopen_recording(*, recording_id: UUID) -> None:
    """Take up a finished recording: its camera has come back with frames that the server has not."""
    finished = [RecordingState.FINISHED, RecordingState.FAILED]
    CameraRecording.objects.filter(pk=recording_id, state__in=finished).update(
        state=RecordingState.STOPPING, message="Frames that came late are being added."
    )
    wake_ingest()


def _describe(
    row: CameraRecording,
    table: frametable.FrameTable,
    first: int | None,
    last: int | None,
    clock: dict[str, Any] | None,
) -> dict[str, Any]:
    records = table.in_order()
    sequence = records["sequence"]
    captured = records["captured_ns"]
    row.first_sequence = min(int(sequence[0]), first if first is not None else int(sequence[0]))
    row.last_sequence = max(int(sequence[-1]), last if last is not None else int(sequence[-1]))
    row.frames = len(records)
    row.lost = row.last_sequence - row.first_sequence + 1 - row.frames
    row.bytes = int(records["length"].sum())
    clock = clock or {}
    row.offset_ms, row.drift_ppm = clock.get("offset_ms"), clock.get("drift_ppm")
    seconds = float(captured[-1] - captured[0]) / 1e9 if len(records) > 1 else 0.0
    return {
        "camera": row.camera.slug,
        "frames": row.frames,
        "lost_frames": row.lost,
        "dropped_by_device": row.dropped,
        "first_sequence": row.first_sequence,
        "last_sequence": row.last_sequence,
        "width": int(records["width"][0]),
        "height": int(records["height"][0]),
        "codec": " and ".join(CODECS[codec] for codec in sorted(set(records["codec"].tolist()))),
        "first_captured_ns": int(captured[0]),
        "last_captured_ns": int(captured[-1]),
        "clock_offset_ms": row.offset_ms,
        "clock_drift_ppm": row.drift_ppm,
        "rate": round((len(records) - 1) / seconds, 4) if seconds > 0 else None,
        "duration": seconds,
    }


def _register(row: CameraRecording, folder: Path, facts: dict[str, Any]) -> None:
    """Add the files that are new to the recording and the new content of those that changed."""
    known = {
        file.path: file
        for file in DataFile.objects.filter(recording=row.recording).select_related("root").order_by("revision")
    }
    files = [(path, "segment") for path in frametable.segments(folder).values()]
    files += [(folder / "frames.labt", "frames"), (folder / "clock.json", "clock")]
    new = []
    for path, role in files:
        relative = f"{row.folder}/{path.name}"
        if not path.is_file() or path.stat().st_size == 0:
            continue
        if relative not in known:
            new.append({"root": "default", "path": relative, "role": role})
        elif known[relative].size != path.stat().st_size:
            register_file_revision(by=LABORATORY, file=known[relative])
    rate, duration = facts.pop("rate"), facts.pop("duration")
    offset = (facts["clock_offset_ms"] or 0.0) * 1e6
    start = datetime.fromtimestamp((facts["first_captured_ns"] - offset) / 1e9, tz=UTC)
    Recording.objects.filter(pk=row.recording_id).update(start=start)
    row.recording.refresh_from_db()
    if new:
        complete_recording(by=LABORATORY, recording=row.recording, files=new, facts=facts, rate=rate, duration=duration)
    else:
        row.recording.facts = {**row.recording.facts, **facts}
        row.recording.rate, row.recording.duration = rate, duration
        row.recording.save(update_fields=["facts", "rate", "duration"])
