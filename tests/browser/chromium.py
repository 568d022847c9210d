"""The system's Chromium, driven by Playwright: one browser a test session, one clean context a test."""

from __future__ import annotations

import os
import shutil

import pytest

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

FLAGS = [
    "--no-sandbox",  # Chromium refuses its sandbox to root, which is who runs tests in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str:
    """Return the path of Chromium or Chrome, or skip; CI must have one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.environ.get("CI") == "true":
        pytest.fail("Chromium is missing; CI installs it.")
    pytest.skip("There is no Chromium on this machine.")
