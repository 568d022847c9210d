"""Play the instruments of the simulated boxes, for as long as the laboratory runs."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import close_old_connections

from labsite.demo.acquisition import Instruments
from labsite.demo.analyses import FOLLOWING, Following, queue_following
from labsite.demo.boxes import folder
from labsite.demo.fieldsession import FieldSession
from labsite.demo.laboratory import EXPERIMENTER
from labsite.demo.making import MakingError
from labsite.demo.pastsessions import MAIN_TITLE
from labsite.demo.rawtrack import RawTrack
from sessions.errors import LabError
from sessions.models import Session

PERIOD_SECONDS = 1.0
log = logging.getLogger(__name__)


class Command(BaseCommand):
    # See seed_demo: no page is needed here.
    requires_system_checks = ()
    help = "Play the instruments of the simulated boxes: units, positions and events for the sessions that run there."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        instruments = Instruments(folder(settings.LAB_HOME))
        left = list(FOLLOWING)
        in_the_open = FieldSession(folder(settings.LAB_HOME))
        raw_track = RawTrack(folder(settings.LAB_HOME))
        while not stop.is_set():
            close_old_connections()
            try:
                instruments.keep_session()
                instruments.report_events()
                for recording in instruments.add_recordings():
                    log.info("added %s to session %s", recording, recording.session_id)
                left = [following for following in left if not follow(following)]
                in_the_open.go_on()
                raw_track.go_on()
            except LabError as error:
                # Somebody changed what it was about to change; the next turn sees how it is then.
                log.warning("the simulated instruments were refused: %s", error)
            except MakingError as error:
                log.warning("a session of the past was not made: %s", error)
            stop.wait(PERIOD_SECONDS)


def follow(following: Following) -> bool:
    """Queue an analysis that needs what another makes, when that is there; return whether nothing is left to do."""
    session = Session.objects.filter(title=MAIN_TITLE, simulated=True).first()
    user = get_user_model().objects.filter(username=EXPERIMENTER).first()
    if session is None or user is None:
        return True
    recordings = {recording.name: recording for recording in session.recordings.filter(simulated=True)}
    if not {following.of, following.beside} <= set(recordings):
        return True
    return queue_following(user, recordings, following) is not None
