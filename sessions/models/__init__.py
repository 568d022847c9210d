"""The catalog: what was recorded, from whom, where and when. Invariants are constraints of the database."""

from sessions.models.access import ApiToken, IdempotencyKey, TokenScope
from sessions.models.animals import Animal, AnimalStatus, Sex, Species, Strain
from sessions.models.base import Named, Quality, TstzRange, UuidRange, audited, newest_first
from sessions.models.care import (
    UNITS,
    Administration,
    AdministrationKind,
    Entry,
    Hemisphere,
    Implant,
    Procedure,
    ProcedureKind,
    Restriction,
    RestrictionKind,
    Weighing,
)
from sessions.models.colony import Allele, BreedingPair, Genotype, Litter, Zygosity
from sessions.models.copies import COPIES_UNDER_WAY, LOST_COPIES, CopyState, FileCopy
from sessions.models.housing import Cage, Housing
from sessions.models.integrity import FileCheck, FileState
from sessions.models.notes import NOTED, Note, NoteTag, Tag
from sessions.models.projects import Membership, Project, Role
from sessions.models.recordings import DataFile, DataRoot, FileRole, Recording, RecordingKind
from sessions.models.search import RecordingWords, SessionWords
from sessions.models.sessions import Event, Rig, Session, SessionAnimal, Task
from sessions.models.sheets import SheetImport, SheetLine, SheetState
from sessions.models.uploads import Upload

__all__ = [
    "COPIES_UNDER_WAY",
    "LOST_COPIES",
    "NOTED",
    "UNITS",
    "Administration",
    "AdministrationKind",
    "Allele",
    "Animal",
    "AnimalStatus",
    "ApiToken",
    "BreedingPair",
    "Cage",
    "CopyState",
    "DataFile",
    "DataRoot",
    "Entry",
    "Event",
    "FileCheck",
    "FileCopy",
    "FileRole",
    "FileState",
    "Genotype",
    "Hemisphere",
    "Housing",
    "IdempotencyKey",
    "Implant",
    "Litter",
    "Membership",
    "Named",
    "Note",
    "NoteTag",
    "Procedure",
    "ProcedureKind",
    "Project",
    "Quality",
    "Recording",
    "RecordingKind",
    "RecordingWords",
    "Restriction",
    "RestrictionKind",
    "Rig",
    "Role",
    "Session",
    "SessionAnimal",
    "SessionWords",
    "Sex",
    "SheetImport",
    "SheetLine",
    "SheetState",
    "Species",
    "Strain",
    "Tag",
    "Task",
    "TokenScope",
    "TstzRange",
    "Upload",
    "UuidRange",
    "Weighing",
    "Zygosity",
    "audited",
    "newest_first",
]
