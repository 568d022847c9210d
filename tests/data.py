"""Where the real recordings lie that some tests read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """Return a folder of real data; skip the test where it is missing, but fail on CI, where it must be."""
    folder = SHARED / name
    if folder.is_dir():
        return folder
    reason = f"the real recording {name} is not beside this checkout ({SHARED})"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{reason}, and on CI it has to be")
    pytest.skip(reason)
