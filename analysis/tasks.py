"""What Celery calls: a message with a job's id, for a worker of the job's queue."""

from __future__ import annotations

from celery import shared_task

from analysis.chains import advancing
from analysis.jobs import runner, sharding
from analysis.jobs.wake import TASK


@shared_task(name=TASK, ignore_result=True)
def run_job(job_id: str) -> None:
    """Compute a job, unless somebody else does or it has ended, and move on what waited for it: parent and chains."""
    runner.run(job_id)
    advancing.job_ended(sharding.job_ended(job_id))
