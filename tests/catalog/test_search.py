"""What is searched for is found by every name that it has now, whoever gave it; a long colony is found by typing."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from sessions import selectors, services
from sessions.models import Animal, DataFile, Recording, RecordingWords, Session, SessionAnimal, SessionWords, Task
from sessions.permissions import LABORATORY
from tests.catalog.conftest import HOUR, NOON

pytestmark = pytest.mark.django_db


def found(user, text) -> tuple[int, int]:
    """Return how many sessions and recordings a search finds."""
    rows = selectors.search(user, text)
    return len(rows["sessions"]), len(rows["recordings"])


def test_words_begin_what_they_find_and_numbers_are_words(lab, recording):
    for text in ("R214", "r21", "214", "odour", "odo seq", "R214 odour sequence"):
        assert found(lab.viewer, text) == (1, 1), text
    for text in ("day1 lfp npy", "day1/lfp.npy", "LFP"):
        assert found(lab.viewer, text) == (0, 1), text
    assert found(lab.viewer, "box 1") == (1, 0)
    # Of two letters nearly everything has a word that begins so; these are whole words.
    for text in ("od", "R2", "R214 elsewhere", "dour", "--", "\0"):
        assert found(lab.viewer, text) == (0, 0), text
    for text in ("' | 'r214", "!(r214):*"):
        assert found(lab.viewer, text) == (1, 1), text
    assert found(lab.outsider, "R214") == (0, 0)
    assert found(lab.administrator, "R214") == (1, 1)


def test_whoever_changes_a_name_what_has_it_is_found_by_it(lab, recording, put):
    session, animal = lab.session, lab.animal
    services.update_session(by=lab.experimenter, session=session, title="Étude no 7", narrative="calm")
    assert found(lab.viewer, "ÉTUDE 7") == (1, 1)
    assert found(lab.viewer, "calm") == (1, 0)
    services.update_animal(by=lab.experimenter, animal=animal, identifier="Q9x")
    assert found(lab.viewer, "q9x") == (1, 1)
    assert found(lab.viewer, "R214") == (0, 0)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lab_task SET name = 'maze'")
        cursor.execute("UPDATE lab_rig SET name = 'cellar'")
    assert found(lab.viewer, "maze") == (1, 1)
    assert found(lab.viewer, "cellar") == (1, 0)
    assert found(lab.viewer, "odour") == (0, 0)
    services.complete_recording(by=lab.experimenter, recording=recording, files=[{"path": put("more/later.npy")}])
    services.update_recording(by=lab.experimenter, recording=recording, name="tetrode")
    assert found(lab.viewer, "tetrode later day1") == (0, 1)
    SessionAnimal.objects.all().delete()
    assert found(lab.viewer, "q9x") == (0, 0)


def test_a_recording_of_many_files_is_found_by_the_first_of_them(lab, recording):
    root = recording.files.get().root
    DataFile.objects.bulk_create(
        DataFile(recording=recording, root=root, path=f"many/part{n}.npy", size=1, modified=NOON, order=n)
        for n in range(1000)
    )
    assert found(lab.viewer, "many part17") == (0, 1)
    assert len(str(RecordingWords.objects.get().words).split()) < 500


def test_what_is_deleted_leaves_no_words(lab):
    Session.objects.get().delete()
    assert not SessionWords.objects.exists()


def test_recordings_and_files_go_to_another_project_with_their_session(lab, api, recording):
    file = recording.files.get()
    kept = recording.history.count(), file.history.count()
    Session.objects.filter(pk=lab.session.pk).update(project=lab.other)
    for row in (recording, file):
        row.refresh_from_db()
        assert row.in_project_id == row.project.pk == lab.other.pk
    # That the database copied it is nobody's change.
    assert (recording.history.count(), file.history.count()) == kept
    for what in ("recordings", "files"):
        assert api("viewer").get(f"/api/v1/{what}/").json()["results"] == []
        assert len(api("administrator").get(f"/api/v1/{what}/").json()["results"]) == 1
    assert api("administrator").get(f"/api/v1/recordings/?project={lab.other.pk}").json()["count"] == 1
    # Whoever writes the copy himself does not move anything.
    Recording.objects.update(in_project=lab.project)
    DataFile.objects.update(in_project=lab.project)
    recording.refresh_from_db()
    file.refresh_from_db()
    assert recording.in_project_id == file.in_project_id == lab.other.pk


@pytest.fixture
def colony(lab):
    Animal.objects.bulk_create(Animal(identifier=f"N{n:03}", project=lab.project, species=lab.rat) for n in range(100))
    return lab


def offered(reply) -> list[str]:
    return [label for _, label in reply.context["form"].fields["animals"].widget.choices]


def test_of_a_long_colony_the_form_offers_the_latest_and_those_that_one_looks_for(colony):
    browser = Client()
    browser.force_login(colony.experimenter)
    assert offered(browser.get("/sessions/new/")) == ["R214"]
    chosen = Animal.objects.get(identifier="N042")
    body = {"animals": [chosen.pk], "task": colony.task.pk, "title": "typed", "narrative": "kept", "rig": ""}
    reply = browser.post("/sessions/new/", {**body, "find": "n00", "look": "1"})
    assert reply.status_code == 200
    assert offered(reply) == ["N042", *(f"N00{n}" for n in range(10))]
    # It comes back as it was filled in, and nothing was started.
    text = reply.content.decode()
    assert "typed" in text
    assert "kept" in text
    assert text.count("checked") == 1
    assert Session.objects.count() == 1
    assert len(offered(browser.post("/sessions/new/", {"find": "N", "look": "1"}))) == selectors.MOST_CHOICES
    assert (
        "None that is alive has zebra"
        in browser.post("/sessions/new/", {"find": "zebra", "look": "1"}).content.decode()
    )
    assert browser.get("/sessions/new/?animal=x&animal=").status_code == 200
    started = browser.post("/sessions/new/", {**body, "find": "N00"})
    assert started.status_code == 302
    assert Session.objects.get(title="typed").animals.get() == chosen


def test_a_small_colony_is_offered_whole(lab):
    services.create_animal(by=LABORATORY, identifier="A1", project=lab.project, species=lab.rat)
    browser = Client()
    browser.force_login(lab.experimenter)
    assert offered(browser.get("/sessions/new/")) == ["A1", "R214"]
    Task.objects.create(name="other")
    services.start_session(by=lab.experimenter, project=lab.project, start=NOON + 3 * HOUR, end=NOON + 4 * HOUR)
    assert offered(browser.get("/sessions/new/")) == ["A1", "R214"]
