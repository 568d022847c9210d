"""Two clicks on a button that sends a form do what it says once; whatever they are in a hurry for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from analysis.discussion.models import ResultComment
from analysis.jobs.models import Job, JobState, Result
from sessions.models import Membership, Project
from tests.browser.chromium import DESKTOP, FLAGS, executable
from tests.cameras.laboratory import Laboratory

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(300)]


def test_a_comment_that_is_sent_by_two_clicks_is_said_once(
    transactional_db: None, web: Laboratory, settings: Any
) -> None:
    from playwright.sync_api import sync_playwright

    project = Project.objects.create(name="Memory")
    ana = get_user_model().objects.create_user("ana")
    Membership.objects.create(project=project, user=ana, role="experimenter")
    now = timezone.now()
    job = Job.objects.create(
        project=project, pipeline="test.mean", version="1", fingerprint="a" * 64, state=JobState.SUCCEEDED, attempt=1,
        started=now, finished=now, user=ana,
    )  # fmt: skip
    result = Result.objects.create(
        job=job, attempt=1, folder="a", provenance={"environment": {"cores": 2, "memory": 8_000_000_000}}
    )
    client = Client()
    client.force_login(ana)
    cookie = client.cookies["sessionid"].value
    url = f"http://127.0.0.1:{web.web_port}"

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        context = chromium.new_context(base_url=url, viewport=DESKTOP)
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": url}])
        page = context.new_page()
        page.goto(f"/results/{result.pk}/")
        held: list[Any] = []

        def hold(route: Any) -> None:
            held.append(route)

        page.route("**/comments/", hold)
        page.get_by_label("Your comment").fill("The fit is odd.")
        # The server takes its time, and the second click comes before it has answered; the page says when it came.
        with page.expect_request("**/clicked-twice"):
            page.get_by_role("button", name="Comment", exact=True).evaluate(
                "(button) => { setTimeout(() => button.click()); setTimeout(() => {"
                " button.click(); setTimeout(() => fetch('/clicked-twice'), 100); }, 500); }"
            )
        for route in held:
            route.continue_()
        page.wait_for_url("**#comment-*")
        assert len(held) == 1
        chromium.close()
    assert list(ResultComment.objects.values_list("text", flat=True)) == ["The fit is odd."]
