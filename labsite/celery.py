"""The Celery app; its settings are the ``CELERY_*`` names of labsite.settings."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")

import labsite.stack.workers  # noqa: F401 - a worker says that it lives

app = Celery("labsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["analysis.jobs"])
