"""Writing comments and marks; each one transaction, with its audit in it."""

from __future__ import annotations

import unicodedata
from typing import Any

from django.utils import timezone

from analysis.discussion.models import PaperMark, ResultComment
from analysis.jobs.models import Result
from sessions.errors import Forbidden, Invalid
from sessions.models import Project
from sessions.permissions import LABORATORY, can, require
from sessions.services.transaction import checked, one_write


def add_comment(*, by: Any, result: Result, text: str) -> ResultComment:
    """Say something of a result; ``Invalid`` when it is nothing, ``Forbidden`` for who only looks."""
    require(by, "change", result)
    comment = ResultComment(result=result, text=_said(text), person=_person(by))
    with one_write():
        checked(comment).save(force_insert=True)
    comment.refresh_from_db()
    return comment


def change_comment(*, by: Any, comment: ResultComment, text: str) -> ResultComment:
    """Correct a comment of one's own; what it said before stays in the audit trail."""
    with one_write():
        row = _locked(comment)
        require(by, "change", row)
        _own(by, row)
        row.text, row.changed = _said(text), timezone.now()
        checked(row).save(update_fields=["text", "changed"])
    return row


def withdraw_comment(*, by: Any, comment: ResultComment) -> ResultComment:
    """Take a comment out of sight: one's own, or any for a manager. It can be restored."""
    return _withdrawn(by, comment, timezone.now())


def restore_comment(*, by: Any, comment: ResultComment) -> ResultComment:
    """Show a comment again that was withdrawn."""
    return _withdrawn(by, comment, None)


def mark_for_paper(*, by: Any, result: Result, paper: str, figure: str = "") -> PaperMark:
    """Say that a result is for a paper; a mark that is there already stays the only one."""
    require(by, "change", result)
    mark = PaperMark(result=result, paper=_one_line(paper), figure=_one_line(figure), person=_person(by))
    if not mark.paper:
        raise Invalid("Name the paper.", {"paper": ["Name the paper."]})
    with one_write():
        # Two who name a new paper at once wait for each other here.
        Project.objects.select_for_update(of=("self",), no_key=True).get(pk=result.project.pk)
        # What is the same up to the case of letters is the same paper of this project.
        named = PaperMark.objects.filter(result__job__project=result.project, paper__iexact=mark.paper).first()
        mark.paper = named.paper if named else mark.paper
        checked(mark)
        kept, _ = PaperMark.objects.get_or_create(
            result=result, paper=mark.paper, figure=mark.figure, defaults={"person": mark.person}
        )
    return kept


def remove_mark(*, by: Any, mark: PaperMark) -> None:
    """Take a result out of a paper; the audit trail keeps who did."""
    require(by, "change", mark)
    with one_write():
        PaperMark.objects.filter(pk=mark.pk).delete()


def _withdrawn(by: Any, comment: ResultComment, when: Any) -> ResultComment:
    with one_write():
        row = _locked(comment)
        require(by, "change", row)
        if not can(by, "delete", row):
            _own(by, row)
        if (row.withdrawn is None) != (when is None):
            row.withdrawn = when
            row.save(update_fields=["withdrawn"])
    return row


def _locked(comment: ResultComment) -> ResultComment:
    rows = ResultComment.objects.select_for_update(of=("self",)).select_related("result__job__project")
    return rows.get(pk=comment.pk)


def _own(by: Any, comment: ResultComment) -> None:
    if by is not LABORATORY and comment.person_id != by.pk:
        raise Forbidden("This comment is somebody else's; only who wrote it changes it.")


def _person(by: Any) -> Any:
    return None if by is LABORATORY else by


def _said(text: str) -> str:
    said = text.strip()
    if not said:
        raise Invalid("A comment says something.", {"text": ["A comment says something."]})
    return said


def _one_line(text: str) -> str:
    """Return a text in one line; letters with accents as one sign, however a keyboard wrote them."""
    return unicodedata.normalize("NFC", " ".join(text.split()))
