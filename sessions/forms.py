"""Forms of the pages: what a field may be. What it means, and who may, the services say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from typing import Any, TypeVar

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import cached_property

from sessions import selectors
from sessions.errors import LabError
from sessions.models import (
    Animal,
    AnimalStatus,
    DataRoot,
    Project,
    Quality,
    RecordingKind,
    Rig,
    Session,
    Sex,
    Species,
    Strain,
    Task,
    TokenScope,
)
from sessions.permissions import projects_for, visible
from sessions.sheets.files import MOST_BYTES

T = TypeVar("T")


def carry_out(form: forms.Form, service: Callable[..., T], **values: Any) -> T | None:
    """Call a service; what it refuses is shown beside the form's fields, and ``None`` is returned."""
    try:
        return service(**values)
    except LabError as error:
        for field, messages in error.errors.items():
            form.add_error(field if field in form.fields else None, messages)
        if not error.errors:
            form.add_error(None, error.detail)
        return None


_FAR = "This day is not between 1900 and 2999."


class DayField(forms.DateField):
    """A day in the browser's own field, which shows nothing but days written as 2026-03-02, whatever the language.

    What is farther is a slip, and has no next day or none in every time zone.
    """

    default_validators = [
        MinValueValidator(date(1900, 1, 1), _FAR),
        MaxValueValidator(date(2999, 12, 31), _FAR),
    ]
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


class ChangeForm(forms.Form):
    """Changes only what its writer changed since the page was opened, and nothing over what somebody else did since.

    Beside each field the page holds what it showed there. ``initial`` is what the row says now.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = True

    @cached_property
    def changed_data(self) -> list[str]:
        """Names of the fields that differ from what the page showed; a field that was not sent is not one."""
        return [
            bound.name
            for bound in self
            if bound.data is not None and bound.field.has_changed(self._shown(bound), bound.data)
        ]

    def changes(self) -> dict[str, Any]:
        """Return the cleaned values of the fields that were changed."""
        return {name: self.cleaned_data[name] for name in self.changed_data}

    def clean(self) -> None:
        """Refuse a field that two people changed, once: who sends it again has read what the other wrote."""
        super().clean()
        for name in self.changed_data:
            bound = self[name]
            shown, now = self.data.get(bound.html_initial_name), bound.field.prepare_value(bound.initial)
            now = "" if now is None else str(now)
            if shown is not None and _lines(now) not in {_lines(shown), _lines(bound.data)}:
                self.data = self.data.copy()  # type: ignore[attr-defined]
                self.data[bound.html_initial_name] = now  # type: ignore[index]
                said = f"to “{bound.initial}”" if now else "to nothing"
                self.add_error(
                    name, f"Somebody changed this meanwhile, {said}. Send it again to put yours in its place."
                )

    def _shown(self, bound: forms.BoundField) -> Any:
        """Return what the page showed in a field; where it does not say so, what the row says now."""
        shown = self.data.get(bound.html_initial_name)
        try:
            return bound.initial if shown is None else bound.field.to_python(shown)
        except forms.ValidationError:
            return bound.initial


def _lines(text: str) -> str:
    return "\n".join(text.strip().splitlines())


def _choose(form: forms.Form, name: str, queryset: QuerySet[Any]) -> None:
    """Let a field choose among these rows: what a person may choose depends on who he is."""
    field = form.fields[name]
    if isinstance(field, forms.ModelChoiceField):
        field.queryset = queryset


class AnimalForm(ChangeForm):
    """An animal's facts."""

    identifier = forms.CharField(max_length=64, help_text="The name used in the laboratory, such as R214.")
    project = forms.ModelChoiceField(Project.objects.none())
    species = forms.ModelChoiceField(Species.objects.all())
    strain = forms.ModelChoiceField(Strain.objects.select_related("species"), required=False)
    genotype = forms.CharField(max_length=200, required=False)
    sex = forms.ChoiceField(choices=Sex.choices, initial=Sex.UNKNOWN)
    birth_date = DayField(required=False)
    death_date = DayField(required=False)
    status = forms.ChoiceField(choices=AnimalStatus.choices, initial=AnimalStatus.ALIVE)
    cage = forms.CharField(max_length=64, required=False)
    notes = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _choose(self, "project", projects_for(user, "change").order_by("name"))


