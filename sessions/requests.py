"""Requests as the middleware hands them to pages."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class HtmxRequest(HttpRequest):
    """A request that says whether htmx sent it: ``request.htmx`` is true when it did."""

    htmx: HtmxDetails
