"""Drawing arenas and a calibration on a frame: what is there, the frame itself, and keeping what was drawn."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from pydantic import ValidationError

from analysis.clockfits.models import ClockFit
from analysis.jobs.inputs import describe
from analysis.models import FrameDrawing
from sessions.data_roots import path_of
from sessions.errors import Conflict, Invalid, NotFound
from sessions.isolation import IsolationError, isolated
from sessions.models import Recording, RecordingKind
from sessions.permissions import require, visible
from sessions.selectors import one, recordings
from sessions.services.transaction import one_write


def video(user: Any, pk: Any) -> Recording:
    """Return a video that the user may see; ``NotFound`` when it is none."""
    found: Recording = one(recordings(user).select_related("session__rig", "session__task"), pk)
    if found.kind != RecordingKind.VIDEO:
        raise NotFound("Arenas are drawn on videos; this is another kind of recording.")
    return found


def drawing_for(user: Any, recording: Recording) -> FrameDrawing | None:
    """Return what was drawn on a video, else what was drawn last on one of the same camera.

    The camera is that of the laboratory's own recordings, and the name within the rig for others.
    """
    drawings = visible(user, FrameDrawing.objects.select_related("recording__session__task", "changed_by"),
                       project="recording__session__project")  # fmt: skip
    if own := drawings.filter(recording=recording).first():
        return own
    taken = getattr(recording, "camera_recording", None)
    if taken is not None:
        return drawings.filter(recording__camera_recording__camera=taken.camera_id).order_by("-changed").first()
    if recording.session.rig_id is None:
        return None
    same = drawings.filter(recording__session__rig=recording.session.rig_id, recording__name=recording.name)
    return same.order_by("-changed").first()


def parameters_of(drawing: FrameDrawing | None) -> dict[str, Any]:
    """Return what was drawn as parameters of ``video.track``."""
    if drawing is None:
        return {}
    return {"arenas": drawing.arenas, "calibration": drawing.calibration}


def placed(recording: Recording, *, clock: ClockFit | None = None) -> dict[str, Any]:
    """Return a recording as readers take it, its files where they can be had now; ``Conflict`` when it has none.

    ``clock`` is the fit by which its times are to be read.
    """
    described = describe(recording, clock=clock)
    if not described["files"]:
        raise Conflict("The recording has no files yet; they come when it has ended.")
    by_id = {str(file.pk): file for file in recording.files.all()}
    for file in described["files"]:
        file["path"] = str(path_of(by_id[file["id"]]))
    return described


def frame_of(recording: Recording) -> bytes:
    """Return a frame of a video as JPEG; ``Conflict`` when it has none that can be decoded."""
    described = placed(recording)
    try:
        return base64.b64decode(isolated("analysis.readers.frame:middle_frame", described))
    except IsolationError as error:
        raise Conflict(f"No frame of the video can be shown: {str(error).rstrip('.')}.") from error


def draw(*, by: Any, recording: Recording, drawn: Mapping[str, Any]) -> FrameDrawing:
    """Keep what was drawn on a video in place of what was there; ``Invalid`` says what is wrong with it."""
    from analysis.pipelines.video_arenas import Drawing

    require(by, "change", recording)
    try:
        checked = Drawing.model_validate(dict(drawn)).model_dump(mode="json")
    except ValidationError as error:
        errors: dict[str, list[str]] = {}
        for problem in error.errors():
            text = problem["msg"].removeprefix("Value error, ")
            errors.setdefault(_field(problem["loc"]), []).append(text if text.endswith(".") else f"{text}.")
        sentence = "; ".join(f"{field}: {texts[0]}" for field, texts in errors.items())
        raise Invalid(sentence, errors) from error
    values = {**checked, "changed": timezone.now(), "changed_by": by if by.pk else None}
    with one_write():
        kept, _ = FrameDrawing.objects.update_or_create(recording=recording, defaults=values)
    return kept


def _field(place: tuple[Any, ...]) -> str:
    """Return where a problem is in words: ``arenas.1.name`` counts from 1, as people do."""
    return ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in place) or "drawing"
