"""Moving in from Alyx: a real colony's dump, every record accounted for, twice without a duplicate."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from sessions.alyx.care import CARE
from sessions.models import (
    Administration,
    Animal,
    Housing,
    Procedure,
    Project,
    Restriction,
    Session,
    Strain,
    Weighing,
)
from tests.data import shared_data

pytestmark = pytest.mark.django_db


def take(file: Path, *options: str) -> str:
    said = io.StringIO()
    call_command("import_alyx", str(file), *options, stdout=said)
    return said.getvalue()


def told(report: Path) -> dict[str, dict[str, list[str]]]:
    """Reasons by model and outcome."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in csv.DictReader(io.StringIO(report.read_text("utf-8-sig"))):
        found.setdefault(row["model"], {}).setdefault(row["outcome"], []).append(row["reason"])
    return found


def rows() -> dict[str, set]:
    models = (
        Animal, Session, Project, Strain, get_user_model(), Procedure, Weighing, Administration, Restriction, Housing,
    )  # fmt: skip
    return {model.__name__: set(model.objects.values_list("pk", flat=True)) for model in models}


def test_a_real_colony_moves_in_and_a_second_time_changes_nothing(tmp_path):
    file = shared_data("alyx_dump") / "all_dumped_anon.json.gz"
    said = take(file, "--report", str(tmp_path / "first.csv"))
    first = told(tmp_path / "first.csv")
    records = json.loads(gzip.decompress(file.read_bytes()))
    assert sum(len(reasons) for model in first.values() for reasons in model.values()) == len(records) == 2120
    assert "Africa/Djibouti" in said
    animals, sessions = first["subjects.subject"], first["actions.session"]
    assert (len(animals["imported"]), len(animals["refused"])) == (960, 8)
    assert set(animals["refused"]) == {"The date of death is before the date of birth."}
    # The dump holds 202 and 106 copies of two sessions: what starts at the same moment with one animal is one.
    assert (len(sessions["imported"]), len(sessions["merged"])) == (30, 307)
    assert all("is in the catalog already" in reason for reason in sessions["merged"])
    care = {model: {outcome: len(reasons) for outcome, reasons in first[model].items()} for model in CARE}
    assert care == {
        "actions.surgery": {"imported": 121},
        "actions.weighing": {"imported": 50},
        "actions.wateradministration": {"imported": 50},
        "actions.waterrestriction": {"imported": 10, "refused": 53},
    }
    # None of them has a reference weight, most animals were never weighed before, and some overlap.
    assert set(first["actions.waterrestriction"]["refused"]) == {
        "It has no reference weight, and no weighing before it gives one.",
        "This animal is already under such a restriction at that time.",
    }
    assert len(first["misc.labmember"]["imported"]) == 29
    assert len(first["subjects.strain"]["imported"]) == 9
    assert all(reason for outcomes in first.values() for reason in outcomes.get("refused", []))
    assert Animal.objects.count() == 960
    before = rows()
    said = take(file, "--report", str(tmp_path / "second.csv"))
    second = told(tmp_path / "second.csv")
    assert rows() == before
    assert all("imported" not in outcomes for outcomes in second.values()), said
    assert len(second["subjects.subject"]["merged"]) == 960
    assert len(second["subjects.subject"]["refused"]) == 8
    assert len(second["actions.session"]["merged"]) == 337
    assert len(second["actions.surgery"]["merged"]) == 121


def test_what_the_records_say_is_kept(tmp_path):
    take(shared_data("alyx_dump") / "all_dumped_anon.json.gz", "--time-zone", "Europe/London", "--project", "Colony")
    animal = Animal.objects.get(identifier="01228d")
    assert (animal.sex, animal.birth_date, animal.cage, animal.status) == ("F", date(2017, 5, 6), "117111", "alive")
    assert animal.project.name == "Colony"
    assert animal.species.latin_name == "Mus musculus"
    assert animal.responsible.username
    assert not animal.responsible.is_active
    assert not animal.responsible.has_usable_password()
    assert not animal.responsible.is_superuser
    assert "ear mark: TL" in animal.notes
    assert "cage before: None until 2017-05-31T10:29:02.071468+00:00" in animal.notes
    session = Session.objects.get(start=datetime(2017, 6, 6, 21, 29, 59, tzinfo=UTC))
    assert session.end == session.start
    assert "When it ended is not known." in session.narrative
    history = animal.history.get()
    assert history.pgh_context.metadata["url"] == "Alyx dump all_dumped_anon.json.gz"


def small(*records: tuple[str, dict]) -> list[dict]:
    species = {
        "model": "subjects.species",
        "pk": str(uuid4()),
        "fields": {"name": "Rattus norvegicus", "nickname": "rat"},
    }
    made = [species]
    for model, fields in records:
        whole = {"species": species["pk"], **fields} if model == "subjects.subject" else dict(fields)
        made.append({"model": model, "pk": whole.pop("pk", str(uuid4())), "fields": whole})
    return made


