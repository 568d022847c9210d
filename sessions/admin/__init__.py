"""Data entry in the admin."""

from sessions.admin import care, catalog
from sessions.admin.base import AdministratorsAdmin, AuditedAdmin, LabAdmin, OwnedInline, SharedAdmin

__all__ = ["AdministratorsAdmin", "AuditedAdmin", "LabAdmin", "OwnedInline", "SharedAdmin", "care", "catalog"]
