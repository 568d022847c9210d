"""What changes the catalog: keyword-only functions, each one transaction, each checking who asks.

``by`` is the user who asks; the laboratory's own processes pass ``sessions.permissions.LABORATORY``.
"""

from sessions.services.animals import create_animal, update_animal
from sessions.services.care import (
    add_entry,
    create_cage,
    delete_entry,
    restore_entry,
    undo_entry,
    update_cage,
    update_entry,
)
from sessions.services.colony import create_allele, create_litter, create_pair, update_litter, update_pair
from sessions.services.copies import add_copy, forget_copy
from sessions.services.eventfiles import keep_events
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
from sessions.services.notes import add_note, update_note
from sessions.services.recordings import complete_recording, open_recording, register_recording, update_recording
from sessions.services.sessions import end_session, move_session, start_session, update_session

__all__ = [
    "add_copy",
    "add_entry",
    "add_events",
    "add_note",
    "complete_recording",
    "create_allele",
    "create_animal",
    "create_cage",
    "create_litter",
    "create_pair",
    "create_project",
    "create_rig",
    "create_species",
    "create_strain",
    "create_task",
    "delete_entry",
    "end_session",
    "forget_copy",
    "keep_events",
    "mark_hashed",
    "move_session",
    "open_recording",
    "register_file_revision",
    "register_recording",
    "restore_entry",
    "start_session",
    "undo_entry",
    "update_animal",
    "update_cage",
    "update_entry",
    "update_litter",
    "update_note",
    "update_pair",
    "update_recording",
    "update_rig",
    "update_session",
    "update_task",
]
