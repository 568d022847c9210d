"""The session in an open field whose position is decoded: its files, and the job.

As the raw session it comes when nothing else is computed, so that it holds up neither the banner nor the first results.
"""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth import get_user_model

from analysis.jobs.models import ENDED, Job
from labsite.demo import making
from labsite.demo.analyses import IN_THE_OPEN, queue
from labsite.demo.laboratory import EXPERIMENTER
from labsite.demo.pastsessions import FIELD_TITLE, Pending, make_field_files, register_files
from sessions.models import Session


class FieldSession:
    """Makes units and position, registers them and queues their decoding, once; ``worlds`` is the worlds' folder."""

    def __init__(self, worlds: Path) -> None:
        self._worlds = worlds
        self._makers = making.Makers(1)
        self._pending: list[Pending] | None = None
        self._done = False

    def go_on(self) -> list[Job]:
        """Do what can be done now without waiting; return the jobs when they are queued.

        ``MakingError`` when the files could not be made; it is not tried again before the next start.
        """
        if self._done:
            return []
        session = Session.objects.filter(title=FIELD_TITLE, simulated=True).first()
        user = get_user_model().objects.filter(username=EXPERIMENTER).first()
        if session is None or user is None:
            self._done = True
            return []
        if self._pending is None:
            if Job.objects.exclude(state__in=ENDED).exists():
                return []
            self._pending = make_field_files(session, self._worlds, self._makers)
        if not all(item.parameters.done() for item in self._pending):
            return []
        self._done = True
        return queue(user, register_files(self._pending, [session]), IN_THE_OPEN)
