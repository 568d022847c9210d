"""Addresses of the pages."""

from django.urls import URLPattern, URLResolver, path

from sessions.pages import account, animals, care, recordings, sessions, sheets

app_name = "lab"

urlpatterns: list[URLPattern | URLResolver] = [
    path("animals/", animals.animals, name="animals"),
    path("animals/new/", animals.new_animal, name="animal-new"),
    path("animals/<uuid:pk>/", animals.animal, name="animal"),
    path("animals/<uuid:pk>/change/", animals.change_animal, name="animal-change"),
    path("cages/<uuid:pk>/", care.cage, name="cage"),
    path("care/", care.care, name="care"),
    path("care/find/", care.find, name="care-find"),
    path("care/labels/", care.labels, name="care-labels"),
    path("care/note/", care.note, name="care-note"),
    path("care/water/", care.water, name="care-water"),
    path("care/weigh/", care.weigh, name="care-weigh"),
    path("care/who/", care.who, name="care-who"),
    path("sessions/", sessions.sessions, name="sessions"),
    path("sessions/new/", sessions.start_session, name="session-start"),
    path("sessions/<uuid:pk>/", sessions.session, name="session"),
    path("sessions/<uuid:pk>/recordings/", sessions.session_recordings, name="session-recordings"),
    path("sessions/<uuid:pk>/trials/", sessions.session_trials, name="session-trials"),
    path("sessions/<uuid:pk>/keep-events/", sessions.keep_events, name="session-keep-events"),
    path("sessions/<uuid:pk>/end/", sessions.end_session, name="session-end"),
    path("sessions/<uuid:pk>/move/", sessions.move_session, name="session-move"),
    path("sessions/<uuid:pk>/notes/", sessions.session_notes, name="session-notes"),
    path("sessions/<uuid:pk>/register/", sessions.register_files, name="session-register"),
    path("recordings/", recordings.recordings, name="recordings"),
    path("recordings/<uuid:pk>/", recordings.recording, name="recording"),
    path("files/<uuid:pk>/copy/", recordings.copy_file, name="file-copy"),
    path("files/<uuid:pk>/forget/", recordings.forget_copy, name="file-forget"),
    path("files/<uuid:pk>/download/", recordings.download, name="file-download"),
    path("sheets/", sheets.sheets, name="sheets"),
    path("sheets/send/", sheets.send, name="sheet-send"),
    path("sheets/take/<slug:kind>.<slug:file_format>", sheets.take, name="sheet-take"),
    path("sheets/<uuid:pk>/", sheets.sheet, name="sheet"),
    path("sheets/<uuid:pk>/import/", sheets.confirm, name="sheet-import"),
    path("sheets/<uuid:pk>/discard/", sheets.discard, name="sheet-discard"),
    path("search/", recordings.search, name="search"),
    path("account/", account.account, name="account"),
    path("account/tokens/", account.new_token, name="token-new"),
    path("account/tokens/<uuid:pk>/revoke/", account.revoke, name="token-revoke"),
    path("account/password/", account.change_password, name="password-change"),
]
