"""The pages and REST of chains, as a browser without scripts and a script get them."""

from __future__ import annotations

import json

import pytest

from analysis.chains import services
from analysis.chains.models import Chain
from analysis.jobs import transitions
from analysis.jobs.models import Job, JobState
from sessions.tokens import create_token
from tests.jobs.conftest import record
from tests.jobs.test_chains import begin, job_of, pretend, step

STEPS = [step("a"), step("b", "a")]


@pytest.fixture
def browse(client, lab):
    client.force_login(lab.experimenter)
    return client


@pytest.mark.django_db
def test_a_chain_is_started_from_the_page_on_the_sessions_that_were_ticked(browse, lab):
    asked = {"chain": "own", "steps": json.dumps(STEPS), "session": [str(lab.session.pk)]}
    page = browse.post("/chains/new/", asked).content.decode()
    assert not Chain.objects.exists()
    assert f'value="{lab.session.pk}" checked' in page
    assert 'name="b.p.window" value="0.5"' in page
    assert "LFP probe" in page
    form = {**asked, "filled": "1", "of.b": "1", "b.p.window": "40", "b.p.mode": '"median"', "b.p.shifts": "10"}
    wrong = browse.post("/chains/new/", form)
    assert wrong.status_code == 400
    assert "Write at most 10." in wrong.content.decode()
    assert 'name="b.p.window" value="40"' in wrong.content.decode()
    reply = browse.post("/chains/new/", form | {"b.p.window": "4"})
    chain = Chain.objects.get()
    assert reply["Location"] == f"/chains/{chain.pk}/"
    assert chain.steps.get(name="b").parameters == {"window": 4.0, "mode": "median", "shifts": 10, "rectify": False}
    again = browse.get(f"/chains/new/?like={chain.pk}").content.decode()
    assert 'name="b.p.window" value="4"' in again
    assert "&quot;name&quot;: &quot;b&quot;" in again
    fragment = browse.post("/chains/new/", asked, headers={"HX-Request": "true"}).content.decode()
    assert fragment.lstrip().startswith("<form")


@pytest.mark.django_db
def test_the_page_says_of_each_session_what_is_missing_or_must_be_chosen(browse, lab):
    page = browse.get(f"/chains/new/?session={lab.session.pk}&chain=units-position").content.decode()
    assert "It has no recording of raw voltage with files. It has no recording of position with files." in page
    assert f'value="{lab.session.pk}" disabled' in page
    record(lab.session, "second")
    gate = json.dumps([step("g", pipeline="test.gate", folder="x")])
    asked = {"chain": "own", "steps": gate, "session": [str(lab.session.pk)]}
    page = browse.post("/chains/new/", asked).content.decode()
    assert "It has 2 recordings of LFP (probe, second): choose one." in page
    assert f'name="recording-{lab.session.pk}"' in page
    refused = browse.post("/chains/new/", asked | {"filled": "1"})
    assert "choose one." in refused.content.decode()
    browse.post("/chains/new/", asked | {"filled": "1", f"recording-{lab.session.pk}": str(lab.recording.pk)})
    assert job_of(Chain.objects.get(), "g").inputs.get().recording == lab.recording
    for steps, said in (("[", "not JSON"), ("{}", "a list of objects"), ('[{"name": 1}]', "A step has a name")):
        assert said in browse.get("/chains/new/", {"chain": "own", "steps": steps}).content.decode()
        assert said in browse.post("/chains/new/", asked | {"filled": "1", "steps": steps}).content.decode()


@pytest.mark.django_db
def test_the_page_of_a_chain_shows_each_step_and_what_can_be_done(browse, lab):
    chain = begin(lab, step("a"), step("b", "a"), step("c", window=2))
    url = f"/chains/{chain.pk}/"
    page = browse.get(url).content.decode()
    assert 'data-step="b" data-state="waiting" data-after="a"' in page
    assert "0 of 3 steps done" in page
    assert 'hx-trigger="every 1s"' in page
    assert "No worker of the queue cpu has ever been seen" in page
    held = transitions.claim(job_id=job_of(chain, "a").pk, worker="one")
    transitions.beat(held, progress=0.25, message="averaging")
    live = browse.get(f"{url}live/").content.decode()
    assert "<b>25 %</b>" in live
    assert "averaging" in live
    transitions.fail(held, error="There is no signal.")
    services.advancing.sweep_chains()
    page = browse.get(url).content.decode()
    assert "There is no signal." in page
    assert "It needs the lfp that a makes, which failed." in page
    assert "Try again from here" in page
    assert browse.post(f"{url}again/", {"step": "a"}).status_code == 302
    assert job_of(chain, "a").state == JobState.QUEUED
    assert chain.title in browse.get(f"/jobs/{job_of(chain, 'a').pk}/").content.decode()
    assert browse.post(f"{url}cancel/").status_code == 302
    assert browse.get(f"{url}live/")["HX-Refresh"] == "true"
    assert browse.post(f"{url}cancel/").status_code == 409
    pretend(job_of(begin(lab, step("d", window=9)), "d"), JobState.SUCCEEDED)
    assert "computed before" in browse.get(f"/chains/{begin(lab, step('d', window=9)).pk}/").content.decode()


