"""The pages of jobs and results, as a browser without scripts gets them."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Lock
from types import SimpleNamespace

import pytest
from django.utils import timezone
from django.utils.html import escape

from analysis import drawings
from analysis.jobs import transitions
from analysis.jobs.models import Job, Worker
from analysis.services import submit
from tests.jobs.conftest import ended, record


@pytest.fixture
def browse(client, lab):
    client.force_login(lab.experimenter)
    return client


def queue(lab, **parameters) -> Job:
    return submit(user=lab.experimenter, pipeline="test.mean", recordings=[lab.recording.pk], parameters=parameters).job


@pytest.mark.django_db
def test_an_empty_list_says_what_to_do_next(browse):
    page = browse.get("/jobs/").content.decode()
    assert "Nothing was computed yet" in page
    assert 'href="/jobs/new/"' in page


@pytest.mark.django_db
def test_the_form_has_every_parameter_with_unit_limits_and_default(browse, lab):
    page = browse.get(f"/jobs/new/?recording={lab.recording.pk}&pipeline=test.mean").content.decode()
    assert 'name="p.window" value="0.5"' in page
    assert '<span class="unit">s</span>' in page
    assert 'max="10"' in page
    assert '<option value="&quot;median&quot;">median</option>' in page
    assert f'value="{lab.recording.pk}" checked' in page
    for name in ("decode.position", "ephys.lfp", "video.track"):
        whole = browse.get(f"/jobs/new/?pipeline={name}")
        assert whole.status_code == 200
    fragment = browse.get("/jobs/new/?pipeline=test.mean", headers={"HX-Request": "true"}).content.decode()
    assert fragment.lstrip().startswith("<form")


@pytest.mark.django_db
def test_a_wrong_filter_breaks_no_list(browse):
    for query in ("pipeline=%00", "pipeline=none", "state=%00", "page=%00"):
        assert browse.get(f"/jobs/?{query}").status_code == 200, query


@pytest.mark.django_db
def test_a_wrong_parameter_is_told_at_its_field_and_nothing_is_lost(browse, lab):
    form = {
        "pipeline": "test.mean", "input-0": str(lab.recording.pk), "filled": "1",
        "p.window": "40", "p.mode": '"median"', "p.shifts": "3", "seed": "7",
    }  # fmt: skip
    reply = browse.post("/jobs/new/", form)
    page = reply.content.decode()
    assert reply.status_code == 400
    assert "Write at most 10." in page
    assert 'name="p.window" value="40"' in page
    assert '<option value="&quot;median&quot;" selected>median</option>' in page
    assert 'name="seed" inputmode="numeric" value="7"' in page
    assert not Job.objects.exists()
    reply = browse.post("/jobs/new/", form | {"p.window": "4", "p.rectify": "on"})
    job = Job.objects.get()
    assert reply["Location"] == f"/jobs/{job.pk}/"
    assert job.parameters == {"window": 4.0, "mode": "median", "shifts": 3, "rectify": True}
    assert job.seed == 7
    again = browse.post("/jobs/new/", form | {"p.window": "4", "p.rectify": "on"}, follow=True)
    assert "This was asked before" in again.content.decode()
    for wrong, said in (({"seed": "x"}, "whole number"), ({"input-0": ""}, "at least one recording")):
        assert said in browse.post("/jobs/new/", form | {"p.window": "5"} | wrong).content.decode()


@pytest.mark.django_db
def test_the_page_says_when_nobody_computes(browse, lab):
    job = queue(lab)
    url = f"/jobs/{job.pk}/"
    assert "No worker of the queue cpu has ever been seen" in browse.get(url).content.decode()
    row = Worker.objects.create(name="one", queues=["cpu"], started=timezone.now(), seen=timezone.now())
    assert "No worker" not in browse.get(url).content.decode()
    Worker.objects.filter(pk=row.pk).update(seen=timezone.now() - timedelta(minutes=7))
    assert "No worker of the queue cpu has been seen for 7 min" in browse.get(url).content.decode()
    transitions.claim(job_id=job.pk, worker="one")
    Job.objects.update(heartbeat=timezone.now() - timedelta(minutes=3))
    assert "Its worker one has not been heard of for 3 min" in browse.get(f"{url}live/").content.decode()


@pytest.mark.django_db
def test_progress_and_time_left_while_it_runs(browse, lab):
    job = queue(lab)
    held = transitions.claim(job_id=job.pk, worker="one")
    transitions.beat(held, progress=0.25, message="fold 3 of 10", log="a line\n")
    Job.objects.update(started=timezone.now() - timedelta(seconds=60))
    live = browse.get(f"/jobs/{job.pk}/live/").content.decode()
    assert "fold 3 of 10" in live
    assert "25 %" in live
    assert "about 3 min left" in live
    assert 'hx-trigger="every 1s"' in live
    rows = browse.get("/jobs/", headers={"HX-Request": "true"}).content.decode()
    assert "25 %" in rows
    assert 'hx-trigger="every 2s"' in rows
    assert browse.post(f"/jobs/{job.pk}/cancel/").status_code == 302
    assert "being cancelled" in browse.get(f"/jobs/{job.pk}/live/").content.decode()
    transitions.cancelled(held)
    reply = browse.get(f"/jobs/{job.pk}/live/")
    assert reply["HX-Refresh"] == "true"
    assert browse.post(f"/jobs/{job.pk}/cancel/").status_code == 409
    assert browse.post(f"/jobs/{job.pk}/again/")["Location"] != f"/jobs/{job.pk}/"


@pytest.mark.django_db(transaction=True)
def test_the_result_page_has_numbers_figures_files_and_where_they_come_from(browse, lab, worker):
    job = ended(queue(lab))
    page = browse.get(f"/jobs/{job.pk}/").content.decode()
    assert "<b>1 mV</b>" in page
    for kind in ("png", "svg", "pdf", "json"):
        assert f'href="/api/v1/results/{job.result.pk}/figures/values.{kind}"' in page
    assert "values.npy" in page
    drawing = browse.get(f"/api/v1/results/{job.result.pk}/figures/values.svg")
    # Opened by itself it must look as it is: its styles are attributes, which the policy of the pages forbids.
    assert "style-src 'unsafe-inline'; " in drawing["Content-Security-Policy"]
    assert "script" not in drawing["Content-Security-Policy"]
    assert b"</svg>" in b"".join(drawing.streaming_content)
    assert job.result.artifacts.get().sha256[:16] in page
    assert lab.recording.files.get().sha256[:16] in page
    assert "numpy " in page
    for theme in ("light", "dark"):
        item = browse.get(f"/results/{job.result.pk}/figures/values/{theme}.json")
        assert item.status_code == 200
        assert b'"root_id"' in b"".join(item.streaming_content)
    assert browse.get(f"/results/{job.result.pk}/figures/values/pink.json").status_code == 404
    # What another version of the code had drawn is drawn again, and does not pile up.
    kept = drawings.kept_folder(job.result)
    outdated = kept.parent / "000000000000"
    kept.rename(outdated)
    item = browse.get(f"/results/{job.result.pk}/figures/values/light.json")
    assert b'"root_id"' in b"".join(item.streaming_content)
    assert [each.name for each in kept.parent.iterdir()] == [drawings.drawn_as()]
    assert [each.name for each in kept.iterdir()] == ["values.light.json"]
    again = browse.post(f"/results/{job.result.pk}/reproduce/")
    repeated = ended(Job.objects.get(pk=again["Location"].split("/")[2]))
    reproduced = browse.get(f"/results/{repeated.result.pk}/").content.decode()
    assert "Reproduced: 1 number and the data of 1 figure agree" in reproduced
    assert "<td>agrees</td>" in reproduced
    text = browse.get(f"/api/v1/results/{job.result.pk}/").json()["methods_text"]
    assert "analysed with test.mean 1.0 of ourlab-pipelines 1.0 (SHA-256 " in text
    assert "), run by Labsite" in text
    assert "seed of random numbers: 1" in text
    assert lab.recording.files.get().sha256[:12] in text
    assert "numpy " in text
    assert escape(text) in page
    changed = repeated.result
    changed.metrics["mean"]["value"] = 1.0000001
    changed.save()
    assert "Not all agrees" in browse.get(f"/results/{repeated.result.pk}/").content.decode()
    changed.metrics["mean"]["value"] = 1.0
    changed.save()
    drawings.data_path(changed, "values").unlink()
    gone = browse.get(f"/results/{repeated.result.pk}/").content.decode()
    assert "Not all agrees" in gone
    assert "<b>is not there</b>" in gone


def test_drawings_that_are_asked_for_at_once_make_room_without_taking_each_other_away(tmp_path, settings):
    settings.LAB_RESULTS = tmp_path
    result = SimpleNamespace(folder="job/1")

    def keep(number):
        path = drawings.kept_folder(result) / f"{number}.svg"
        return drawings.keep(path, lambda part: part.write_text("drawn"), alone=Lock())

    with ThreadPoolExecutor(8) as several:
        for _ in range(30):
            paths = list(several.map(keep, range(8)))
            assert all(path.read_text() == "drawn" for path in paths)
            assert len(list(paths[0].parent.parent.iterdir())) == 1
            paths[0].parent.rename(paths[0].parent.with_name("000000000000"))


def test_drawings_are_named_by_the_code_and_the_libraries_that_draw_them(tmp_path):
    modules = tmp_path / "figures"
    shutil.copytree(Path(drawings.__file__).parent / "figures", modules)
    as_it_is = drawings.fingerprint([modules], ["bokeh 3"])
    assert drawings.fingerprint([modules], ["bokeh 3"]) == as_it_is
    assert drawings.fingerprint([modules], ["bokeh 4"]) != as_it_is
    with (modules / "page.py").open("a") as code:
        code.write("# another way\n")
    assert drawings.fingerprint([modules], ["bokeh 3"]) != as_it_is


@pytest.mark.django_db
@pytest.mark.parametrize(("who", "page", "form"), [("outsider", 404, 404), ("viewer", 200, 403), ("manager", 200, 302)])
def test_pages_follow_the_roles(client, lab, who, page, form):
    job = queue(lab)
    assert client.get(f"/jobs/{job.pk}/")["Location"].startswith("/login/")
    client.force_login(getattr(lab, who))
    assert client.get(f"/jobs/{job.pk}/").status_code == page
    assert client.post(f"/jobs/{job.pk}/cancel/").status_code == form
    shown = client.get("/jobs/").content.decode()
    assert ("test.mean" in shown.split('id="jobs"')[1]) == (page == 200)
    offered = client.get(f"/jobs/new/?pipeline=test.mean&recording={lab.recording.pk}").content.decode()
    assert ("probe" in offered) == (who == "manager")


@pytest.mark.django_db
def test_lists_cost_a_constant_number_of_queries(browse, lab, django_assert_max_num_queries):
    for number in range(12):
        recording = record(lab.session, f"probe{number}")
        submit(user=lab.experimenter, pipeline="test.mean", recordings=[recording.pk])
    with django_assert_max_num_queries(12):
        browse.get("/jobs/")


@pytest.mark.django_db
def test_a_session_shows_what_was_computed_of_it_and_nothing_else(browse, lab):
    queue(lab)
    htmx = {"HX-Request": "true"}
    here = browse.get(f"/jobs/?session={lab.recording.session_id}", headers=htmx).content.decode()
    assert "test.mean" in here
    elsewhere = browse.get("/jobs/?session=00000000-0000-4000-8000-000000000000", headers=htmx).content.decode()
    assert "Nothing was computed of this session yet" in elsewhere
    assert browse.get("/jobs/?session=of-yesterday").status_code == 404
