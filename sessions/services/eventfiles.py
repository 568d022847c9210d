"""The events of a session as a recording, for analyses, which read files: a table as they were at that moment."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

from sessions.data_roots import DEFAULT, default_root
from sessions.errors import Conflict
from sessions.models import DataFile, Event, Recording, Session
from sessions.permissions import require
from sessions.services.recordings import register_recording
from sessions.services.transaction import one_write

FOLDER = "events"
COLUMNS = ("time", "kind", "value", "source", "number")
NAME = "Reported events"


def keep_events(*, by: Any, session: Session) -> tuple[Recording, bool]:
    """Write the events of a session as a table and register it; return the recording, and whether it is new.

    ``time`` is in s from the session's start, which is that of the recording; ``value`` is JSON. The same events are
    kept once: asked again, the recording that there is comes back. Events that are reported later make another one.
    ``Conflict`` when nothing was reported.
    """
    require(by, "change", session)
    with one_write():
        # Who asks at the same moment waits, and finds the recording that this one made.
        session = Session.objects.select_for_update(of=("self",), no_key=True).get(pk=session.pk)
        rows = list(session.events.order_by("time", "id"))
        if not rows:
            raise Conflict("No event of this session was reported, so there is nothing to keep.")
        content = _table(session, rows)
        path = f"{FOLDER}/{session.pk}/{hashlib.sha256(content).hexdigest()[:16]}.csv"
        root = default_root()
        known = DataFile.objects.filter(root=root, path=path).select_related("recording").first()
        if known is not None:
            return known.recording, False
        _write(Path(root.path) / path, content)
        recording = register_recording(
            by=by,
            session=session,
            kind="events",
            format="csv",
            files=[{"root": DEFAULT, "path": path}],
            parameters={"clock": "recording"},
            name=NAME,
            start=session.start,
            duration=max(0.0, (rows[-1].time - session.start).total_seconds()),
            facts={"events": {"reported": len(rows)}},
        )
    return recording, True


def _table(session: Session, rows: list[Event]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for event in rows:
        value = json.dumps(event.value, ensure_ascii=False) if event.value not in ({}, None) else ""
        seconds = (event.time - session.start).total_seconds()
        number = "" if event.number is None else event.number
        table.writerow((f"{seconds:.6f}", event.kind, value, event.source, number))
    return text.getvalue().encode()


def _write(target: Path, content: bytes) -> None:
    """Put a file in its place when it is whole and on the disk; one that is there has this content, by its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        target.hardlink_to(part)
    except FileExistsError:
        # Left by an attempt whose transaction was not committed.
        return
    finally:
        part.unlink()
