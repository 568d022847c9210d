"""What is lost of registered files: whether their content can still be had from any of their places."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from sessions.models import LOST_COPIES, CopyState, DataFile, FileCheck, FileCopy, FileState


def lost_files() -> QuerySet[DataFile]:
    """Return the files that the last look found neither at their own place nor at that of a copy."""
    wrong = FileCheck.objects.exclude(state=FileState.PRESENT).values("file")
    return DataFile.objects.filter(pk__in=wrong).filter(~Exists(_copies(state=CopyState.PRESENT)))


def files_at_risk() -> QuerySet[DataFile]:
    """Return the files that can still be had although one of their places is lost."""
    wrong = FileCheck.objects.exclude(state=FileState.PRESENT).values("file")
    of_copies = FileCopy.objects.filter(state__in=LOST_COPIES).values("file")
    there = Q(check_of__state=FileState.PRESENT) | Q(Exists(_copies(state=CopyState.PRESENT)))
    # One set of a few: Postgres reads every file where it is asked for the one or the other.
    return DataFile.objects.filter(pk__in=wrong.union(of_copies)).filter(there)


def _copies(**what: Any) -> QuerySet[FileCopy]:
    return FileCopy.objects.filter(file=OuterRef("pk"), **what)
