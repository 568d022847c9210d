"""Where a box reaches the laboratory, as the person who asked reached it."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def ingest_address(request: HttpRequest) -> str:
    """Return the address of the cameras' port, such as ``ws://lab.example:8001``.

    It is the setting's (``LAB_INGEST_URL``); but one that only this machine can reach is of no use to who asked from
    another, and gets the name that was asked for.
    """
    said = urlsplit(settings.LAB_INGEST_URL)
    asked = urlsplit(f"//{request.get_host()}").hostname or ""
    if said.hostname not in _LOOPBACK or asked in _LOOPBACK:
        return settings.LAB_INGEST_URL.rstrip("/")
    host = f"[{asked}]" if ":" in asked else asked
    return f"{said.scheme}://{host}{f':{said.port}' if said.port else ''}{said.path.rstrip('/')}"


def enrolment_command(request: HttpRequest, code: str) -> str:
    """Return what a person types on the box to give it a camera."""
    return f"labsite-agent --enrol {code} --server {request.scheme}://{request.get_host()}"
