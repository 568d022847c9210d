"""Addresses of the websockets."""

from django.urls import URLPattern, path

from sessions.consumers import EventsConsumer, SessionConsumer

websocket_urlpatterns: list[URLPattern] = [
    path("ws/sessions/<uuid:pk>/", SessionConsumer.as_asgi(), name="session-news"),
    path("ws/sessions/<uuid:pk>/events/", EventsConsumer.as_asgi(), name="session-events"),
]
