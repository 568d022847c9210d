"""What Django itself says of the settings for real use."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

import pytest

from tests.stack.laboratory import ROOT


def checked(**settings: str) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py check --deploy`` where a warning is a failure."""
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    environment = {**os.environ, "LAB_SECRET_KEY": secrets.token_urlsafe(60), **settings}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.long
def test_settings_behind_https_are_without_a_warning():
    found = checked(LAB_SECURE="1", LAB_ALLOWED_HOSTS="lab.example.org")
    assert found.returncode == 0, found.stderr
    # The same without HTTPS is warned of, so a silent check says something.
    assert "security.W008" in checked(LAB_SECURE="0").stderr
