"""A recording of voltage that was made up, and the page of its traces on a desktop and in the dark on a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import numpy as np
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from analysis.jobs.models import Job, JobInput, JobState, Result
from sessions import services
from sessions.models import Membership, Project
from sessions.permissions import LABORATORY
from tests.browser.chromium import DESKTOP, FLAGS, PHONE, executable
from tests.cameras.laboratory import Laboratory

GAIN = 0.2  # uV


def recorded(web: Laboratory, settings: Any, table: np.ndarray, rate: float) -> SimpleNamespace:
    """Register samples ``(samples, channels)`` as a recording, and log somebody in who may see it.

    The probe is straight, its contacts 20 um apart. ``url``, ``path`` and ``cookie`` lead to its page.
    """
    settings.LAB_DATA_ROOT, settings.LAB_RESULTS = web.data_root, web.folder / "results"
    file = web.data_root / f"{uuid4().hex}.bin"
    table.astype(np.int16, copy=False).tofile(file)
    channels = table.shape[1]
    parameters = {"rate": rate, "channels": channels, "dtype": "int16", "gain_to_uV": GAIN,
                  "positions": [[0, 20 * n] for n in range(channels)]}  # fmt: skip
    project = Project.objects.create(name="Memory")
    ana = get_user_model().objects.create_user("ana")
    Membership.objects.create(project=project, user=ana, role="viewer")
    session = services.start_session(
        by=LABORATORY, project=project, start=timezone.now() - timezone.timedelta(hours=1), end=timezone.now()
    )
    recording = services.register_recording(
        by=LABORATORY, session=session, kind="ephys", format="raw-binary", files=[{"path": file.name}],
        parameters=parameters,
    )  # fmt: skip
    login = Client()
    login.force_login(ana)
    return SimpleNamespace(
        file=file, parameters=parameters, session=session, recording=recording, ana=ana,
        url=f"http://127.0.0.1:{web.web_port}", path=f"/recordings/{recording.pk}/",
        cookie=login.cookies["sessionid"].value,
    )  # fmt: skip


def finished(pipeline: str, recording: Any, settings: Any, fingerprint: str = "") -> Path:
    """Write the rows of a job that has succeeded on a recording; return the folder of its files."""
    folder = Path(settings.LAB_RESULTS) / uuid4().hex
    (folder / "artifacts").mkdir(parents=True)
    now = timezone.now()
    job = Job.objects.create(
        project=recording.session.project, pipeline=pipeline, version="1.0.0", state=JobState.SUCCEEDED, attempt=1,
        fingerprint=fingerprint or uuid4().hex * 2, started=now, finished=now,
    )  # fmt: skip
    JobInput.objects.create(job=job, recording=recording, order=0)
    Result.objects.create(job=job, attempt=1, folder=folder.name)
    return folder / "artifacts"


@contextmanager
def trace_page(voltage: SimpleNamespace, device: str, picture: str) -> Iterator[Any]:
    """Open the page of ``voltage`` (``url``, ``path``, ``cookie``); an error of a script fails the test.

    Where ``LAB_TEST_PICTURES`` names a folder, a ``picture`` of how the test left the page is kept there.
    """
    from playwright.sync_api import sync_playwright

    phone = device == "phone"
    complaints: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        context = chromium.new_context(
            base_url=voltage.url, viewport=PHONE if phone else DESKTOP, color_scheme="dark" if phone else "light",
            is_mobile=phone, has_touch=phone, device_scale_factor=2 if phone else 1,
        )  # fmt: skip
        context.add_cookies([{"name": "sessionid", "value": voltage.cookie, "url": voltage.url}])
        opened = context.new_page()
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
        opened.goto(voltage.path)
        settled(opened)
        yield opened
        if folder := os.environ.get("LAB_TEST_PICTURES"):
            opened.screenshot(path=f"{folder}/{picture}.png", full_page=True)
        chromium.close()
    assert complaints == []


def settled(page: Any) -> None:
    """Wait until all that is seen has come and is drawn; what was pressed shows in the next picture."""
    page.evaluate("() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))")
    page.wait_for_function(
        "() => { const d = document.getElementById('traces').dataset; return 'ready' in d && d.waiting === '0'; }",
        timeout=60_000,
    )


def state(page: Any) -> dict[str, float]:
    """Return what the page shows: start, span and bin in s, the channels, and how many microvolts a row is high."""
    found = page.evaluate("({...document.getElementById('traces').dataset})")
    return {name: float(found[name]) for name in
            ("start", "span", "bin", "top", "rows", "microvolts", "ratio", "left", "height")}  # fmt: skip


def press(page: Any, *keys: str) -> None:
    """Press keys on the drawing, and wait until they show."""
    page.locator("#traces-canvas").focus()
    for key in keys:
        page.keyboard.press(key)
    settled(page)
