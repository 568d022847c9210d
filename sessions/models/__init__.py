"""The catalog: what was recorded, from whom, where and when. Invariants are constraints of the database."""

from sessions.models.access import ApiToken, IdempotencyKey, TokenScope
from sessions.models.animals import Animal, AnimalStatus, Sex, Species, Strain
from sessions.models.base import Named, Quality, TstzRange, UuidRange, audited
from sessions.models.projects import Membership, Project, Role
from sessions.models.recordings import DataFile, DataRoot, FileRole, Recording, RecordingKind
from sessions.models.sessions import Event, Rig, Session, SessionAnimal, Task
from sessions.models.sheets import SheetImport, SheetLine, SheetState
from sessions.models.uploads import Upload

__all__ = [
    "Animal",
    "AnimalStatus",
    "ApiToken",
    "DataFile",
    "DataRoot",
    "Event",
    "FileRole",
    "IdempotencyKey",
    "Membership",
    "Named",
    "Project",
    "Quality",
    "Recording",
    "RecordingKind",
    "Rig",
    "Role",
    "Session",
    "SessionAnimal",
    "Sex",
    "SheetImport",
    "SheetLine",
    "SheetState",
    "Species",
    "Strain",
    "Task",
    "TokenScope",
    "TstzRange",
    "Upload",
    "UuidRange",
    "audited",
]
