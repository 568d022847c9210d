"""The ring of a camera: a piece of it becomes a recording, the rest is thrown away in time."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from cameras import ring
from cameras.clock import ClockLine
from cameras.disk import free_bytes, require_room
from cameras.framestore import Frame, FrameStore
from cameras.frametable import TableError
from cameras.models import Camera, CameraRecording, CutState, RecordingState, RingCut
from cameras.services.finishing import finish_recording
from cameras.services.recording import FORMAT
from sessions.errors import Conflict, Invalid
from sessions.models import Session
from sessions.permissions import LABORATORY, require
from sessions.services import open_recording
from sessions.services.transaction import one_write
from sessions.waking import wake_worker

LONGEST_CUT = timedelta(hours=24)
# So many frames are synced at once while a piece is copied.
COPIED_AT_ONCE = 200


def save_cut(*, by: Any, camera: Camera, session: Session, start: datetime, stop: datetime) -> RingCut:
    """Order that what is kept of a camera from ``start`` to ``stop`` becomes a recording of a session of its rig.

    A worker copies it; until then its pieces are not thrown away. ``Invalid`` for a session of another rig or a time of
    which nothing is kept, ``DiskLow`` where there is no room. What was ordered already, by a second click, say, is not
    ordered again.
    """
    require(by, "view", camera)
    require(by, "change", session)
    if session.rig_id != camera.rig_id:
        sentence = f"The session is not on {camera.rig.name}, the rig of this camera."
        raise Invalid(sentence, {"session": [sentence]})
    if not start < stop <= start + LONGEST_CUT:
        sentence = "The end of a piece is after its beginning, by at most 24 hours."
        raise Invalid(sentence, {"to": [sentence]})
    first, last = _ns(start), _ns(stop)
    kept = ring.pieces(Path(settings.LAB_DATA_ROOT), camera.slug)
    if not any(piece.start_ns <= last and piece.stop_ns >= first for piece in kept):
        sentence = f"Nothing is kept of {camera.slug} from {start:%Y-%m-%d %H:%M:%S %Z} to {stop:%H:%M:%S %Z}."
        raise Invalid(sentence, {"from": [sentence]})
    require_room()
    with one_write():
        # Two clicks at once wait for each other here.
        Camera.objects.select_for_update(of=("self",)).only("pk").get(pk=camera.pk)
        if known := _ordered(camera, session, start, stop):
            return known
        made = RingCut.objects.create(
            camera=camera, session=session, start=start, stop=stop, created_by=by if getattr(by, "pk", None) else None
        )
        transaction.on_commit(lambda: send_cut(made.pk))
    return made


def _ordered(camera: Camera, session: Session, start: datetime, stop: datetime) -> RingCut | None:
    """Return the order of just this piece that is still to be carried out, or whose recording is there and whole.

    One that was ordered before its time had passed may lack the end, and is worth another.
    """
    whole = Q(state=CutState.DONE, recording__isnull=False, stop__lte=F("created"))
    same = RingCut.objects.filter(camera=camera, session=session, start=start, stop=stop)
    return same.filter(Q(state=CutState.QUEUED) | whole).order_by("created").first()


def send_cut(cut_id: UUID) -> None:
    """Ask a worker for a piece; without a broker the sweep asks later."""
    from cameras.tasks import make_cut

    wake_worker(make_cut, cut_id, "the piece of the ring")


def carry_out_cut(*, cut_id: UUID) -> RingCut | None:
    """Copy the frames and put them into the catalog; returns ``None`` when it is done, or another worker is at it.

    Tried again after a crash, it goes on in the same folder, which takes each number once. One that failed, because the
    disk is full, say, leaves no half of a copy there.
    """
    with one_write():
        cut = (
            RingCut.objects.select_for_update(of=("self",), skip_locked=True)
            .select_related("camera__rig__project", "session__project")
            .filter(pk=cut_id, state=CutState.QUEUED)
            .first()
        )
        if cut is None:
            return None
        try:
            # What is refused takes back the rows of the recording, and the cut says why.
            with transaction.atomic():
                cut.recording = _recorded(cut)
            cut.state = CutState.DONE
        except (Invalid, Conflict, OSError, TableError) as error:
            cut.recording, cut.state = None, CutState.FAILED
            cut.message = str(getattr(error, "detail", None) or error)[:500]
            shutil.rmtree(Path(settings.LAB_DATA_ROOT) / _folder(cut), ignore_errors=True)
        cut.save(update_fields=["recording", "state", "message"])
    return cut


def _folder(cut: RingCut) -> str:
    day = timezone.localtime(cut.session.start).strftime("%Y-%m-%d")
    return f"video/{day}/{cut.session_id}/{cut.camera.slug}-kept-{cut.pk}"


def _recorded(cut: RingCut) -> CameraRecording:
    root = Path(settings.LAB_DATA_ROOT)
    kept = ring.pieces(root, cut.camera.slug)
    folder = _folder(cut)
    recording = open_recording(
        by=LABORATORY,
        session=cut.session,
        kind="video",
        format=FORMAT,
        name=f"{cut.camera.name}, kept",
        start=cut.start,
        simulated=cut.camera.simulated or cut.session.simulated,
        facts={"camera": cut.camera.slug, "saved_from_ring": True},
    )
    row = CameraRecording.objects.create(
        # The same each time it is tried: the folder knows whose frames it holds.
        pk=cut.pk,
        camera=cut.camera,
        session=cut.session,
        recording=recording,
        folder=folder,
        started_by=cut.created_by,
        state=RecordingState.STOPPING,
        stopped=Now(),
    )
    copied = _copy(ring.frames_between(kept, _ns(cut.start), _ns(cut.stop)), root / folder, row.pk)
    if not copied:
        raise Invalid("Nothing is kept of this time any more.")
    clock = _clock(kept, root / folder, row.pk)
    done = finish_recording(recording_id=row.pk, clock=clock)
    if done.state != RecordingState.FINISHED:
        raise Invalid(done.message)
    return done


def _copy(frames: Any, folder: Path, recording: UUID) -> int:
    store = FrameStore(folder, recording)
    count = 0
    try:
        batch: list[Frame] = []
        for frame in frames:
            batch.append(frame)
            if len(batch) == COPIED_AT_ONCE:
                count += len(store.write(batch))
                batch = []
        if batch:
            count += len(store.write(batch))
    finally:
        store.close()
    return count


def _clock(kept: list[ring.Piece], folder: Path, recording: UUID) -> dict[str, Any]:
    """Keep the clock's samples of the last piece beside the frames; returns their estimate."""
    line = ClockLine()
    for piece in reversed(kept):
        if (line := ClockLine.load(piece.folder / ring.CLOCK_FILE)).samples:
            line.save(folder / ring.CLOCK_FILE, recording=str(recording))
            break
    return line.estimate()


def prune_ring() -> int:
    """Throw away what is older than its camera's hours, and the oldest while the disk is low; returns how many pieces.

    The ring gives way before anybody is alarmed: recordings need the room.
    """
    waiting = RingCut.objects.filter(state=CutState.QUEUED).values_list("camera__slug", "start")
    busy: dict[str, int] = {}
    for slug, start in waiting:
        busy[slug] = min(busy.get(slug, _ns(start)), _ns(start))
    return ring.prune(
        Path(settings.LAB_DATA_ROOT),
        dict(Camera.objects.filter(keep_hours__gt=0).values_list("slug", "keep_hours")),
        free=free_bytes,
        wanted_free=settings.LAB_DISK_ALARM,
        busy=busy,
    )


def _ns(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
