"""Fill the catalog with the simulated laboratory and queue its first analyses."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from labsite.demo import analyses, making
from labsite.demo.boxes import BOXES, ODOUR_BOX, TRACK_BOX, folder
from labsite.demo.laboratory import furnish
from labsite.demo.pastsessions import (
    MAIN_TITLE,
    ODOUR_TITLE,
    make_files,
    make_odour_files,
    past_clocks,
    past_events,
    past_sessions,
    register_files,
)
from labsite.demo.world import is_made


class Command(BaseCommand):
    # Importing every page only to check its address would take longer than some of what is done here.
    requires_system_checks = ()
    help = "Fill the catalog with a simulated laboratory: people, rats, boxes, a week of sessions. Can be run again."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        began = time.monotonic()

        def say(text: str) -> None:
            self.stdout.write(f"{time.monotonic() - began:5.1f} s  {text}")

        worlds = folder(settings.LAB_HOME)
        worlds.mkdir(parents=True, exist_ok=True)
        with making.Makers(2) as makers:
            missing = [box for box in BOXES if not is_made(worlds, box.arena)]
            # The longest work, the video, needs the track's world; the other worlds can grow while it is drawn.
            first = [makers.submit(making.world, box, worlds) for box in missing if box in (TRACK_BOX, ODOUR_BOX)]
            laboratory = furnish(settings.LAB_HOME)
            sessions = past_sessions(laboratory)
            say("people, rats, boxes and a week of sessions")
            for grown in first:
                say(f"the world of: {grown.result()}")
            main = sessions[MAIN_TITLE]
            pending = make_files(main, worlds, makers)
            pending += make_odour_files(sessions[ODOUR_TITLE], worlds, makers)
            rest = [makers.submit(making.world, box, worlds) for box in missing if box not in (TRACK_BOX, ODOUR_BOX)]
            recordings = register_files(pending, [main, sessions[ODOUR_TITLE]])
            say("units, position, video and voltage of one session, odour trials of another")
            for grown in rest:
                say(f"the world of: {grown.result()}")
        past_events(sessions, worlds)
        recordings |= past_clocks(sessions)
        say("events of two sessions, and pulses on two clocks")
        jobs = analyses.queue(laboratory.experimenter, recordings, analyses.first())
        say("queued: " + ", ".join(job.pipeline for job in jobs))