@pytest.mark.django_db
def test_the_list_shows_those_of_a_batch_or_a_session(browse, lab):
    assert "No chain was started yet" in browse.get("/chains/").content.decode()
    here = f"/chains/?session={lab.session.pk}"
    assert "No chain ran on this session yet" in browse.get(here, headers={"HX-Request": "true"}).content.decode()
    chain = begin(lab, *STEPS)
    assert "Own steps" in browse.get(here).content.decode()
    page = browse.get(f"/chains/?batch={chain.batch}").content.decode()
    assert "Chains started together" in page
    assert 'role="img" aria-label="waiting">' in page
    assert 'hx-trigger="every 2s"' in page
    assert "No chain like that" in browse.get("/chains/?state=failed").content.decode()
    for query in ("batch=%00", "session=x", "state=%00", "page=%00"):
        assert browse.get(f"/chains/?{query}").status_code == 200, query
    assert 'name="session"' in browse.get("/sessions/").content.decode()


@pytest.fixture
def rest(client, lab):
    _, key = create_token(user=lab.experimenter, name="script")

    def ask(method, path, body=None):
        options = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
        return getattr(client, method)(f"/api/v1/{path}", headers={"Authorization": f"Token {key}"}, **options)

    return ask


@pytest.mark.django_db
def test_a_script_starts_follows_cancels_and_tries_again(rest, lab):
    known = {one["name"]: one for one in rest("get", "chain-definitions/").json()}
    assert known["units-position"]["steps"][1]["inputs"][0] == {"kind": "units", "step": "sort", "optional": False}
    assert rest("get", "chain-definitions/?x=1").status_code == 400
    body = {"sessions": [str(lab.session.pk)], "steps": STEPS, "parameters": {"b": {"window": 2}}}
    reply = rest("post", "chains/", body)
    assert reply.status_code == 201
    (chain,) = reply.json()["chains"]
    assert [(one["name"], one["state"], one["after"]) for one in chain["steps"]] == [
        ("a", "queued", []), ("b", "waiting", ["a"]),
    ]  # fmt: skip
    assert chain["steps"][1]["parameters"]["window"] == 2
    job = chain["steps"][0]["job"]
    assert rest("get", f"chains/?job={job}&state=running").json()["count"] == 1
    assert rest("get", f"chains/?batch={reply.json()['batch']}").json()["results"] == [chain]
    ended = rest("post", f"chains/{chain['id']}/cancel/").json()
    assert (ended["state"], ended["steps"][1]["state"]) == ("cancelled", "cancelled")
    assert rest("post", f"chains/{chain['id']}/cancel/").status_code == 409
    again = rest("post", f"chains/{chain['id']}/again/", {}).json()
    assert (again["state"], again["steps"][0]["state"]) == ("running", "queued")
    assert again["steps"][0]["job"] != job
    for wrong, field in (
        ({"chain": "nothing"}, "chain"),
        ({"steps": [step("a") | {"inputs": [{"kind": "smell"}]}]}, "steps[0].inputs[0].kind"),
        ({"steps": STEPS, "parameters": {"a": 3}}, "parameters"),
        ({"steps": [step("a", window=99)]}, "parameters.a.window"),
        ({"steps": STEPS, "sessions": []}, "sessions"),
    ):
        refused = rest("post", "chains/", {"sessions": [str(lab.session.pk)], **wrong})
        assert refused.status_code == 400
        assert field in refused.json()["errors"], refused.json()
    assert rest("post", f"chains/{chain['id']}/again/", {"step": "b"}).status_code == 400
    assert Job.objects.count() == 2
