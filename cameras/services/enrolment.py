"""Cameras come, get a box or another token, are switched off."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from cameras.models import Camera, CameraCodec, CameraEnrolment
from sessions.errors import Conflict, Forbidden, Invalid
from sessions.models import Rig
from sessions.permissions import require
from sessions.services.transaction import checked, one_write, only_known
from sessions.tokens import digest_of, new_key

_SLUG = re.compile(r"[-a-z0-9_]{1,50}")
CODE_LIFETIME = timedelta(hours=1)
# 60 bits of letters and digits that nobody mistakes for one another (Crockford's base 32), in groups that can be typed.
_CODE_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_GROUPS, _GROUP_LENGTH = 3, 4


def create_camera(
    *, by: Any, slug: str, name: str, rig: Rig, simulated: bool = False, codec: str = CameraCodec.JPEG
) -> tuple[Camera, str]:
    """Add a camera to a rig; returns it with its agent's token, which cannot be had again."""
    require(by, "change", rig)
    if not _SLUG.fullmatch(slug):
        sentence = "A slug has 1 to 50 small letters, digits, - and _; it is part of addresses and folder names."
        raise Invalid(sentence, {"slug": [sentence]})
    if not name.strip():
        raise Invalid("A camera needs a name.", {"name": ["A camera needs a name."]})
    token = new_key("cam")
    with one_write():
        if Camera.objects.filter(slug=slug).exists():
            sentence = f"There is already a camera {slug}."
            raise Conflict(sentence, {"slug": [sentence]})
        camera = Camera(
            slug=slug,
            name=name.strip(),
            rig=rig,
            simulated=simulated or rig.simulated,
            codec=codec,
            token_digest=digest_of(token),
        )
        checked(camera).save(force_insert=True)
    return camera, token


def rotate_token(*, by: Any, camera: Camera) -> str:
    """Give the camera a new token and return it, this once; an agent with the old one is refused within seconds."""
    require(by, "change", camera)
    token = new_key("cam")
    with one_write():
        Camera.objects.select_for_update().filter(pk=camera.pk).update(token_digest=digest_of(token))
    camera.token_digest = digest_of(token)
    return token


def offer_enrolment(*, by: Any, camera: Camera) -> tuple[CameraEnrolment, str]:
    """Return a code with which a box gets this camera's token, once and within an hour; it cannot be had again.

    A code of the camera that was not used is worth nothing from now on.
    """
    require(by, "change", camera)
    letters = [secrets.choice(_CODE_LETTERS) for _ in range(_CODE_GROUPS * _GROUP_LENGTH)]
    groups = ("".join(letters[at : at + _GROUP_LENGTH]) for at in range(0, len(letters), _GROUP_LENGTH))
    code = "-".join(groups)
    with one_write():
        # Two people who ask at once: the second waits here, and his code is the one that works.
        Camera.objects.select_for_update(of=("self",)).get(pk=camera.pk)
        CameraEnrolment.objects.filter(camera=camera, used__isnull=True).delete()
        enrolment = CameraEnrolment.objects.create(
            camera=camera,
            code_digest=digest_of(_plain(code)),
            created_by=by if getattr(by, "pk", None) else None,
            expires=timezone.now() + CODE_LIFETIME,
        )
    return enrolment, code


def enrol_agent(*, code: str) -> tuple[Camera, str]:
    """Use a code up; returns its camera with a new token, and refuses the agent that had the old one.

    ``Forbidden``, in the same words, for a code that there never was, that was used, or that is too old.
    """
    digest = digest_of(_plain(code))
    with one_write():
        # The camera first, as whoever gives out a new code does: otherwise each could wait for the other.
        camera = (
            Camera.objects.select_for_update(of=("self",))
            .select_related("rig__project")
            .filter(enrolments__code_digest=digest)
            .first()
        )
        now = timezone.now()
        enrolment = CameraEnrolment.objects.filter(code_digest=digest, used__isnull=True, expires__gt=now).first()
        if camera is None or enrolment is None:
            raise Forbidden(
                "This code is not valid: a code works once and for an hour. Make a new one for the camera in the admin."
            )
        if not camera.enabled:
            raise Forbidden(f"The camera {camera.slug} is switched off; switch it on, then use the code.")
        token = new_key("cam")
        camera.token_digest = digest_of(token)
        camera.save(update_fields=["token_digest"])
        enrolment.used = now
        enrolment.save(update_fields=["used"])
    return camera, token


def _plain(code: str) -> str:
    """Return a code as it is hashed: without what people add or leave out when they type it."""
    return re.sub(r"[\s-]", "", code).upper().translate(str.maketrans("OIL", "011"))


def update_camera(*, by: Any, camera: Camera, **changes: Any) -> Camera:
    """Change a camera's name, rig, codec, whether it is switched on, or how many hours of it are kept."""
    only_known(changes, {"name", "rig", "enabled", "codec", "keep_hours"}, "a camera")
    with one_write():
        camera = Camera.objects.select_for_update(of=("self",)).select_related("rig__project").get(pk=camera.pk)
        require(by, "change", camera)
        if "rig" in changes:
            require(by, "change", changes["rig"])
        for field, value in changes.items():
            setattr(camera, field, value)
        checked(camera).save(update_fields=list(changes) or None)
        transaction.on_commit(_wake)
    return camera


def _wake() -> None:
    from cameras.wake import wake_ingest

    wake_ingest()
