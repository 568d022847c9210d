"""Addresses of the websockets."""

from django.urls import URLPattern, path

from sessions.consumers import SessionConsumer

websocket_urlpatterns: list[URLPattern] = [
    path("ws/sessions/<uuid:pk>/", SessionConsumer.as_asgi(), name="session-news"),
]
