"""The web process: pages and REST over HTTP, live pictures and events over websockets."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")

import django

django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter

from analysis.routing import websocket_urlpatterns as analysis_sockets
from cameras.routing import websocket_urlpatterns as camera_sockets
from sessions.api.uploads import arrives
from sessions.arriving import ArrivingHandler
from sessions.routing import websocket_urlpatterns as session_sockets
from sessions.websockets import authenticated, or_refused

application = ProtocolTypeRouter(
    {
        "http": ArrivingHandler(arrives),
        "websocket": authenticated(or_refused(URLRouter([*camera_sockets, *session_sockets, *analysis_sockets]))),
    }
)
