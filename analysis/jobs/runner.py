"""One attempt at a job, in a worker: claim it, compute it in a child process, store what it found."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from analysis.jobs import presence, routing, sharding, storing, transitions
from analysis.jobs.inputs import inputs_of, keep_hashes
from analysis.jobs.lease import Lease
from analysis.jobs.models import Job
from analysis.jobs.patience import persist
from analysis.jobs.process import Child, ending
from analysis.jobs.provenance import provenance
from analysis.jobs.transitions import Claim
from analysis.pipelines.base import Pipeline

LOOK_SECONDS = 0.5
FULL_DISK = "The disk for results is full; free some space and run the job again."

logger = logging.getLogger(__name__)


class FailedError(Exception):
    """The job failed; the text is the sentence that a person reads, ``trace`` goes to the log."""

    def __init__(self, sentence: str, trace: str = "") -> None:
        super().__init__(sentence)
        self.trace = trace


class StoppedError(Exception):
    """The computation was ended from outside: a cancel, a lost claim, a worker that leaves."""


def run(job_id: UUID | str) -> None:
    """Compute a job if it is still queued; return when it ended, or when it is no longer this worker's."""
    if presence.leaving.is_set():
        # The message is gone, and the sweep will send another.
        return
    if routing.left_to_others(job_id):
        return
    held = transitions.claim(job_id=job_id, worker=presence.worker_name())
    if held is None:
        return
    lease = Lease(held)
    try:
        attempt = Attempt(held, lease)
        attempt.write(attempt.outcome())
    finally:
        lease.close()
        shutil.rmtree(storing.work_folder(held), ignore_errors=True)


class SplitError(Exception):
    """The work is better computed in parts: the ``items`` of each."""

    def __init__(self, items: list[range]) -> None:
        super().__init__(f"{len(items)} parts")
        self.items = items


