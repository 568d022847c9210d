"""Addresses of the websockets of the web process; ingest has its own (cameras.ingest.application)."""

from django.urls import URLPattern, path

from cameras.consumers import live

websocket_urlpatterns: list[URLPattern] = [path("ws/cameras/<slug:slug>/live/", live)]  # type: ignore[arg-type]
