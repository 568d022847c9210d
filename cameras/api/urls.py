"""REST addresses below /api/v1/."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from cameras.api.enrolment import EnrolView
from cameras.api.views import (
    CameraAlertViewSet,
    CameraRecordingViewSet,
    CameraViewSet,
    PreflightView,
    RecordView,
    StopView,
)

router = SimpleRouter()
router.register("cameras", CameraViewSet, basename="camera")
router.register("camera-recordings", CameraRecordingViewSet, basename="camera-recording")

router.register("camera-alerts", CameraAlertViewSet, basename="camera-alert")

urlpatterns: list[URLPattern | URLResolver] = [
    path("camera-enrolment/", EnrolView.as_view(), name="enrolment"),
    path("sessions/<uuid:session_id>/preflight/", PreflightView.as_view(), name="session-preflight"),
    path("sessions/<uuid:session_id>/record/", RecordView.as_view(), name="session-record"),
    path("sessions/<uuid:session_id>/stop/", StopView.as_view(), name="session-stop"),
    path("", include(router.urls)),
]
