"""The catalog."""

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions"
    label = "lab"  # django.contrib.sessions owns the label "sessions"
    verbose_name = "Catalog"
