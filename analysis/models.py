"""The app's tables; they live with the jobs that they describe."""

from analysis.jobs.models import Artifact, Job, JobInput, Result, Worker

__all__ = ["Artifact", "Job", "JobInput", "Result", "Worker"]