class Attempt:
    """What one attempt knows: the job, its folder, and what the child said."""

    def __init__(self, held: Claim, lease: Lease) -> None:
        self.held = held
        self.lease = lease
        self.folder = storing.work_folder(held)
        self.hashes: dict[str, str] = {}
        self.environment: dict[str, Any] = {}
        self.inputs: list[dict[str, Any]] = []
        self.command: dict[str, Any] | None = None
        self.job = Job.objects.select_related("project", "parent").get(pk=held.job_id)
        self.shards = sharding.computed(self.job)
        # What was done before this attempt: the parts.
        self.done = transitions.PARTS_SHARE if self.shards else 0.0

    def outcome(self) -> Callable[[str], object]:
        """Compute, and return what writes the end of the attempt when it is given the rest of the log."""
        try:
            self.compute()
        except StoppedError:
            return self._stopped()
        except SplitError as split:
            return self._split(split.items)
        except FailedError as failure:
            self.lease.log(failure.trace)
            return partial(self._fail, str(failure))
        except Exception as error:
            # An error of the runner itself must not leave the job running; it is told in the row and in both logs.
            logger.exception("Job %s could not be computed", self.held.job_id)
            self.lease.log(trace())
            return partial(self._fail, f"The job could not be computed: {type(error).__name__}: {error}")
        return self.store

    def _stopped(self) -> Callable[[str], object]:
        if self.lease.lost:
            return self._drop
        if self.lease.cancel:
            return lambda log: persist(lambda: transitions.cancelled(self.held, log=log))
        return lambda log: persist(lambda: transitions.give_back(self.held, log=log))

    def _split(self, items: list[range]) -> Callable[[str], object]:
        return lambda _log: persist(lambda: sharding.split(self.held, self.job.queue, items))

    def _fail(self, sentence: str, log: str) -> None:
        persist(lambda: transitions.fail(self.held, error=sentence, log=log))

    def _drop(self, log: str = "") -> None:  # noqa: ARG002
        logger.warning("Job %s is no longer this worker's; what it computed is dropped", self.held.job_id)

    def compute(self) -> None:
        """Run the child to its end; ``output.json`` is then there.

        Raises ``FailedError`` or ``StoppedError``, and ``SplitError`` before anything was started.
        """
        pipeline = self._pipeline()
        whole = self.job.parent is None and not self.shards
        if whole and (items := sharding.parts(pipeline, self.job.parameters, sharding.slots(self.job.queue))):
            raise SplitError(items)
        self.inputs = inputs_of(self.job)
        spec = {
            "pipeline": self.job.pipeline,
            "version": self.job.version,
            "parameters": self.job.parameters,
            "seed": self.job.seed,
            "recordings": self.inputs,
            "shards": self.shards,
            "command": self.command,
        }
        if self.job.parent is not None:
            spec["items"] = [self.job.shard_start, self.job.shard_stop]
        try:
            storing.clear_attempts(self.held)
            self.folder.mkdir(parents=True)
            (self.folder / "job.json").write_text(json.dumps(spec))
            child = Child(self.folder, presence.threads_per_job(), self._hear)
        except OSError as error:
            told = full_disk(error) or f"The job could not be started: {error}."
            raise FailedError(told) from error
        try:
            status = self._wait(child)
        finally:
            child.close()
        self._judge(status)

    def _pipeline(self) -> Pipeline:
        from analysis.commands import selectors as commands
        from analysis.pipelines import registry

        if command := commands.find(self.job.pipeline, self.job.version):
            if command.retired is not None:
                raise FailedError(f"The command {command} was taken out of use by an administrator.")
            self.command = commands.stated(command)
            return commands.pipeline_of(command)
        try:
            pipeline = registry.get(self.job.pipeline)
        except LookupError as error:
            raise FailedError(f"This worker does not know the pipeline {self.job.pipeline}.") from error
        if pipeline.version != self.job.version:
            raise FailedError(
                f"The job was queued for {self.job.pipeline} {self.job.version}, and the worker now has"
                f" {pipeline.version}: queue it again."
            )
        return pipeline

    def _wait(self, child: Child) -> int:
        while True:
            status = child.wait(LOOK_SECONDS)
            if status is not None:
                return status
            if self.lease.ended.is_set() or presence.leaving.is_set():
                child.end()
                raise StoppedError

    def _judge(self, status: int) -> None:
        output, failure = self.folder / "output.json", self.folder / "failure.json"
        if status == 0 and output.exists():
            return
        if failure.exists():
            told = json.loads(failure.read_text())
            raise FailedError(told["error"], told["trace"])
        raise FailedError(ending(status))

    def _hear(self, message: dict[str, Any]) -> None:
        if "progress" in message:
            self.lease.progress(self.done + (1 - self.done) * message["progress"], message.get("message", ""))
        if "log" in message:
            self.lease.log(message["log"])
        self.hashes.update(message.get("hashes", {}))
        self.environment.update(message.get("environment", {}))

    def store(self, log: str) -> None:
        """Move the files into place and write the result with ``succeeded``; a failure of that is the job's."""
        try:
            manifest = json.loads((self.folder / "output.json").read_text())
            comes_from = provenance(
                self.job_now(),
                inputs=self.inputs,
                hashes=self.hashes,
                environment=self.environment,
                seconds=manifest["seconds"],
                shards=self.shards,
            )
            stored = storing.store(self.held, self.folder, manifest, comes_from, log)
        except OSError as error:
            self._fail(full_disk(error) or f"The result could not be stored: {error}.", log + trace())
        else:
            if not stored:
                self._drop()

    def job_now(self) -> Job:
        """Return the row with what the claim wrote into it."""
        self.job.refresh_from_db(fields=["started", "attempt", "worker"])
        return self.job

    def write(self, end: Callable[[str], object]) -> None:
        """Write the end of the attempt."""
        persist(lambda: transitions.keep_environment(self.held, self.environment))
        persist(lambda: keep_hashes(self.hashes))
        log = self.lease.drain()
        try:
            end(log)
        except Exception as error:
            # Nothing that goes wrong while a result is stored may leave its job running for ever.
            logger.exception("The end of job %s could not be written", self.held.job_id)
            told = f"The result could not be stored: {type(error).__name__}: {error}"
            self._fail(told, log + trace())


def trace() -> str:
    """Return the traceback of the error that is being handled, for the log."""
    return traceback.format_exc()


def full_disk(error: OSError) -> str:
    """Return the sentence for a full disk, or an empty string for another error."""
    return FULL_DISK if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
