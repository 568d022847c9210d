"""Waking a worker: a message with the job's id, nothing else. A message may be lost or come twice; the row decides."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from analysis.jobs.models import Job, JobState
from labsite.celery import app

TASK = "analysis.run_job"
# In one sweep at most so many: the workers take them up before the next.
AT_ONCE = 200
# A user's request does not wait longer than this for a Redis that does not answer.
PATIENCE_SECONDS = 2.0

UNREACHABLE = (KombuError, RedisError, OSError)

logger = logging.getLogger(__name__)


def send(job_id: UUID, queue: str) -> bool:
    """Wake a worker of a queue for a job. Returns False when Redis does not answer: the sweep sends it later."""
    try:
        with app.connection_for_write(
            transport_options={
                **app.conf.broker_transport_options,
                "socket_timeout": PATIENCE_SECONDS,
                "socket_connect_timeout": PATIENCE_SECONDS,
                # Or it would try again for four seconds more.
                "max_retries": 0,
            }
        ) as connection:
            app.send_task(TASK, args=[str(job_id)], queue=queue, ignore_result=True, retry=False, connection=connection)
    except UNREACHABLE as error:
        logger.warning("No worker could be woken for job %s, the sweep will: %s", job_id, error)
        return False
    Job.objects.filter(pk=job_id, state=JobState.QUEUED).update(sent=Now())
    return True


def waiting(queue: str) -> int:
    """Return how many messages wait in Redis for the workers of a queue."""
    with app.connection_for_read() as connection:
        return int(connection.default_channel.client.llen(queue))


def resend() -> int:
    """Send the queued jobs that no message speaks for any more (Redis was emptied, a worker died with the message).

    While messages wait in a queue its workers are busy or away, and more messages would only pile up.
    """
    unsent = Q(sent__isnull=True) | Q(sent__lt=Now() - timedelta(seconds=settings.LAB_JOB_RESEND))
    forgotten = Job.objects.filter(unsent, state=JobState.QUEUED).order_by("created")
    count = 0
    for queue in forgotten.order_by().values_list("queue", flat=True).distinct():
        jobs = forgotten.filter(queue=queue)
        if waiting(queue):
            jobs = jobs.filter(sent__isnull=True)
        for job_id in list(jobs.values_list("pk", flat=True)[:AT_ONCE]):
            if not send(job_id, queue):
                return count
            count += 1
    return count
