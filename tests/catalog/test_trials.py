"""Trials are made from events by the rule of the task: always the same, whatever came late or twice."""

from __future__ import annotations

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
        shown = api("viewer").get(path).json()
    assert [(trial["number"], trial["outcome"]) for trial in shown][:3] == [
        (1, "correct"),
        (2, "wrong"),
        (3, "omission"),
    ]
    assert shown[0]["measures"] == {"latency": 0.4}
    assert shown[0]["value"] == {"odour": "A"}
    assert api("viewer").get(path).json() == shown

    client = Client()
    client.force_login(lab.viewer)
    page = client.get(f"/sessions/{lab.session.pk}/trials/").content.decode()
    assert "4 in all" in page
    assert "omission: 2 (50 %)" in page
    assert "0.400" in page
    assert f"/sessions/{lab.session.pk}/trials/" in client.get(f"/sessions/{lab.session.pk}/").content.decode()


def test_without_a_rule_there_are_none_and_a_broken_one_is_told(lab, api):
    Event.objects.create(session=lab.session, time=NOON, kind="trial_start")
    path = f"/sessions/{lab.session.pk}/trials/"
    assert api("viewer").get(f"/api/v1{path}").json() == []
    # Written past the services.
    Task.objects.filter(pk=lab.task.pk).update(parameters={"trials": {"end": "x"}})
    reply = api("viewer").get(f"/api/v1{path}")
    assert (reply.status_code, reply.json()["detail"][:23]) == (400, "trials.start is needed:")
    client = Client()
    client.force_login(lab.viewer)
    assert "trials.start is needed" in client.get(path).content.decode()
