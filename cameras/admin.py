"""Cameras in the admin; a camera is made over REST or by its page, because its token is shown once."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from cameras import services
from cameras.addresses import enrolment_command
from cameras.models import Camera, CameraRecording
from sessions.admin import LabAdmin
from sessions.errors import LabError


@admin.register(Camera)
class CameraAdmin(LabAdmin):
    project_path = "rig__project"
    list_display = ("slug", "name", "rig", "codec", "enabled", "keep_hours", "simulated", "created")
    list_filter = ("enabled", "codec", "rig")
    search_fields = ("slug", "name", "rig__name")
    fields = ("slug", "name", "rig", "codec", "enabled", "keep_hours")
    actions = ("enrol_a_box", "give_new_token")

    def get_readonly_fields(self, request: HttpRequest, obj: Camera | None = None) -> tuple[str, ...]:
        """A slug is in addresses and folder names; it stays."""
        return ("slug",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Camera, form: Any, change: bool) -> None:
        """A new camera's token is shown once, here."""
        if change:
            changes = {field: form.cleaned_data[field] for field in form.changed_data}
            services.update_camera(by=request.user, camera=obj, **changes)
            return
        made, token = services.create_camera(
            by=request.user, slug=obj.slug, name=obj.name, rig=obj.rig, codec=obj.codec
        )
        if obj.keep_hours:
            services.update_camera(by=request.user, camera=made, keep_hours=obj.keep_hours)
        obj.pk, obj.token_digest = made.pk, made.token_digest
        obj._state.adding = False
        messages.success(request, f"The token of {made.slug}, shown this once: {token}")

    @admin.action(description="Enrol a box: give a code that works once, for an hour")
    def enrol_a_box(self, request: HttpRequest, queryset: QuerySet[Camera]) -> None:
        for camera in queryset.select_related("rig__project"):
            try:
                enrolment, code = services.offer_enrolment(by=request.user, camera=camera)
            except LabError as error:
                messages.error(request, f"{camera.slug}: {error.detail}")
            else:
                until = timezone.localtime(enrolment.expires)
                command = enrolment_command(request, code)
                messages.success(request, f"On the box of {camera.slug}, until {until:%H:%M}: {command}")

    @admin.action(description="Give a new token")
    def give_new_token(self, request: HttpRequest, queryset: QuerySet[Camera]) -> None:
        for camera in queryset.select_related("rig__project"):
            try:
                token = services.rotate_token(by=request.user, camera=camera)
            except LabError as error:
                messages.error(request, f"{camera.slug}: {error.detail}")
            else:
                messages.success(request, f"The new token of {camera.slug}, shown this once: {token}")


@admin.register(CameraRecording)
class CameraRecordingAdmin(LabAdmin):
    project_path = "session__project"
    list_display = ("camera", "session", "state", "started", "frames", "lost", "proxy")
    list_filter = ("state", "proxy", "camera")
    date_hierarchy = "started"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """What was recorded is written by the recorder."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
