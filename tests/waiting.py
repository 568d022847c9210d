"""Waiting in tests: for a condition, until a deadline, never for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], seconds: float = 30.0, what: str | Callable[[], str] = "") -> Any:
    """Return the first true value of a condition; AssertionError with ``what``, asked then, after so many seconds."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, (
            f"not within {seconds:.0f} s: {(what() if callable(what) else what) or 'what was waited for'}"
        )
        pause.wait(0.02)
    return found
