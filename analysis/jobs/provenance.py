"""Where a result comes from: all that is needed to compute it again and to say why it would differ."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings

from analysis.jobs.models import Job


@lru_cache(maxsize=1)
def code_version() -> dict[str, Any]:
    """Return the version of the package and, in a checkout, the commit and whether the code differs from it."""
    try:
        package = version("labsite")
    except PackageNotFoundError:
        package = ""
    commit = os.environ.get("LAB_COMMIT", "")
    changed = False
    if not commit and (settings.BASE_DIR / ".git").exists():
        commit = _git("rev-parse", "HEAD")
        changed = bool(_git("status", "--porcelain", "--untracked-files=no"))
    return {"labsite": package, "commit": commit, "changed_since_commit": changed}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(settings.BASE_DIR), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        # No git on this machine: the package's version has to do.
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def provenance(
    job: Job,
    *,
    inputs: list[dict[str, Any]],
    hashes: dict[str, str],
    environment: dict[str, Any],
    seconds: float,
    shards: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return the provenance of a result as JSON; times are UTC, sizes bytes, ``compute_seconds`` the pipeline's own.

    The seconds of all parts (``shards``, in order of their items) are counted in.
    """
    told = [{name: shard[name] for name in ("items", "worker", "attempt", "seconds", "sha256")} for shard in shards]
    return {
        "pipeline": job.pipeline,
        "version": job.version,
        "parameters": job.parameters,
        "seed": job.seed,
        "code": code_version(),
        "inputs": [
            {
                "recording": recording["id"],
                "label": recording["label"],
                "kind": recording["kind"],
                "format": recording["format"],
                **({"clock_fit": fit} if (fit := recording["parameters"].get("clock_fit")) else {}),
                **(
                    {"labels_revision": recording["parameters"]["labels_revision"]}
                    if "labels_revision" in recording["parameters"]
                    else {}
                ),
                "files": [
                    {
                        "file": file["id"],
                        "name": file["name"],
                        "revision": file["revision"],
                        "size": file["size"],
                        "sha256": file["sha256"] or hashes.get(file["id"], ""),
                    }
                    for file in recording["files"]
                ],
            }
            for recording in inputs
        ],
        "environment": environment,
        "worker": job.worker,
        "attempt": job.attempt,
        "queued": job.created.isoformat(),
        "started": job.started.isoformat() if job.started else None,
        "compute_seconds": round(seconds + sum(shard["seconds"] for shard in told), 3),
        **({"shards": told} if told else {}),
    }
