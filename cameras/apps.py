"""The cameras of the behaviour boxes."""

from django.apps import AppConfig


class CamerasConfig(AppConfig):
    name = "cameras"
