"""How much room there is for recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.conf import settings

from cameras.errors import DiskLow

GB = 1e9


def free_bytes() -> int:
    """Return the free bytes of the disk that recordings go to."""
    folder = Path(settings.LAB_DATA_ROOT)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_room() -> None:
    """Raise DiskLow when less is free than is kept in reserve (``LAB_DISK_RESERVE``)."""
    free, reserve = free_bytes(), settings.LAB_DISK_RESERVE
    if free < reserve:
        raise DiskLow(
            f"The disk of the recordings is low: {free / GB:.1f} GB are free, {reserve / GB:.1f} GB are needed to "
            "begin. "
            "Nothing was started and nothing is deleted; make room, then start again."
        )
