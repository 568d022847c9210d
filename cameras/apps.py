"""The cameras of the behaviour boxes."""

from typing import Any

from django.apps import AppConfig


class CamerasConfig(AppConfig):
    name = "cameras"

    def ready(self) -> None:
        """A session that ends ends its recordings."""
        from sessions.live import session_ended

        session_ended.connect(_stop_with_session, dispatch_uid="cameras stop with the session")


def _stop_with_session(session: Any, **_: Any) -> None:
    from cameras.models import CameraRecording, RecordingState
    from cameras.services import stop_recording
    from sessions.permissions import LABORATORY

    if CameraRecording.objects.filter(session=session, state=RecordingState.RECORDING).exists():
        stop_recording(session=session, by=LABORATORY)
