"""Pipelines, jobs and results."""

from typing import Any

from django.apps import AppConfig


class AnalysisConfig(AppConfig):
    name = "analysis"

    def ready(self) -> None:
        """Tell the catalog which formats the readers know; a session that changes project takes its analyses along."""
        from analysis import marks
        from sessions import formats
        from sessions.live import session_moved

        formats.add_family(marks.FORMATS, marks.may_be, marks.DESCRIBE)
        session_moved.connect(_follow, dispatch_uid="analyses follow their session")


def _follow(session: Any, **_: Any) -> None:
    from analysis.services import follow_session

    follow_session(session=session)
