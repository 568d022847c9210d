"""Pages of lists over REST."""

from rest_framework.pagination import PageNumberPagination


class LabPagination(PageNumberPagination):
    """``{count, next, previous, results}``, 50 rows a page unless ``page_size`` (to 1,000) says otherwise."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 1000
