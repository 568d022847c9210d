"""Making and revoking links to results, and finding the result of one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from analysis.jobs.models import Result
from analysis.selectors import UNSHOWN_OF
from analysis.sharing.models import ShareLink
from sessions.errors import Conflict, Invalid
from sessions.permissions import projects_for, require
from sessions.services.transaction import one_write
from sessions.tokens import digest_of, new_key

LONGEST_NOTE = 100


def share(*, by: Any, result: Result, expires: datetime | None = None, note: str = "") -> tuple[ShareLink, str]:
    """Make a link to a result and return it with its key, which cannot be had again.

    Who may change the project may share its results. ``Invalid`` for an end that has passed.
    """
    require(by, "change", result)
    if expires is not None and expires <= timezone.now():
        raise Invalid("The link would have expired already.", {"expires": ["Choose a time that is still to come."]})
    if len(note) > LONGEST_NOTE or not note.isprintable():
        raise Invalid("The note is too long.", {"note": [f"Write one line of at most {LONGEST_NOTE} characters."]})
    key = new_key("share")
    # An end that comes in this moment is refused by the database.
    with one_write():
        link = ShareLink.objects.create(
            result=result, digest=digest_of(key), created_by=by, expires=expires, note=note.strip()
        )
    link.refresh_from_db()
    return link, key


def revoke(*, by: Any, link: ShareLink) -> ShareLink:
    """Revoke a link: it shows nothing any more. ``Conflict`` when it was revoked already."""
    require(by, "change", link)
    if not ShareLink.objects.filter(pk=link.pk, revoked__isnull=True).update(revoked=timezone.now(), revoked_by=by):
        raise Conflict("The link was revoked already.")
    link.refresh_from_db()
    return link


def links(user: Any) -> QuerySet[ShareLink]:
    """Return the links to results of projects that the user may change, newest first."""
    mine = ShareLink.objects.filter(result__job__project__in=projects_for(user, "change"))
    return mine.select_related("created_by", "result__job__project").defer(*UNSHOWN_OF)


def shown_by(key: str) -> ShareLink | None:
    """Return the link of a key while it is neither expired nor revoked, and else ``None``."""
    alive = Q(expires__isnull=True) | Q(expires__gt=timezone.now())
    found = ShareLink.objects.filter(alive, digest=digest_of(key), revoked__isnull=True)
    return found.select_related("result__job__project").first()


def opened(link: ShareLink) -> None:
    """Count an opening of the page."""
    ShareLink.objects.filter(pk=link.pk).update(uses=F("uses") + 1, last_used=timezone.now())
