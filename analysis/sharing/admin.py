"""Links to results in the admin: an administrator finds every one, and revokes it; none is made or changed there."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from analysis.sharing import services
from analysis.sharing.models import ShareLink
from sessions.admin import AdministratorsAdmin


@admin.register(ShareLink)
class ShareLinkAdmin(AdministratorsAdmin):
    readonly_fields = ()
    list_display = ("result", "note", "created", "created_by", "expires", "revoked", "uses", "last_used")
    list_filter = ("revoked", "expires")
    list_select_related = ("result__job", "created_by")
    search_fields = ("note", "created_by__username", "result__job__pipeline")
    date_hierarchy = "created"
    actions: ClassVar = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """A link is made where its address is shown."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Change no link; the list still has its action."""
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """A link is revoked, not forgotten."""
        return False

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ShareLink]) -> None:
        """Revoke links, also those that have expired."""
        revoked = [services.revoke(by=request.user, link=link) for link in queryset.filter(revoked__isnull=True)]
        self.message_user(request, f"{len(revoked)} revoked: they show nothing any more.", messages.SUCCESS)
