"""Pipelines, jobs and results."""

from typing import Any

from django.apps import AppConfig


class AnalysisConfig(AppConfig):
    name = "analysis"

    def ready(self) -> None:
        """A session that goes to another project takes its analyses along."""
        from sessions.live import session_moved

        session_moved.connect(_follow, dispatch_uid="analyses follow their session")


def _follow(session: Any, **_: Any) -> None:
    from analysis.services import follow_session

    follow_session(session=session)
