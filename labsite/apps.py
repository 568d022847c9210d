"""The project's own app: the commands and checks that belong to no single part."""

from django.apps import AppConfig


class LabsiteConfig(AppConfig):
    name = "labsite"
    label = "labsite"
