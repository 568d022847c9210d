"""The filters of the lists of jobs and results."""

from __future__ import annotations

import django_filters as df

from analysis.jobs.models import Job, JobState, Result


class JobFilter(df.FilterSet):
    """Of jobs."""

    state = df.MultipleChoiceFilter(choices=JobState.choices, help_text="One or several states.")
    pipeline = df.CharFilter(help_text="Name of the pipeline.")
    recording = df.UUIDFilter(field_name="inputs__recording", help_text="Jobs that read this recording.")
    project = df.UUIDFilter(field_name="project_id", help_text="Jobs of this project.")
    parent = df.UUIDFilter(field_name="parent_id", help_text="The parts that this job was split into.")

    class Meta:
        model = Job
        fields = ()


class ResultFilter(df.FilterSet):
    """Of results."""

    pipeline = df.CharFilter(field_name="job__pipeline", help_text="Name of the pipeline.")
    recording = df.UUIDFilter(field_name="job__inputs__recording", help_text="Results on this recording.")
    project = df.UUIDFilter(field_name="job__project_id", help_text="Results of this project.")
    job = df.UUIDFilter(field_name="job_id", help_text="The result of this job.")

    class Meta:
        model = Result
        fields = ()
