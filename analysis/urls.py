"""Addresses of the pages."""

from django.urls import URLPattern, URLResolver, path

from analysis import drawing_views, pipelines_page, views, watching
from analysis.chains import views as chains
from analysis.clockfits import views as clockfits
from analysis.discussion import views as discussion
from analysis.labels import views as labels
from analysis.sharing import page as shared
from analysis.sharing import views as sharing

urlpatterns: list[URLPattern | URLResolver] = [
    path("pipelines/", pipelines_page.pipeline_list, name="pipelines-page"),
    path("jobs/", views.job_list, name="jobs"),
    path("jobs/new/", views.job_new, name="job-new"),
    path("jobs/<uuid:job_id>/", views.job_page, name="job"),
    path("jobs/<uuid:job_id>/live/", views.job_live, name="job-live"),
    path("jobs/<uuid:job_id>/cancel/", views.job_cancel, name="job-page-cancel"),
    path("jobs/<uuid:job_id>/again/", views.job_again, name="job-page-again"),
    path("chains/", chains.chain_list, name="chains"),
    path("chains/new/", chains.chain_new, name="chain-new"),
    path("chains/<uuid:chain_id>/", chains.chain_page, name="chain"),
    path("chains/<uuid:chain_id>/live/", chains.chain_live, name="chain-live"),
    path("chains/<uuid:chain_id>/cancel/", chains.chain_cancel, name="chain-page-cancel"),
    path("chains/<uuid:chain_id>/again/", chains.chain_again, name="chain-page-again"),
    path("papers/", discussion.paper_list, name="papers"),
    path("results/compare/", discussion.compare, name="result-compare"),
    path("results/<uuid:result_id>/comments/", discussion.comment_add, name="result-comment-add"),
    path("results/<uuid:result_id>/papers/", discussion.mark_add, name="result-mark"),
    path("comments/<uuid:comment_id>/", discussion.comment_change, name="result-comment"),
    path("paper-marks/<uuid:mark_id>/remove/", discussion.mark_remove, name="result-mark-remove"),
    path("results/<uuid:result_id>/", views.result_page, name="result"),
    path("results/<uuid:result_id>/reproduce/", views.result_reproduce, name="result-page-reproduce"),
    path(
        "results/<uuid:result_id>/figures/<slug:name>/<slug:theme>.json", views.figure_item, name="result-figure-item"
    ),
    path("results/<uuid:result_id>/clock/use/", clockfits.fit_use, name="result-clock-use"),
    path("results/<uuid:result_id>/clock/undo/", clockfits.fit_undo, name="result-clock-undo"),
    path("results/<uuid:result_id>/share/", sharing.result_share, name="result-share"),
    path("share-links/<uuid:link_id>/revoke/", sharing.link_revoke, name="share-link-page-revoke"),
    path("shared/<str:key>/", shared.shared_result, name="shared-result"),
    path(
        "shared/<str:key>/figures/<slug:name>/<slug:theme>.json", shared.shared_figure_item, name="shared-figure-item"
    ),
    path("shared/<str:key>/figures/<slug:name>.<slug:file_format>", shared.shared_figure, name="shared-figure"),
    path("sessions/<uuid:session_id>/nwb/", views.session_nwb, name="session-page-nwb"),
    path("recordings/<uuid:pk>/arenas/", drawing_views.arenas, name="recording-arenas"),
    path("recordings/<uuid:pk>/frame.jpg", drawing_views.frame, name="recording-frame"),
    path("recordings/<uuid:pk>/units/", labels.units_page, name="recording-units-page"),
    path("recordings/<uuid:pk>/watch/", watching.watch, name="recording-watch"),
    path("recordings/<uuid:pk>/watch/<uuid:video_id>.json", watching.track, name="recording-track"),
]