def written(folder: Path, data: object, name: str = "dump.json") -> Path:
    file = folder / name
    file.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return file


def test_what_cannot_be_is_refused_alone_and_the_rest_is_taken(tmp_path):
    one, two = str(uuid4()), str(uuid4())
    data = small(
        ("subjects.subject", {"nickname": "R1", "pk": one, "birth_date": "2020-01-01", "death_date": None, "sex": "M"}),
        ("subjects.subject", {"nickname": "R2", "pk": two, "birth_date": "yesterday"}),
        ("subjects.subject", {"nickname": "", "birth_date": None}),
        ("subjects.subject", {"nickname": "R3\0" + "x" * 100}),
        ("actions.session", {"subject": one, "start_time": "2021-03-28T01:30:00"}),
        ("actions.session", {"subject": one, "start_time": "2020-10-25T01:30:00"}),
        ("actions.session", {"subject": one, "start_time": "2021-01-01T10:00:00", "end_time": "2021-01-01T09:00:00"}),
        ("actions.session", {"subject": one, "start_time": "2021-01-02T10:00:00+02:00", "narrative": "kept"}),
        ("actions.session", {"subject": one, "start_time": "2021-01-02T08:00:00Z", "narrative": "another"}),
        ("actions.session", {"subject": one, "start_time": "noon"}),
        ("actions.session", {"subject": one, "start_time": None}),
        ("actions.session", {"subject": two, "start_time": "2021-01-01T10:00:00"}),
        ("actions.session", {"subject": one, "start_time": "2019-01-01T10:00:00"}),
        ("actions.unheardof", {"subject": one}),
    )
    take(written(tmp_path, data), "--time-zone", "Europe/London", "--report", str(tmp_path / "report.csv"))
    outcome = told(tmp_path / "report.csv")
    assert list(Animal.objects.values_list("identifier", flat=True)) == ["R1"]
    assert Session.objects.get().narrative.startswith("kept")
    assert sorted(outcome["actions.session"]["refused"]) == [
        "Another session of R1 starts at the same moment, and its notes are others.",
        "It has no start.",
        "Its animal R2 was not taken.",
        "R1 was born on 2020-01-01, after this session.",
        "The session ends before it starts.",
        "start_time is 'noon', which is no time.",
        "start_time is 2020-10-25 01:30:00, which the clocks of Europe/London showed twice; write it with its offset.",
        "start_time is 2021-03-28 01:30:00, which the clocks of Europe/London left out.",
    ]
    assert len(outcome["subjects.subject"]["refused"]) == 3
    assert outcome["actions.unheardof"] == {
        "refused": ["the catalog has no place for it, and nothing that was taken names it"]
    }


def test_an_animal_of_the_same_name_that_is_another_is_not_merged(lab, tmp_path):
    lab.animal.birth_date = date(2025, 1, 1)
    lab.animal.save()
    data = small(("subjects.subject", {"nickname": "R214", "birth_date": "2020-01-01"}))
    said = take(written(tmp_path, data))
    assert "Another animal is called R214: its birth_date is 2025-01-01, here it is 2020-01-01." in said


def test_a_check_writes_nothing(tmp_path):
    file = written(tmp_path, small(("subjects.subject", {"nickname": "R1"})))
    assert "nothing was written" in take(file, "--check")
    assert not Animal.objects.exists()
    assert not Project.objects.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not JSON"),
        (b"{}", "no list of records"),
        (b"[1]", "Record 0 has no model"),
        (b"[" * 100_000, "is not JSON"),
        (b"\x1f\x8b broken", "damaged"),
        (gzip.compress(b"[]", mtime=0)[:-6], "damaged"),
        (b"[]", "neither subjects nor actions"),
        (b'[{"model": "auth.user", "pk": 1, "fields": {}}]', "neither subjects nor actions"),
        (b'[{"model": "subjects.subject", "pk": 1, "fields": {}}]', "no UUID"),
    ],
)
def test_a_file_that_is_no_dump_is_refused(tmp_path, content, sentence):
    with pytest.raises(CommandError, match=sentence):
        take(written(tmp_path, content))


def test_wrong_options_are_refused(tmp_path):
    file = written(tmp_path, small(("subjects.subject", {"nickname": "R1"})))
    for options, sentence in (
        (("--time-zone", "Mars/Olympus"), "no time zone 'Mars/Olympus'"),
        (("--time-zone", "../etc/passwd"), "no time zone"),
        (("--by", "stranger"), "no active user 'stranger'"),
    ):
        with pytest.raises(CommandError, match=sentence):
            take(file, *options)
    with pytest.raises(CommandError, match="cannot be read"):
        take(tmp_path / "missing.json")
    assert not Animal.objects.exists()
