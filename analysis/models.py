"""The app's tables; they live with the jobs that they describe."""

from analysis.jobs.models import Artifact, Job, Result

__all__ = ["Artifact", "Job", "Result"]
