"""What people say of results: comments, papers, and results side by side."""

from __future__ import annotations

import html
import re
import threading

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from analysis.discussion import selectors, services, views
from analysis.discussion.models import PaperMark, ResultComment
from analysis.jobs.models import Job, JobInput, JobState, Result
from analysis.sharing import services as sharing
from sessions.errors import Forbidden, Invalid, NotFound
from sessions.models import Session, Task
from tests.jobs.conftest import record

pytestmark = pytest.mark.django_db


def made(lab, mark: str, *, value: float, window: float, figures: tuple[str, ...] = ()) -> Result:
    job = Job.objects.create(
        project=lab.project, pipeline="test.mean", version="1.0", fingerprint=mark * 64, state=JobState.SUCCEEDED,
        attempt=1, finished=lab.session.start, user=lab.experimenter, parameters={"window": window, "least": 3},
    )  # fmt: skip
    JobInput.objects.create(job=job, recording=lab.recording, order=0)
    return Result.objects.create(
        job=job, attempt=1, folder=mark, summary=f"mean {value}",
        metrics={"mean": {"value": value, "unit": "mV", "label": "mean", "order": 0}, "n": {"value": 5, "order": 1}},
        figures=[{"name": name, "title": name, "caption": name, "file": f"{name}.json"} for name in figures],
        provenance={"environment": {"cores": 2, "memory": 8_000_000_000}},
    )  # fmt: skip


@pytest.fixture
def result(lab) -> Result:
    return made(lab, "a", value=1.5, window=0.5)


def page_of(user, address: str) -> str:
    client = Client()
    client.force_login(user)
    reply = client.get(address)
    assert reply.status_code == 200
    return reply.content.decode()


def test_a_comment_is_seen_corrected_and_withdrawn_and_nothing_is_lost(lab, result):
    comment = services.add_comment(by=lab.experimenter, result=result, text="  The <b>fit</b> is odd. ")
    assert comment.text == "The <b>fit</b> is odd."
    shown = page_of(lab.viewer, f"/results/{result.pk}/")
    assert "The &lt;b&gt;fit&lt;/b&gt; is odd." in shown
    assert "Your comment" not in shown
    services.change_comment(by=lab.experimenter, comment=comment, text="The fit is fine.")
    assert "corrected" in page_of(lab.viewer, f"/results/{result.pk}/")
    services.withdraw_comment(by=lab.manager, comment=comment)
    assert "The fit is fine." not in page_of(lab.viewer, f"/results/{result.pk}/")
    assert "withdrawn" in page_of(lab.experimenter, f"/results/{result.pk}/")
    assert list(selectors.comments(lab.viewer)) == []
    services.restore_comment(by=lab.experimenter, comment=comment)
    assert "The fit is fine." in page_of(lab.viewer, f"/results/{result.pk}/")
    said = list(ResultComment.history.field.model.objects.order_by("pgh_id").values_list("text", flat=True))
    assert said[:2] == ["The <b>fit</b> is odd.", "The fit is fine."]


def test_only_who_wrote_a_comment_corrects_it_and_only_members_know_of_it(lab, result):
    comment = services.add_comment(by=lab.experimenter, result=result, text="Mine.")
    with pytest.raises(Forbidden, match="somebody else's"):
        services.change_comment(by=lab.manager, comment=comment, text="Ours.")
    with pytest.raises(Forbidden):
        services.withdraw_comment(by=lab.viewer, comment=comment)
    with pytest.raises(NotFound):
        services.add_comment(by=lab.outsider, result=result, text="Me too.")
    assert list(selectors.comments(lab.outsider)) == []
    with pytest.raises(Invalid, match="says something"):
        services.add_comment(by=lab.experimenter, result=result, text=" \n ")
    with pytest.raises(Invalid):
        services.add_comment(by=lab.experimenter, result=result, text="a" * 10_001)


