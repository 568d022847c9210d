"""The project's own app: the commands and checks that belong to no single part."""

from django.apps import AppConfig


class LabsiteConfig(AppConfig):
    name = "labsite"
    label = "labsite"

    def ready(self) -> None:
        """Make the Celery app the current one, so that web processes send tasks to the broker of the settings."""
        from labsite.celery import app

        app.set_default()
