"""Trials are made from events by the rule of the task: always the same, whatever came late or twice."""

from __future__ import annotations

import csv
import io
import random
from datetime import timedelta

import pytest
from django.test import Client

from sessions import services
from sessions.errors import Invalid
from sessions.models import Event, Task
from sessions.permissions import LABORATORY
from sessions.trials import Reported, Rule, rule_of, trials
from tests.catalog.conftest import NOON

RULE = {
    "start": "trial_start",
    "end": "trial_end",
    "timeout": 10,
    "outcomes": {"reward": "correct", "error": "wrong"},
    "otherwise": "omission",
    "measure": {"latency": "poke"},
}
EVENTS = [
    (1, "trial_start", {"odour": "A"}), (1.4, "poke", {}), (2, "reward", {}), (2.1, "error", {}), (3, "trial_end", {}),
    (3.5, "poke", {}), (3.6, "reward", {}),  # between trials: nobody's
    (5, "trial_start", {"odour": "B"}), (6, "error", {}),  # ended by the next start
    (8, "trial_start", {}), (30, "poke", {}),  # ended by its timeout, before the poke
    (40, "trial_start", {}), (40.25, "poke", {}),
]  # fmt: skip


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def made(events, rule=RULE, now=45.0):
    reported = [Reported(at(seconds), kind, value, "box") for seconds, kind, value in events]
    return [
        (trial.number, (trial.start - NOON).total_seconds(), trial.stop and (trial.stop - NOON).total_seconds(),
         trial.outcome, trial.measures.get("latency"), trial.value)
        for trial in trials(reported, rule_of({"trials": rule}), now=at(now))
    ]  # fmt: skip


def test_events_become_trials():
    assert made(EVENTS) == [
        (1, 1, 3, "correct", 0.4, {"odour": "A"}),
        (2, 5, 8, "wrong", None, {"odour": "B"}),
        (3, 8, 18, "omission", None, {}),
        (4, 40, None, None, 0.25, {}),
    ]
    assert made(EVENTS, now=60)[-1] == (4, 40, 50, "omission", 0.25, {})
    assert made(EVENTS, {"start": "trial_start"})[-2:] == [(3, 8, 40, "", None, {}), (4, 40, None, None, None, {})]
    assert made(EVENTS, {**RULE, "source": "another"}) == []
    assert rule_of({}) is None
    assert rule_of({"trials": {"start": "a"}}) == Rule("a")


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ([], "trials is an object"),
        ({}, r"trials\.start is needed"),
        ({"start": 3}, r"trials\.start is a word"),
        ({"start": "a", "begin": "b"}, r"trials\.begin is not known"),
        ({"start": "a", "end": "a"}, r"trials\.end is the same kind"),
        ({"start": "a", "timeout": True}, r"trials\.timeout is a number"),
        ({"start": "a", "timeout": 0}, r"trials\.timeout is a number"),
        ({"start": "a", "outcomes": ["reward"]}, r"trials\.outcomes is an object"),
        ({"start": "a", "measure": {"latency": ""}}, r"trials\.measure\.latency is a word"),
    ],
)
def test_a_wrong_rule_is_named_and_not_written(lab, rule, named):
    with pytest.raises(Invalid, match=named):
        services.update_task(by=LABORATORY, task=lab.task, parameters={"trials": rule})
    with pytest.raises(Invalid, match=named):
        services.create_task(by=LABORATORY, name="maze", parameters={"trials": rule})
    assert Task.objects.get() == lab.task
    assert "trials" not in Task.objects.get().parameters


