"""Registered commands in the admin: a new version is added, none is changed; the services decide."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminTextareaWidget

from analysis.commands import services
from analysis.commands.models import Command
from sessions.admin import AdministratorsAdmin
from sessions.errors import LabError

EXAMPLE = {
    "argv": ["/usr/bin/python3", "/srv/lab/rate.py", "{input.units}", "{param.threshold}", "{output.rate.json}"],
    "inputs": [{"name": "units", "kinds": ["units"], "summary": "Sorted units."}],
    "parameters": [
        {"name": "threshold", "kind": "number", "unit": "Hz", "summary": "Least rate of a unit.", "default": 0.1,
         "least": 0, "most": 100},
    ],
    "outputs": [{"name": "rate.json", "kind": "numbers"}],
    "timeout": 3600,
}  # fmt: skip


class CommandForm(forms.ModelForm):
    """Name, sentence, queue and declaration of a new version."""

    class Meta:
        model = Command
        fields = ("name", "summary", "queue", "declaration")
        widgets: ClassVar = {"declaration": UnfoldAdminTextareaWidget(attrs={"rows": 30, "spellcheck": "false"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if field := self.fields.get("declaration"):
            field.help_text = (
                "argv, inputs, parameters, outputs, timeout (s), largest (bytes), environment. The name of a command"
                " that is there already makes its next version."
            )
            field.encoder = _Pretty  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Refuse at its field what the services would refuse."""
        cleaned = super().clean() or self.cleaned_data
        wanted = ("name", "summary", "declaration", "queue")
        if all(name in cleaned for name in wanted):
            try:
                services.check(**{name: cleaned[name] for name in wanted})
            except LabError as error:
                raise ValidationError(error.errors) from error
        return cleaned

    def _post_clean(self) -> None:
        """Leave the row to the services, which give it its version."""


class _Pretty(json.JSONEncoder):
    """Writes JSON that a person edits."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


@admin.register(Command)
class CommandAdmin(AdministratorsAdmin):
    form = CommandForm
    list_display = ("pipeline", "version", "summary", "created", "created_by", "retired")
    list_filter = ("retired",)
    search_fields = ("name", "summary")
    list_select_related = ("created_by",)
    actions: ClassVar = ["retire", "bring_back"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Change no version once it is there; the list still has its actions."""
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Results name versions: they are retired, never deleted."""
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """Show all of a version, and ask for what makes a new one."""
        asked = ("name", "summary", "queue", "declaration")
        shown = ("version", "summary", "queue", "stated", "files", "created", "created_by", "retired", "changes")
        return asked if obj is None else ("name", *shown)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Nothing of a version is written."""
        return () if obj is None else self.get_fields(request, obj)

    @admin.display(description="declaration")
    def stated(self, command: Command) -> str:
        """Return the declaration as it is read best."""
        return format_html("<pre>{}</pre>", json.dumps(command.declaration, indent=2, ensure_ascii=False))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with the newest version of the command that the address names (``?name=rate``), or with an example."""
        newest = Command.objects.filter(name=request.GET.get("name", "")).order_by("-version").first()
        if newest is None:
            return {"declaration": EXAMPLE, "queue": "cpu", "name": request.GET.get("name", "")}
        return {name: getattr(newest, name) for name in ("name", "summary", "queue", "declaration")}

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Command:  # noqa: ARG002
        """Register it; the row that comes back is saved already."""
        values = {name: form.cleaned_data[name] for name in ("name", "summary", "queue", "declaration")}
        form.save_m2m = lambda: None
        return services.register(by=request.user, **values)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Leave it as the service wrote it."""

    @admin.action(description="Take out of use", permissions=["change"])
    def retire(self, request: HttpRequest, queryset: QuerySet[Command]) -> None:
        """Retire versions."""
        self._each(request, queryset.filter(retired__isnull=True), services.retire, "out of use")

    @admin.action(description="Put into use again", permissions=["change"])
    def bring_back(self, request: HttpRequest, queryset: QuerySet[Command]) -> None:
        """Bring versions back."""
        self._each(request, queryset.filter(retired__isnull=False), services.bring_back, "in use")

    def _each(self, request: HttpRequest, queryset: QuerySet[Command], act: Any, now: str) -> None:
        done = [str(act(by=request.user, command=command)) for command in queryset]
        self.message_user(request, f"{', '.join(done) or 'None'}: {now}.", messages.SUCCESS)
