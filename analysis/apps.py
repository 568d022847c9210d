"""Pipelines, jobs and results."""

from django.apps import AppConfig


class AnalysisConfig(AppConfig):
    name = "analysis"