def test_late_and_repeated_events_change_nothing_but_their_trial(lab, api, django_assert_max_num_queries):
    services.update_task(by=LABORATORY, task=lab.task, parameters={"trials": RULE})
    assert lab.session.task == lab.task
    events = [
        {"time": at(seconds), "kind": kind, "value": value, "source": "box", "number": number}
        for number, (seconds, kind, value) in enumerate(EVENTS)
    ]
    shuffled = random.Random(3).sample(events, len(events))
    for part in (shuffled[:5], shuffled[3:], shuffled):
        services.add_events(by=lab.experimenter, session=lab.session, events=part)
    path = f"/api/v1/sessions/{lab.session.pk}/trials/"
    with django_assert_max_num_queries(12):
        listed = api("viewer").get(path).json()
    shown = listed["results"]
    assert (listed["count"], listed["next"], listed["previous"]) == (4, None, None)
    assert [(trial["number"], trial["outcome"]) for trial in shown][:3] == [
        (1, "correct"),
        (2, "wrong"),
        (3, "omission"),
    ]
    assert shown[0]["measures"] == {"latency": 0.4}
    assert shown[0]["value"] == {"odour": "A"}
    assert api("viewer").get(path).json() == listed

    client = Client()
    client.force_login(lab.viewer)
    page = client.get(f"/sessions/{lab.session.pk}/trials/").content.decode()
    assert "4 in all" in page
    assert "omission: 2 (50 %)" in page
    assert "0.400" in page
    assert f"/sessions/{lab.session.pk}/trials/" in client.get(f"/sessions/{lab.session.pk}/").content.decode()


def test_the_list_is_paged_filtered_ordered_and_a_csv_as_every_list(lab, api):
    services.update_task(by=LABORATORY, task=lab.task, parameters={"trials": RULE})
    events = [{"time": at(seconds), "kind": kind, "value": value} for seconds, kind, value in EVENTS]
    services.add_events(by=lab.experimenter, session=lab.session, events=events)
    path = f"/api/v1/sessions/{lab.session.pk}/trials/"

    def numbers(query):
        reply = api("viewer").get(path + query)
        assert reply.status_code == 200, reply.content
        return [trial["number"] for trial in reply.json()["results"]]

    # The last one has timed out long ago.
    assert numbers("?ordering=-number") == [4, 3, 2, 1]
    assert numbers("?ordering=outcome,-start") == [1, 4, 3, 2]
    assert numbers("?outcome=omission") == [3, 4]
    assert numbers("?running=true") == []
    assert numbers("?running=false&outcome=wrong") == [2]
    second, third = (at(seconds).isoformat().replace("+00:00", "Z") for seconds in (5, 8))
    assert numbers(f"?started_from={second}&started_until={third}") == [2, 3]

    first = api("viewer").get(f"{path}?page_size=3").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (4, 3, None)
    rest = api("viewer").get(first["next"]).json()
    assert ([trial["number"] for trial in rest["results"]], rest["next"]) == ([4], None)
    assert api("viewer").get(f"{path}?page=3").status_code == 404

    table = api("viewer").get(f"{path}?format=csv&ordering=-number")
    assert 'filename="trials.csv"' in table["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(table.content.decode())))
    assert [row["number"] for row in rows] == ["4", "3", "2", "1"]
    assert (rows[3]["outcome"], rows[3]["measures"]) == ("correct", '{"latency": 0.4}')

    for query, named in (
        ("?result=correct", "There is no filter result"),
        ("?ordering=value", "not ordered by value"),
        ("?started_from=yesterday", "time with its zone"),
        ("?page=many", "page"),
    ):
        reply = api("viewer").get(path + query)
        assert reply.status_code in {400, 404}
        assert named in reply.content.decode()


def test_without_a_rule_there_are_none_and_a_broken_one_is_told(lab, api):
    Event.objects.create(session=lab.session, time=NOON, kind="trial_start")
    path = f"/sessions/{lab.session.pk}/trials/"
    assert api("viewer").get(f"/api/v1{path}").json()["results"] == []
    # An empty list has its columns all the same.
    assert api("viewer").get(f"/api/v1{path}?format=csv").content.decode().startswith("number,start,stop,outcome")
    # Written past the services.
    Task.objects.filter(pk=lab.task.pk).update(parameters={"trials": {"end": "x"}})
    reply = api("viewer").get(f"/api/v1{path}")
    assert (reply.status_code, reply.json()["detail"][:23]) == (400, "trials.start is needed:")
    client = Client()
    client.force_login(lab.viewer)
    assert "trials.start is needed" in client.get(path).content.decode()
