"""The ingest process: what the camera agents talk to. It serves no pages and no viewers."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")

from django.core.asgi import get_asgi_application

get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter

from cameras.routing import ingest_urlpatterns

application = ProtocolTypeRouter({"websocket": URLRouter(ingest_urlpatterns)})
