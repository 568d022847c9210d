"""Notes on anything, with a photograph that is made small and loses what the phone wrote into it."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from typing import Any

from django.core.files.base import ContentFile
from django.utils import timezone
from PIL import Image, ImageOps, UnidentifiedImageError

from sessions.errors import Invalid, TooLarge
from sessions.models import NOTED, Note, Tag
from sessions.permissions import LABORATORY, require
from sessions.services.transaction import checked, one_write, only_known

LARGEST_PHOTO_BYTES = 10 * 1024 * 1024
MOST_PIXELS = 50_000_000
LONGEST_SIDE = 1600
FORMATS = ("JPEG", "PNG", "WEBP")


def add_note(
    *,
    by: Any,
    text: str = "",
    photo: bytes | None = None,
    tags: Sequence[str] = (),
    time: datetime | None = None,
    **about: Any,
) -> Note:
    """Write a note on one thing: ``animal=...``, ``session=...``, ``recording=...``, ``cage=...`` or ``rig=...``.

    ``photo`` is the content of a JPEG, PNG or WebP file.
    """
    only_known(about, set(NOTED), "a note")
    things = [thing for thing in about.values() if thing is not None]
    if len(things) != 1:
        sentence = f"A note is on one thing: {', '.join(NOTED)}."
        raise Invalid(sentence, {"animal": [sentence]})
    require(by, "change", things[0])
    note = Note(text=text.strip(), time=time or timezone.now(), person=None if by is LABORATORY else by, **about)
    if timezone.is_naive(note.time):
        raise Invalid("The time needs its zone.", {"time": ["This needs its zone."]})
    if photo:
        # Named by chance: nobody finds a photo by guessing, and no name of a phone's file gets onto the disk.
        note.photo.save(f"{uuid.uuid4().hex}.jpg", ContentFile(_small(photo)), save=False)
    try:
        with one_write():
            checked(note).save(force_insert=True)
            _tag(note, tags)
    except Exception:
        # The row is not there, so its photo must not be either; the refusal itself goes on to who asked.
        if note.photo:
            note.photo.delete(save=False)
        raise
    return note


def update_note(*, by: Any, note: Note, **changes: Any) -> Note:
    """Correct the text, time or tags of a note; its photo and what it is on stay."""
    only_known(changes, {"text", "time", "tags"}, "a note")
    tags = changes.pop("tags", None)
    with one_write():
        row = Note.objects.select_for_update(of=("self",)).select_related("animal__project", "session__project").get(
            pk=note.pk
        )  # fmt: skip
        require(by, "change", row)
        for field, value in changes.items():
            setattr(row, field, value)
        if row.time is None or timezone.is_naive(row.time):
            raise Invalid("The time needs its zone.", {"time": ["This needs its zone."]})
        checked(row).save(update_fields=[*changes] or None)
        if tags is not None:
            _tag(row, tags)
    return row


def _tag(note: Note, tags: Sequence[str]) -> None:
    names = sorted({name.strip() for name in tags if name.strip()})
    for name in names:
        checked(Tag(name=name))
    Tag.objects.bulk_create([Tag(name=name) for name in names], ignore_conflicts=True)
    note.tags.set(Tag.objects.filter(name__in=names))


def photo_of_text(text: str) -> bytes:
    """Return the bytes of a photo that was sent as base64, with or without ``data:image/...;base64,`` before it."""
    body = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        sentence = "The photo is not base64."
        raise Invalid(sentence, {"photo": [sentence]}) from None


def _small(content: bytes) -> bytes:
    """Return a photo as JPEG, upright, at most 1600 pixels long, without its EXIF (place, phone)."""
    if len(content) > LARGEST_PHOTO_BYTES:
        raise TooLarge(f"The photo is larger than {LARGEST_PHOTO_BYTES // 1024**2} MB.", {"photo": ["Too large."]})
    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
        if image.width * image.height > MOST_PIXELS:
            sentence = f"The photo has more than {MOST_PIXELS // 10**6} million pixels."
            raise TooLarge(sentence, {"photo": [sentence]})
        picture = ImageOps.exif_transpose(image).convert("RGB")
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        sentence = "The photo cannot be read; send JPEG, PNG or WebP."
        raise Invalid(sentence, {"photo": [sentence]}) from None
    out = BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()
