"""The chain that a new user sees at work: raw voltage to LFP, spikes, units and position, on a session of its own.

It comes last: when nothing else is computed, a minute or two after the first start, so that it holds up neither the
banner nor the first results.
"""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model

from analysis.chains import services
from analysis.chains.models import Chain
from analysis.jobs.models import ENDED, Job
from labsite.demo import making
from labsite.demo.boxes import TRACK_BOX
from labsite.demo.laboratory import EXPERIMENTER
from labsite.demo.pastsessions import RAW_TITLE, recording_start
from labsite.demo.recordings import FROM_START
from sessions.models import Session
from sessions.permissions import LABORATORY
from sessions.services.recordings import register_recording

CHAIN = "raw-position"
SECONDS = 120.0
VOLTAGE, POSITION, TRUE_UNITS = "Probe, raw", "Tracker", "True units"


class RawTrack:
    """Makes the files, registers them and starts the chain, once; ``worlds`` is the folder of the worlds."""

    def __init__(self, worlds: Path, *, seconds: float = SECONDS) -> None:
        self._worlds = worlds
        self._seconds = seconds
        self._makers = making.Makers(1)
        self._making: Future[dict[str, Any]] | None = None
        self._done = False

    def go_on(self) -> Chain | None:
        """Do what can be done now without waiting; return the chain when it is started.

        Whoever ends the session's chain, or starts one of his own on it, has it for himself. ``MakingError`` when the
        files could not be made; it is not tried again before the next start.
        """
        if self._done:
            return None
        session = Session.objects.filter(title=RAW_TITLE, simulated=True).first()
        user = get_user_model().objects.filter(username=EXPERIMENTER).first()
        if session is None or user is None or session.chains.exists():
            self._done = True
            return None
        if not session.recordings.filter(name=VOLTAGE).exists() and not self._register(session):
            return None
        self._done = True
        return services.start(user=user, sessions=[session.pk], chain=CHAIN)[0]

    def _register(self, session: Session) -> bool:
        """Have the files made when nothing is computed, and register them when they are there; return whether."""
        folder = f"demo/raw-track-{recording_start(session):%Y-%m-%d}"
        if self._making is None:
            if not Job.objects.exclude(state__in=ENDED).exists():
                root = Path(settings.LAB_DATA_ROOT)
                self._making = self._makers.submit(
                    making.raw_track, TRACK_BOX, self._worlds, root / folder, seconds=self._seconds
                )
            return False
        if not self._making.done():
            return False
        self._done = True
        told = self._making.result()
        # The voltage comes last: while it is missing, an earlier start was ended before it had registered all.
        present = set(session.recordings.values_list("name", flat=True))
        for name, kind, file, parameters in (
            (POSITION, "position", "position.csv", {}),
            (TRUE_UNITS, "units", "true-units.npz", {}),
            (VOLTAGE, "ephys", "probe-raw.bin", told),
        ):
            if name in present:
                continue
            register_recording(
                by=LABORATORY,
                session=session,
                kind=kind,
                files=[{"root": "default", "path": f"{folder}/{file}"}],
                parameters={**parameters, **FROM_START},
                format="raw-binary" if kind == "ephys" else None,
                name=name,
                start=recording_start(session),
                duration=self._seconds,
                simulated=True,
            )
        return True
