"""Addresses of the pages."""

from django.urls import URLPattern, URLResolver, path

from cameras import views

app_name = "cameras"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.wall, name="home"),
    path("wall/", views.wall, name="wall"),
    path("cameras/", views.wall, name="cameras"),
    path("cameras/alerts/", views.alerts, name="alerts"),
    path("cameras/alerts/now/", views.alerts_now, name="alerts-now"),
    path("cameras/recordings/<uuid:recording_id>/", views.recording, name="recording"),
    path("cameras/recordings/<uuid:recording_id>/frames.csv", views.frames_csv, name="frames-csv"),
    path("cameras/recordings/<uuid:recording_id>/frames.npy", views.frames_npy, name="frames-npy"),
    path("cameras/recordings/<uuid:recording_id>/cut.zip", views.cut, name="cut"),
    path("cameras/sessions/<uuid:session_id>/record/", views.session_record, name="session-record"),
    path("cameras/sessions/<uuid:session_id>/stop/", views.session_stop, name="session-stop"),
    path("cameras/sessions/<uuid:session_id>/preflight/", views.preflight, name="preflight"),
    path("cameras/<slug:slug>/", views.camera, name="camera"),
    path("cameras/<slug:slug>/controls/", views.controls, name="controls"),
    path("cameras/<slug:slug>/kept/", views.kept, name="kept"),
    path("cameras/<slug:slug>/kept/save/", views.kept_save, name="kept-save"),
    path("cameras/<slug:slug>/record/", views.record, name="record"),
    path("cameras/<slug:slug>/stop/", views.stop, name="stop"),
    path("cameras/<slug:slug>/snapshot.jpg", views.snapshot, name="snapshot"),
]