class StartSessionForm(forms.Form):
    """Who does what, where: all that is needed to start."""

    animals = forms.ModelMultipleChoiceField(Animal.objects.none(), widget=forms.CheckboxSelectMultiple, required=False)
    find = forms.CharField(
        label="Find an animal", max_length=64, required=False,
        widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off", "autocapitalize": "none"}),
    )  # fmt: skip
    rig = forms.ModelChoiceField(Rig.objects.none(), required=False, empty_label="no rig")
    task = forms.ModelChoiceField(Task.objects.all(), required=False, empty_label="no task")
    project = forms.ModelChoiceField(
        Project.objects.none(), required=False, empty_label="that of the animals", help_text="Needed without an animal."
    )
    title = forms.CharField(max_length=200, required=False, help_text="Animals, task and day when left empty.")
    narrative = forms.CharField(label="Notes", required=False, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mine = projects_for(user, "change")
        choices: dict[str, Any] = {
            "animals": Animal.objects.filter(project__in=mine, status=AnimalStatus.ALIVE).select_related("project"),
            "rig": visible(user, Rig.objects.all()).order_by("name"),
            "project": mine.order_by("name"),
        }
        for name, queryset in choices.items():
            _choose(self, name, queryset)
        field = self.fields["animals"]
        sent: Any = self.data
        asked = sent.getlist("animals") if self.is_bound else self.initial.get("animals", ())
        text = (sent if self.is_bound else self.initial).get("find", "")
        shown = selectors.animals_to_choose(choices["animals"], text, asked)
        # Any of them may be sent; a colony of thousands is not drawn.
        field.widget.choices = [(animal.pk, str(animal)) for animal in shown.rows]
        field.help_text = shown.told


class NotesForm(ChangeForm):
    """What people write and judge about a session."""

    title = forms.CharField(max_length=200, required=False)
    quality = forms.ChoiceField(choices=Quality.choices, required=False)
    narrative = forms.CharField(label="Notes", required=False, widget=forms.Textarea(attrs={"rows": 6}))


class MoveForm(forms.Form):
    """Which animal a session was taken for, and whose it was."""

    from_animal = forms.ModelChoiceField(Animal.objects.none(), empty_label=None, label="It was written down for")
    to_animal = forms.CharField(max_length=64, label="It was of", help_text="Identifier of the animal.")
    reason = forms.CharField(max_length=1000, required=False, help_text="Stands in the note that tells of it.")

    def __init__(self, *args: Any, user: Any, session: Session, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        _choose(self, "from_animal", session.animals.select_related("project").order_by("identifier"))

    def clean_to_animal(self) -> Animal:
        """Return the animal of an identifier."""
        rows = visible(self.user, Animal.objects.select_related("project"))
        found: Animal | None = rows.filter(identifier=self.cleaned_data["to_animal"]).first()
        if found is None:
            raise forms.ValidationError("There is no such animal, or none that you may see.")
        return found


class RegisterForm(forms.Form):
    """Files that lie on the server, as a recording."""

    kind = forms.ChoiceField(choices=RecordingKind.choices)
    root = forms.ModelChoiceField(DataRoot.objects.all(), to_field_name="name", empty_label=None, label="Data root")
    paths = forms.CharField(
        label="Files", widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One path below the data root on each line.",
    )  # fmt: skip
    name = forms.CharField(max_length=100, required=False, help_text="Probe, camera or tracker.")
    parameters = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text='What a reader must know, as JSON: {"rate": 1250, "unit": "uV"}; raw binary: channels, rate, dtype.',
    )  # fmt: skip

    def clean_paths(self) -> list[str]:
        """Return the lines that are not empty."""
        return [line.strip() for line in self.cleaned_data["paths"].splitlines() if line.strip()]

    def clean_parameters(self) -> dict[str, Any]:
        """Return the JSON object, or say what is wrong with it."""
        text = self.cleaned_data["parameters"].strip()
        if not text:
            return {}
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise forms.ValidationError('Write an object, such as {"rate": 1250}.')
        return value


class TokenForm(forms.Form):
    """A key for a script."""

    name = forms.CharField(max_length=100, help_text="What uses it, such as box 3 controller.")
    scope = forms.ChoiceField(choices=TokenScope.choices, initial=TokenScope.WRITE)
    expires = DayField(required=False, help_text="Never when left empty.")

    def clean_expires(self) -> Any:
        """Return the end of that day; a day that is over is refused."""
        day = self.cleaned_data["expires"]
        if day is None:
            return None
        if day < timezone.localdate():
            raise forms.ValidationError("This day is over.")
        return timezone.make_aware(datetime.combine(day, time(23, 59, 59)))


class SheetForm(forms.Form):
    """A spreadsheet to look at."""

    field_order = ("kind", "file")
    file = forms.FileField(
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.xlsx"}),
        help_text=f"CSV in UTF-8, or XLSX; at most {MOST_BYTES // 1_000_000} MB.",
    )

    def __init__(self, *args: Any, kinds: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"] = forms.ChoiceField(label="It lists", choices=[(kind, kind) for kind in kinds])
        self.order_fields(self.field_order)

    def clean_file(self) -> Any:
        """Return the file, unless it is longer than is read."""
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise forms.ValidationError(
                f"The file has {file.size / 1e6:.0f} MB; at most {MOST_BYTES // 1_000_000} MB are read at once."
            )
        return file


class SheetOutForm(forms.Form):
    """What of the catalog goes into a spreadsheet."""

    project = forms.ModelChoiceField(Project.objects.none(), required=False, to_field_name="name")
    session = forms.UUIDField(required=False)
    empty = forms.BooleanField(required=False)

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _choose(self, "project", projects_for(user))


class AnimalListFilter(forms.Form):
    """Filters of the animals' list."""

    q = forms.CharField(required=False, label="Search", max_length=100)
    project = forms.ModelChoiceField(Project.objects.none(), required=False, empty_label="all projects")
    status = forms.ChoiceField(choices=[("", "any status"), *AnimalStatus.choices], required=False)

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _choose(self, "project", projects_for(user).order_by("name"))


class SessionListFilter(forms.Form):
    """Filters of the sessions' list."""

    day = DayField(required=False)
    rig = forms.ModelChoiceField(Rig.objects.none(), required=False, empty_label="all rigs")
    animal = forms.CharField(required=False, max_length=64)
    state = forms.ChoiceField(
        choices=[("", "running and ended"), ("running", "running"), ("ended", "ended")], required=False
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _choose(self, "rig", visible(user, Rig.objects.all()).order_by("name"))


class RecordingListFilter(forms.Form):
    """Filters of the recordings' list."""

    q = forms.CharField(required=False, label="Search", max_length=100)
    kind = forms.ChoiceField(choices=[("", "all kinds"), *RecordingKind.choices], required=False)
    state = forms.ChoiceField(
        choices=[("", "whatever their files"), ("wrong", "files missing, changed or damaged")], required=False
    )


def session_initial(session: Session) -> dict[str, Any]:
    """Return what the notes' form starts with."""
    return {"title": session.title, "quality": session.quality, "narrative": session.narrative}