def test_results_of_a_paper_come_together_however_its_name_was_typed(lab, result):
    other = made(lab, "b", value=2.5, window=1.0)
    services.mark_for_paper(by=lab.experimenter, result=result, paper="Theta  2027", figure="2b")
    services.mark_for_paper(by=lab.manager, result=other, paper="theta 2027", figure="1")
    again = services.mark_for_paper(by=lab.manager, result=result, paper="THETA 2027", figure="2b")
    assert again.person == lab.experimenter
    (paper,) = selectors.papers(lab.viewer)
    assert paper.name == "Theta 2027"
    assert [mark.figure for mark in paper.marks] == ["1", "2b"]
    assert paper.results == [other.pk, result.pk]
    shown = page_of(lab.viewer, "/papers/")
    assert f"/results/bundles/?id={other.pk}&amp;id={result.pk}" in shown
    assert f"/results/compare/?id={other.pk}&amp;id={result.pk}" in shown
    assert selectors.papers(lab.outsider) == []
    assert "No result is marked" in page_of(lab.outsider, "/papers/")
    services.remove_mark(by=lab.experimenter, mark=again)
    assert [mark.figure for mark in selectors.papers(lab.viewer)[0].marks] == ["1"]
    with pytest.raises(Forbidden):
        services.mark_for_paper(by=lab.viewer, result=result, paper="Theta 2027")
    with pytest.raises(Invalid, match="Name the paper"):
        services.mark_for_paper(by=lab.experimenter, result=result, paper=" ")


