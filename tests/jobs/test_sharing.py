"""A result by a link: read without login for as long as its makers like, and nothing else of the laboratory."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from analysis.jobs.models import Job, Result
from analysis.pipelines import registry
from analysis.services import submit
from analysis.sharing import page, services
from analysis.sharing.models import ShareLink
from sessions.errors import Conflict, Forbidden, Invalid, NotFound
from tests.jobs.conftest import ended
from tests.roles.everything import keep_figure

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _uncounted():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def result(lab) -> Result:
    """A result with a figure, numbers, and a provenance that names what no stranger should read."""
    job = submit(user=lab.experimenter, pipeline="test.gate", recordings=[lab.recording.pk],
                 parameters={"folder": "/srv/secret/of ana/gate"}).job  # fmt: skip
    job.state, job.finished, job.started, job.attempt = "succeeded", timezone.now(), timezone.now(), 1
    job.worker = "cpu@server.of.the.lab"
    job.save()
    return Result.objects.create(
        job=job, attempt=1, folder=keep_figure("shared-one"),
        summary="Read from /srv/secret/run.npz by ana@example.org.",
        metrics={"error": {"value": 5.25, "unit": "cm", "label": "median error", "definition": "of all bins",
                           "headline": True, "order": 0}},
        figures=[{"name": "values", "title": "Values", "caption": "Every value.", "file": "values.json"}],
        provenance={
            "pipeline": "test.gate", "version": "1.0", "seed": 1, "worker": "cpu@server.of.the.lab",
            "inputs": [{"recording": str(lab.recording.pk), "label": "LFP probe (run 1)", "kind": "lfp",
                        "format": "lfp-npz", "files": [{"file": "x", "name": "probe.npz", "size": 8_000,
                        "revision": 1, "sha256": "ab" * 32}]}],
            "environment": {
                "python": "3.11.9", "cores": 2, "memory": 8_000_000_000,
                "packages": {"numpy": "2.3.1"}, "platform": "Linux-of-the-server",
                "command": {"name": "command.own", "version": "3", "argv": ["/srv/secret/bin/tool", "/srv/secret/in"],
                            "files": {"/srv/secret/bin/tool": "cd" * 32}},
            },
        },
    )  # fmt: skip


def address(key: str, *more: str) -> str:
    return "/".join((f"/shared/{key}", *more, "")) if not more else f"/shared/{key}/" + "/".join(more)


@pytest.mark.django_db
def test_whoever_has_the_link_sees_the_result_and_no_place_or_person_of_the_laboratory(lab, result):
    link, key = services.share(by=lab.experimenter, result=result, expires=timezone.now() + HOUR)
    stranger = Client()
    shown = stranger.get(address(key))
    text = shown.content.decode()
    assert shown.status_code == 200
    assert "5.25" in text
    assert "median error" in text
    assert "ab" * 32 in text
    assert "numpy 2.3.1" in text
    assert "Read from run.npz by …." in text
    assert "tool" in text
    for hidden in ("/srv", "secret", "ana@", "server.of.the.lab", "Linux-of-the-server", lab.experimenter.username,
                   str(lab.recording.pk), str(result.pk), str(result.job.pk), "argv"):  # fmt: skip
        assert hidden not in text, hidden
    # No way leads from here to the laboratory: what is not a file of the page's looks is below the link.
    leads = re.findall(r'(?:href|src|action|data-item|data-png)="([^"]+)"', text)
    assert leads
    assert [one for one in leads if not one.startswith(("/static/", f"/shared/{key}/", "#"))] == []
    assert shown["X-Robots-Tag"] == "noindex, nofollow, noarchive"
    assert shown["Referrer-Policy"] == "no-referrer"
    assert shown["Cache-Control"] == "private, no-store"
    assert not stranger.cookies
    kinds = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
    files = {f"values.{ending}": kind for ending, kind in kinds.items()}
    files |= {f"values/{theme}.json": "application/json" for theme in ("light", "dark")}
    for file, kind in files.items():
        reply = stranger.get(address(key, "figures", file))
        assert (reply.status_code, reply["Content-Type"]) == (200, kind)
        assert reply["Cache-Control"] == "private, no-store"
        assert b"".join(reply.streaming_content)
    link.refresh_from_db()
    assert (link.uses, link.last_used is not None) == (1, True)


@pytest.mark.django_db
def test_expired_revoked_unknown_and_absent_are_all_the_same_page(lab, result):
    expired, of_expired = services.share(by=lab.experimenter, result=result, expires=timezone.now() + HOUR)
    long_ago = timezone.now() - 2 * HOUR
    ShareLink.objects.filter(pk=expired.pk).update(created=long_ago, expires=long_ago + HOUR)
    revoked, of_revoked = services.share(by=lab.experimenter, result=result)
    _, of_shown = services.share(by=lab.experimenter, result=result)
    assert Client().get(address(of_revoked)).status_code == 200
    services.revoke(by=lab.manager, link=revoked)
    asked = [
        address(of_expired), address(of_revoked), address("share_unknown"), address(revoked.digest),
        address(of_revoked, "figures", "values.png"), address(of_expired, "figures", "values", "light.json"),
        address(of_shown, "figures", "nothing.png"), address(of_shown, "figures", "values.json"),
        address(of_shown, "figures", "values", "pink.json"), "/shared/%00/",
    ]  # fmt: skip
    replies = [Client().get(one) for one in asked]
    assert {reply.status_code for reply in replies} == {404}
    assert len({reply.content for reply in replies}) == 1
    assert b"Nothing is shown here" in replies[0].content
    assert {reply["Referrer-Policy"] for reply in replies} == {"no-referrer"}
    with pytest.raises(Conflict):
        services.revoke(by=lab.manager, link=revoked)
    result.job.delete()
    assert Client().get(address(of_shown)).status_code == 404


@pytest.mark.django_db
def test_who_guesses_is_stopped_and_nobody_else(lab, result):
    _, key = services.share(by=lab.experimenter, result=result)
    guesser = Client(REMOTE_ADDR="192.0.2.7")
    codes = [guesser.get(address(f"share_{number}")).status_code for number in range(page.MOST_MISSES)]
    assert set(codes) == {404}
    stopped = guesser.get(address(key))
    assert stopped.status_code == 429
    assert 0 < int(stopped["Retry-After"]) <= 60
    assert Client(REMOTE_ADDR="192.0.2.8").get(address(key)).status_code == 200


@pytest.mark.django_db
def test_the_key_is_shown_once_and_kept_nowhere(client, lab, result):
    client.force_login(lab.experimenter)
    asked = {"days": "7", "note": "for the reviewers"}
    made = client.post(f"/results/{result.pk}/share/", asked)
    (key,) = set(re.findall(r"/shared/(share_[\w-]+)/", made.content.decode()))
    assert made["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    again = client.get(f"/results/{result.pk}/share/").content.decode()
    assert key not in again
    assert "for the reviewers" in again
    link = ShareLink.objects.get()
    assert timedelta(days=6, hours=23) < link.expires - timezone.now() <= timedelta(days=7)
    assert key not in str([list(vars(row).values()) for row in (link, *link.history.all())])
    Client().get(address(key))
    assert "opened 1 time," in client.get(f"/results/{result.pk}/share/").content.decode()
    assert client.post(f"/share-links/{link.pk}/revoke/").status_code == 302
    assert Client().get(address(key)).status_code == 404
    # Who made it and who revoked it stays; openings are no changes.
    assert [row.pgh_label for row in link.history.order_by("pgh_id")] == ["insert", "update"]
    assert f"/results/{result.pk}/share/" in client.get(f"/results/{result.pk}/").content.decode()
    client.force_login(lab.viewer)
    assert "/share/" not in client.get(f"/results/{result.pk}/").content.decode()


@pytest.mark.django_db
def test_over_rest_a_link_is_made_once_listed_and_revoked(client, lab, result):
    client.force_login(lab.experimenter)
    body = {"result": str(result.pk), "expires": (timezone.now() + HOUR).isoformat(), "note": "poster"}
    once = {"content_type": "application/json", "headers": {"Idempotency-Key": "poster-1"}}
    made = client.post("/api/v1/share-links/", body, **once)
    assert made.status_code == 201
    told = made.json()
    assert Client().get(told["url"]).status_code == 200
    replayed = client.post("/api/v1/share-links/", body, **once)
    assert (replayed.status_code, replayed.json()["id"], "url" in replayed.json()) == (201, told["id"], False)
    (listed,) = client.get(f"/api/v1/share-links/?result={result.pk}").json()["results"]
    assert (listed["id"], listed["note"], listed["uses"], "url" in listed) == (told["id"], "poster", 1, False)
    client.force_login(lab.viewer)
    assert client.get("/api/v1/share-links/").json()["count"] == 0
    client.force_login(lab.manager)
    assert client.post(f"/api/v1/share-links/{told['id']}/revoke/").json()["revoked"]
    assert client.post(f"/api/v1/share-links/{told['id']}/revoke/").status_code == 409
    assert Client().get(told["url"]).status_code == 404


@pytest.mark.django_db
def test_only_who_may_change_the_project_shares_its_results(lab, result):
    with pytest.raises(Forbidden):
        services.share(by=lab.viewer, result=result)
    with pytest.raises(NotFound):
        services.share(by=lab.outsider, result=result)
    with pytest.raises(Invalid):
        services.share(by=lab.manager, result=result, expires=timezone.now() - HOUR)
    link, _ = services.share(by=lab.experimenter, result=result)
    with pytest.raises(Forbidden):
        services.revoke(by=lab.viewer, link=link)
    assert services.revoke(by=lab.administrator, link=link).revoked_by == lab.administrator


@pytest.mark.django_db
def test_a_shared_nwb_export_names_nobody_and_says_nothing_of_the_catalog(lab, result):
    told = {
        "identifier": "the-session", "description": "Rat bit the student.", "session": "day 15", "align": "auto",
        "experimenters": ["Doe, Jane"], "notes": "", "trials": [{"start": 1.0, "stop": 2.0}],
        "animal": {"identifier": "R214", "species": "Rattus norvegicus", "description": "Bites."},
    }  # fmt: skip
    version = registry.get("export.nwb").version
    Job.objects.filter(pk=result.job_id).update(pipeline="export.nwb", version=version, parameters=told)
    Result.objects.filter(pk=result.pk).update(summary="An NWB file of R214 with 3 units.")
    _, key = services.share(by=lab.experimenter, result=result)
    text = html.unescape(Client().get(address(key)).content.decode())
    for hidden in ("the-session", "bit the student", "day 15", "Doe", "Jane", "R214", "Bites", "run 1"):
        assert hidden not in text, hidden
    assert "An NWB file of … with 3 units." in text
    assert "7 parameters on people, animals and sessions are not shown." in text
    assert "LFP probe" in text
    inside = Client()
    inside.force_login(lab.viewer)
    page = html.unescape(inside.get(f"/results/{result.pk}/").content.decode())
    animal = re.search("<dt>Animal</dt><dd>(.+?)</dd>", page)[1]
    assert set(animal.split(", ")) == {"identifier R214", "species Rattus norvegicus", "description Bites."}
    assert "what else a reader must know: not set" in page
    assert "ExportedAnimal" not in page


@pytest.mark.django_db
def test_a_figure_that_names_its_sessions_names_none_to_a_stranger(lab, result):
    result.figures = [{"name": "values", "title": "From day to day", "file": "values.json",
                       "caption": "Sessions: 1, LFP probe (run 1); 2, LFP probe (run 1, R7)."}]  # fmt: skip
    result.summary = "LFP probe (run 1) was the best."
    result.metrics["error"]["definition"] = "of LFP probe (run 1, R7)"
    # One label begins as the other, and neither leaves a part of the session behind.
    first = result.provenance["inputs"][0]
    result.provenance["inputs"] = [first, {**first, "label": "LFP probe (run 1, R7)"}]
    result.save()
    _, key = services.share(by=lab.experimenter, result=result)
    text = html.unescape(Client().get(address(key)).content.decode())
    assert "Sessions: 1, LFP probe; 2, LFP probe." in text
    assert "LFP probe was the best." in text
    assert "of LFP probe" in text
    assert "run 1" not in text
    assert "R7" not in text


@pytest.mark.django_db
def test_an_administrator_finds_every_link_and_revokes_it(client, lab, result):
    link, key = services.share(by=lab.experimenter, result=result, note="poster")
    already, _ = services.share(by=lab.experimenter, result=result, note="long ago")
    services.revoke(by=lab.experimenter, link=already)
    client.force_login(lab.administrator)
    listed = client.get("/admin/analysis/sharelink/?q=poster").content.decode()
    assert "poster" in listed
    assert "long ago" not in listed
    assert key not in client.get(f"/admin/analysis/sharelink/{link.pk}/change/").content.decode()
    both = {"action": "revoke", "_selected_action": [str(link.pk), str(already.pk)]}
    assert client.post("/admin/analysis/sharelink/", both, follow=True).status_code == 200
    link.refresh_from_db()
    already.refresh_from_db()
    assert link.revoked_by == lab.administrator
    assert already.revoked_by == lab.experimenter
    assert Client().get(address(key)).status_code == 404


@pytest.mark.django_db
def test_an_end_that_passes_while_the_link_is_made_is_refused_at_its_field(lab, result, monkeypatch):
    monkeypatch.setattr(services.timezone, "now", lambda: datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(Invalid) as refused:
        services.share(by=lab.manager, result=result, expires=datetime(2020, 1, 2, tzinfo=UTC))
    assert set(refused.value.errors) == {"expires"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/srv/lab/data/run 1.npz", "run 1.npz"),
        ("read /srv/lab/run.npz, then D:\\lab\\x.csv", "read run.npz, then x.csv"),
        ("at 3 /s or 1/2 of cm/s", "at 3 /s or 1/2 of cm/s"),
        ("by ana.b+c@lab.example.org.", "by ….") ,
    ],
)  # fmt: skip
def test_places_and_addresses_are_taken_out_of_texts(text, told):
    assert page.without_places(text) == told


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_a_computed_result_is_shown_with_its_methods_and_figures(lab, worker):
    job = ended(submit(user=lab.experimenter, pipeline="test.mean", recordings=[lab.recording.pk]).job, 120)
    _, key = services.share(by=lab.experimenter, result=job.result)
    text = Client().get(address(key)).content.decode()
    assert "analysed with test.mean 1.0 of ourlab-pipelines 1.0" in text
    assert lab.recording.files.get().sha256 in text
    drawing = Client().get(address(key, "figures", "values.pdf"))
    assert b"".join(drawing.streaming_content).startswith(b"%PDF")
