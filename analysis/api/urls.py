"""REST addresses below /api/v1/."""

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from analysis.api import bundles, chains, clockfits, commands, discussion, labels, sharing, trace_events, traces, views

router = SimpleRouter()
router.register("jobs", views.JobViewSet, basename="job")
router.register("commands", commands.CommandViewSet, basename="command")
router.register("chains", chains.ChainViewSet, basename="chain")
router.register("unit-labels", labels.UnitLabelsViewSet, basename="unit-labels")
router.register("clock-fits", clockfits.ClockFitViewSet, basename="clock-fit")
router.register("share-links", sharing.ShareLinkViewSet, basename="share-link")
router.register("results", views.ResultViewSet, basename="result")
router.register("comments", discussion.CommentViewSet, basename="comment")
router.register("paper-marks", discussion.MarkViewSet, basename="paper-mark")

urlpatterns: list[URLPattern | URLResolver] = [
    path("pipelines/", views.PipelinesView.as_view(), name="pipelines"),
    path("chain-definitions/", chains.ChainDefinitionsView.as_view(), name="chain-definitions"),
    path(
        "results/<uuid:result>/figures/<slug:figure>.<slug:file_format>",
        views.FigureView.as_view(),
        name="result-figure",
    ),
    path("sessions/<uuid:session>/nwb/", views.SessionNwbView.as_view(), name="session-nwb"),
    path("results/<uuid:result>/bundle/", bundles.BundleView.as_view(), name="result-bundle"),
    path("results/bundles/", bundles.BundlesView.as_view(), name="result-bundles"),
    path("results/<uuid:result>/artifacts/<path:name>", views.ArtifactView.as_view(), name="result-artifact"),
    path("recordings/<uuid:recording>/traces/", traces.TracesView.as_view(), name="recording-traces"),
    path("recordings/<uuid:recording>/traces/window/", traces.WindowView.as_view(), name="recording-traces-window"),
    path(
        "recordings/<uuid:recording>/traces/sources/",
        trace_events.SourcesView.as_view(),
        name="recording-traces-sources",
    ),
    path(
        "recordings/<uuid:recording>/traces/events/", trace_events.EventsView.as_view(), name="recording-traces-events"
    ),
    path("recordings/<uuid:recording>/units/", labels.UnitsView.as_view(), name="recording-units"),
    *router.urls,
]
