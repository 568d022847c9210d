"""REST addresses below /api/v1/."""

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from sessions.api import care, colony, notes, views
from sessions.api.auth import TokenView
from sessions.api.uploads import UploadsView, UploadView

router = SimpleRouter()
router.register("projects", views.ProjectViewSet, basename="project")
router.register("species", views.SpeciesViewSet, basename="species")
router.register("strains", views.StrainViewSet, basename="strain")
router.register("animals", views.AnimalViewSet, basename="animal")
router.register("rigs", views.RigViewSet, basename="rig")
router.register("tasks", views.TaskViewSet, basename="task")
router.register("sessions", views.SessionViewSet, basename="session")
router.register("recordings", views.RecordingViewSet, basename="recording")
router.register("files", views.FileViewSet, basename="file")
router.register("events", views.EventViewSet, basename="event")
router.register("weighings", care.WeighingViewSet, basename="weighing")
router.register("restrictions", care.RestrictionViewSet, basename="restriction")
router.register("administrations", care.AdministrationViewSet, basename="administration")
router.register("procedures", care.ProcedureViewSet, basename="procedure")
router.register("implants", care.ImplantViewSet, basename="implant")
router.register("genotypes", care.GenotypeViewSet, basename="genotype")
router.register("cages", care.CageViewSet, basename="cage")
router.register("housings", care.HousingViewSet, basename="housing")
router.register("notes", notes.NoteViewSet, basename="note")
router.register("tags", notes.TagViewSet, basename="tag")
router.register("alleles", colony.AlleleViewSet, basename="allele")
router.register("breeding-pairs", colony.PairViewSet, basename="pair")
router.register("litters", colony.LitterViewSet, basename="litter")
router.register("tokens", views.TokenViewSet, basename="token")

urlpatterns: list[URLPattern | URLResolver] = [
    path("auth/token/", TokenView.as_view(), name="auth-token"),
    path("uploads/", UploadsView.as_view(), name="upload-list"),
    path("uploads/<uuid:pk>/", UploadView.as_view(), name="upload-detail"),
    *router.urls,
]
