"""What cameras cost, from one to thirty-two: recorded at 15 a second, each with a preview that somebody watches.

The boxes' agents run on the same machine, four cameras to an agent: pictures of 640x480 are drawn beforehand, each
frame gets its number, is encoded once as JPEG and once as preview, sent, stored and synced. CPU is in cores: 1 is one
core busy. Frames that are missing in what was recorded end the benchmark.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._camera_recordings import LostFramesError, look_at_every_picture, table_of, until
from benchmarks._camera_stack import Stack, make_cameras, make_session, viewer_key
from benchmarks.cameras import SECONDS, Place

FPS, SIZE, TO_A_BOX = 15, "640x480", 4
STEPS = (1, 8)


def run(*, cameras: int = 32) -> list[dict[str, Any]]:
    """Measure one camera, some, and ``cameras`` of them; LostFramesError where a frame is missing."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="labsite-bench-") as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        settings.LAB_DATA_ROOT, settings.LAB_DISK_RESERVE = data, 0
        stack = Stack(Path(os.environ["LAB_HOME"]), folder, data, LAB_DISK_RESERVE="0")
        try:
            stack.start_servers()
            for count in sorted({*(step for step in STEPS if step < cameras), cameras}):
                rows += _measured(stack, count)
        except LostFramesError:
            stack.print_logs()
            raise
        finally:
            stack.close()
    return rows


def _measured(stack: Stack, count: int) -> list[dict[str, Any]]:
    """Record so many cameras for a while; returns what each part used."""
    from cameras import services
    from sessions.permissions import LABORATORY

    rig, cameras = make_cameras(count, f"many{count}")
    boxes = [f"agent-{count}-{start}" for start in range(0, count, TO_A_BOX)]
    for number, box in enumerate(boxes):
        mine = cameras[number * TO_A_BOX : (number + 1) * TO_A_BOX]
        stack.start_box(box, mine, stack.ports["ingest"], fps=FPS, size=SIZE)
    recordings = services.start_recording(session=make_session(rig), by=LABORATORY)
    folders = [stack.data_root / recording.folder for recording in recordings]
    until(lambda: all(len(table_of(folder)) > FPS for folder in folders), f"a second of {count} cameras", 120)
    pids = {part: stack.pid(part) for part in ("web", "ingest", "redis", "postgres", "supervise", *boxes)}
    place = Place(stack.ports["web"], [camera.slug for camera in cameras], viewer_key(), pids)
    began = time.time_ns()
    seen = place.measure(place.viewers(count, 1, rendition="preview"), f"{count} cameras")
    ended = time.time_ns()
    services.stop_recording(session=recordings[0].session, by=LABORATORY)
    slowest = FPS * 2.0
    for recording, folder in zip(recordings, folders, strict=True):
        slowest = min(slowest, _checked(recording, folder, began, ended))
    for box in boxes:
        stack.stop(box)
    used = {part: seconds / SECONDS for part, seconds in seen["cpu_of"].items()}
    agents = sum(used.pop(box) for box in boxes)
    print(
        f"{count:>3} cameras: cores {', '.join(f'{part} {cores:.3f}' for part, cores in used.items())}, "
        f"{len(boxes)} agents {agents:.3f}; all recordings whole",
        file=sys.stderr,
    )

    def row(name: str, value: float, unit: str, promise: float | None = None) -> dict[str, Any]:
        peer, ratio = (None, None) if not promise else ("promise", value / promise)
        said = f"{count} cameras: {name}"
        return {"name": said, "value": value, "unit": unit, "peer": peer, "peer_value": promise, "ratio": ratio}

    return [
        row("frames lost", 0, "frames"),
        row("slowest recorded", slowest, "frames/s", float(FPS)),
        row("slowest preview seen", min(viewer["fps"] for viewer in seen["viewers"]), "frames/s"),
        *(row(f"CPU of {part}", used[part], "cores") for part in ("web", "ingest", "redis", "postgres")),
        row("CPU of the agents", agents, "cores"),
        row("CPU of the servers for each camera", sum(used.values()) / count * 100, "% of a core"),
    ]


def _checked(recording: Any, folder: Path, began: int, ended: int) -> float:
    """Wait for the end of a recording, look at all of it; returns its frames a second between two times (ns)."""

    def done() -> bool:
        recording.refresh_from_db()
        return recording.state in {"finished", "failed"}

    until(done, f"the end of the recording {folder.name}", 120)
    table = table_of(folder)
    if recording.state != "finished" or recording.lost or table.gaps():
        raise LostFramesError(f"{folder.name}: {recording.lost} frames lost, gaps {table.gaps()} {recording.message}")
    look_at_every_picture(folder, table)
    captured = table.in_order()["captured_ns"].astype(np.int64)
    return float(((captured >= began) & (captured < ended)).sum() / (ended - began) * 1e9)
