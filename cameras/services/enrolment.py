"""Cameras come, change their token, are switched off."""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction

from cameras.models import Camera
from sessions.errors import Conflict, Invalid
from sessions.models import Rig
from sessions.permissions import require
from sessions.services.transaction import checked, one_write, only_known
from sessions.tokens import digest_of, new_key

_SLUG = re.compile(r"[-a-z0-9_]{1,50}")


def create_camera(*, by: Any, slug: str, name: str, rig: Rig, simulated: bool = False) -> tuple[Camera, str]:
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
            slug=slug, name=name.strip(), rig=rig, simulated=simulated or rig.simulated, token_digest=digest_of(token)
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


def update_camera(*, by: Any, camera: Camera, **changes: Any) -> Camera:
    """Change a camera's name, rig, or whether it is switched on."""
    only_known(changes, {"name", "rig", "enabled"}, "a camera")
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