def test_pages_cost_the_same_queries_with_one_neighbour_and_with_ten(lab, result):
    task = Task.objects.create(name="track")

    def asked(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            shown = page_of(lab.viewer, address)
        assert "track" in shown
        return len(queries)

    def neighbour(mark: str) -> None:
        # A session without a title is called by its animals and its task.
        session = Session.objects.create(project=lab.project, task=task, start=lab.session.start)
        other = made(lab, mark, value=2.5, window=0.7)
        other.job.inputs.update(recording=record(session, mark))
        services.add_comment(by=lab.experimenter, result=result, text=f"Less than {mark}.")
        services.mark_for_paper(by=lab.experimenter, result=other, paper=f"Paper {mark}")
        services.mark_for_paper(by=lab.experimenter, result=result, paper=f"Paper {mark}")

    neighbour("b")
    addresses = (f"/results/{result.pk}/", "/papers/")
    few = [asked(address) for address in addresses]
    for mark in "cdefghi012":
        neighbour(mark)
    assert [asked(address) for address in addresses] == few


def test_papers_are_in_the_menu_and_a_long_one_is_taken_home_in_parts(lab, monkeypatch):
    monkeypatch.setattr(views, "MOST_RESULTS", 2)
    for mark in "abc":
        services.mark_for_paper(by=lab.experimenter, result=made(lab, mark, value=1.0, window=0.5), paper="Long")
    assert 'href="/papers/"' in page_of(lab.viewer, "/more/")
    shown = html.unescape(page_of(lab.viewer, "/papers/"))
    assert ["Bundle 1 of 2" in shown, "Bundle 2 of 2" in shown] == [True, True]
    bundles = re.findall(r'href="(/api/v1/results/bundles/[^"]+)"', shown)
    assert [address.count("id=") for address in bundles] == [2, 1]
    named = {one for address in bundles for one in re.findall(r"id=([0-9a-f-]+)", address)}
    assert named == {str(result.pk) for result in Result.objects.all()}


def test_what_is_said_of_results_is_read_without_their_logs_and_provenance(lab, result):
    services.add_comment(by=lab.experimenter, result=result, text="Fine.")
    services.mark_for_paper(by=lab.experimenter, result=result, paper="Paper")
    sharing.share(by=lab.experimenter, result=result)
    for rows in (
        selectors.comments(lab.experimenter), selectors.marks(lab.experimenter), sharing.links(lab.experimenter),
    ):  # fmt: skip
        with CaptureQueriesContext(connection) as queries:
            assert [row.project for row in rows] == [lab.project]
        assert not [query["sql"] for query in queries if '"provenance"' in query["sql"] or '"log"' in query["sql"]]


@pytest.mark.django_db(transaction=True)
def test_a_mark_that_two_people_make_at_once_is_one(lab, result):
    together, told = threading.Barrier(2), []

    # The second is in capitals, and its accent a sign of its own, as some keyboards write it.
    def mark(user, paper: str) -> None:
        try:
            together.wait(10)
            told.append(services.mark_for_paper(by=user, result=result, paper=paper).pk)
        finally:
            connection.close()

    people = [threading.Thread(target=mark, args=named) for named in (
        (lab.experimenter, "Th\u00e9ta 2027"), (lab.manager, "THE\u0301TA 2027"))]  # fmt: skip
    for person in people:
        person.start()
    for person in people:
        person.join(30)
    assert len(told) == 2
    assert set(told) == {PaperMark.objects.get().pk}


def test_results_side_by_side_show_what_differs(lab, result):
    other = made(lab, "b", value=2.5, window=1.0)
    pair = selectors.side_by_side(lab.viewer, [other.pk, result.pk])
    numbers = {row.label: row for row in selectors.compared_numbers(pair)}
    assert numbers["mean"].cells == [2.5, 1.5]
    assert numbers["mean"].differs
    assert not numbers["n"].differs
    differing = {row.label: row.cells for row in selectors.compared_parameters(pair) if row.differs}
    assert differing == {"window": [1.0, 0.5]}
    shown = page_of(lab.viewer, f"/results/compare/?id={other.pk}&id={result.pk}")
    assert shown.index("2.50") < shown.index("1.50")
    assert f'value="{other.pk}"' in page_of(lab.viewer, f"/results/{result.pk}/")


def test_figures_are_paired_by_their_names_and_units_that_differ_stay_with_their_numbers(lab):
    one = made(lab, "a", value=1.0, window=0.5, figures=("trace", "null"))
    two = made(lab, "b", value=1.0, window=0.5, figures=("null",))
    two.metrics["mean"]["unit"] = "uV"
    figures = selectors.compared_figures([one, two])
    assert [(title, [bool(figure) for figure in each]) for title, each in figures] == [
        ("trace", [True, False]),
        ("null", [True, True]),
    ]
    (mean, _) = selectors.compared_numbers([one, two])
    assert mean.cells == [(1.0, "mV"), (1.0, "uV")]
    assert mean.differs


def test_what_cannot_be_compared_is_refused(lab, result):
    with pytest.raises(Invalid, match="2 to 4 results"):
        selectors.side_by_side(lab.viewer, [result.pk, result.pk])
    other = made(lab, "b", value=2.5, window=1.0)
    with pytest.raises(NotFound):
        selectors.side_by_side(lab.outsider, [result.pk, other.pk])
    client = Client()
    client.force_login(lab.viewer)
    assert client.get("/results/compare/?id=x").status_code == 400
    assert client.get("/results/compare/").status_code == 400


def test_recordings_that_are_called_the_same_are_still_told_apart(lab):
    pair = [made(lab, mark, value=1, window=1) for mark in "bc"]
    read = {"recording": "1" * 36, "label": "units (run 1)", "labels_revision": 2, "files": [{"sha256": "ab" * 32}]}

    def told(**other) -> selectors.Row:
        for result, one in zip(pair, (read, {**read, **other}), strict=True):
            result.provenance = {"inputs": [one], "code": {"labsite": "0.1", "commit": "0123456789abcdef"}}
        rows = {row.label: row for row in selectors.compared_parameters(pair)}
        assert not rows["code"].differs
        return rows["recordings"]

    same = told()
    assert (same.differs, same.cells) == (False, ["units (run 1), labels by hand of revision 2"] * 2)
    for other in ({"recording": "2" * 36}, {"files": [{"sha256": "cd" * 32}]}, {"labels_revision": 3}):
        row = told(**other)
        assert row.differs
        assert row.cells[0] != row.cells[1]
