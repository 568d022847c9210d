"""A person takes a result, or several, home as a bundle: from the page or by REST, whole or in pieces."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from analysis import bundles
from analysis.jobs.models import Job, JobInput, JobState, Result

pytestmark = pytest.mark.django_db
NOBODYS = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def result(things) -> Result:
    return things["result"]


@pytest.fixture
def viewer(lab) -> APIClient:
    client = APIClient()
    client.force_login(lab.viewer)
    return client


def content(reply) -> bytes:
    assert reply.status_code in (200, 206), reply.content
    return b"".join(reply.streaming_content)


def names(reply) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content(reply))).namelist()


def second(result: Result) -> Result:
    """Another result of the same recording."""
    job = Job.objects.create(
        project=result.job.project, pipeline="lfp.ripples", version="1", fingerprint="e" * 64,
        state=JobState.SUCCEEDED, started=result.job.started, finished=result.job.finished,
    )  # fmt: skip
    JobInput.objects.create(job=job, recording=result.job.inputs.get().recording, order=0)
    return Result.objects.create(job=job, attempt=1, folder="one", figures=result.figures)


def test_the_page_leads_to_the_bundle_and_that_has_data_code_and_words(viewer, result):
    address = f"/api/v1/results/{result.pk}/bundle/"
    assert f'href="{address}"' in viewer.get(f"/results/{result.pk}/").content.decode()
    reply = viewer.get(address)
    assert reply["Content-Type"] == "application/zip"
    assert f"ephys.lfp-{str(result.pk)[:8]}.zip" in reply["Content-Disposition"]
    archive = zipfile.ZipFile(io.BytesIO(content(reply)))
    folder = f"ephys.lfp-{str(result.pk)[:8]}"
    assert archive.read(f"{folder}/artifacts/values.npy") == b"123"
    kept = Path(settings.LAB_RESULTS) / result.folder / "values.json"
    assert archive.read(f"{folder}/data/figure-1-values.json") == kept.read_bytes()
    drawn = content(viewer.get(f"/api/v1/results/{result.pk}/figures/values.svg"))
    assert archive.read(f"{folder}/drawn/figure-1-values.svg") == drawn
    told = json.loads(archive.read(f"{folder}/provenance.json"))
    assert (told["result"], told["environment"]["cores"]) == (str(result.pk), 2)


def test_it_is_made_once_and_goes_on_where_a_download_broke(viewer, result):
    address = f"/api/v1/results/{result.pk}/bundle/"
    whole = viewer.get(address)
    everything = content(whole)
    made = bundles.of_result(result).stat()
    rest = viewer.get(address, headers={"Range": "bytes=100-", "If-Range": whole["ETag"]})
    assert rest.status_code == 206
    assert everything[:100] + content(rest) == everything
    assert bundles.of_result(result).stat().st_mtime_ns == made.st_mtime_ns
    assert viewer.get(address, headers={"Range": f"bytes={len(everything)}-"}).status_code == 416
    # What was made of a result may be deleted, and comes again the same.
    bundles.of_result(result).unlink()
    assert content(viewer.get(address)) == everything


def test_several_come_in_the_order_asked_for(viewer, result):
    other = second(result)
    there = names(viewer.get(f"/api/v1/results/bundles/?id={other.pk}&id={result.pk}"))
    assert {name.partition("/")[0] for name in there} == {
        "README.md",
        f"01-lfp.ripples-{str(other.pk)[:8]}",
        f"02-ephys.lfp-{str(result.pk)[:8]}",
    }
    again = names(viewer.get(f"/api/v1/results/bundles/?id={result.pk}&id={other.pk}"))
    assert f"01-ephys.lfp-{str(result.pk)[:8]}/README.md" in again
    once = names(viewer.get(f"/api/v1/results/bundles/?id={result.pk}&id={result.pk}"))
    assert f"ephys.lfp-{str(result.pk)[:8]}/README.md" in once


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 400, "Name 1 to 50 results with id; these are 0."),
        ("?id=first", 400, "The id of a result is a UUID."),
        (f"?result={NOBODYS}", 400, "There is no parameter result; name results with id."),
        (f"?id={NOBODYS}", 404, "There is no such result here."),
        ("?" + "&".join(f"id={NOBODYS[:-2]}{number:02d}" for number in range(51)), 400, "these are 51."),
    ],
)
def test_a_wrong_request_is_told_in_one_sentence(viewer, query, status, said):
    reply = viewer.get(f"/api/v1/results/bundles/{query}")
    assert reply.status_code == status
    assert said in reply.json()["detail"]


def test_one_result_that_one_may_not_see_keeps_the_bundle_back(lab, viewer, result):
    hidden = second(result)
    Job.objects.filter(pk=hidden.job_id).update(project=lab.other)
    assert viewer.get(f"/api/v1/results/bundles/?id={result.pk}&id={hidden.pk}").status_code == 404
    assert viewer.get(f"/api/v1/results/{hidden.pk}/bundle/").status_code == 404


@pytest.mark.parametrize("lost", ["values.json", "artifacts/values.npy"])
def test_files_that_are_gone_are_told_and_no_half_bundle_is_kept(viewer, result, lost):
    folder = Path(settings.LAB_RESULTS) / result.folder
    (folder / lost).unlink()
    reply = viewer.get(f"/api/v1/results/{result.pk}/bundle/")
    assert reply.status_code == 404
    assert "gone from the disk" in reply.json()["detail"]
    assert not list(folder.rglob("*.zip*"))


def test_one_and_several_are_two_operations_of_the_description():
    paths = SchemaGenerator().get_schema(public=True)["paths"]
    found = {path: get["operationId"] for path, row in paths.items() if "bundle" in path and (get := row["get"])}
    assert found == {
        "/api/v1/results/{result}/bundle/": "results_bundle_retrieve",
        "/api/v1/results/bundles/": "results_bundles_retrieve",
    }
