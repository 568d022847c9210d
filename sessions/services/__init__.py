"""What changes the catalog: keyword-only functions, each one transaction, each checking who asks.

``by`` is the user who asks; the laboratory's own processes pass ``sessions.permissions.LABORATORY``.
"""

from sessions.services.animals import create_animal, update_animal
from sessions.services.events import add_events
from sessions.services.files import mark_hashed, register_file_revision
from sessions.services.laboratory import (
    create_project,
    create_rig,
    create_species,
    create_strain,
    create_task,
    update_rig,
    update_task,
)
from sessions.services.recordings import complete_recording, open_recording, register_recording, update_recording
from sessions.services.sessions import end_session, start_session, update_session

__all__ = [
    "add_events",
    "complete_recording",
    "create_animal",
    "create_project",
    "create_rig",
    "create_species",
    "create_strain",
    "create_task",
    "end_session",
    "mark_hashed",
    "open_recording",
    "register_file_revision",
    "register_recording",
    "start_session",
    "update_animal",
    "update_recording",
    "update_rig",
    "update_session",
    "update_task",
]
