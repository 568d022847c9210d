"""What can be wrong with cameras beyond what sessions.errors has."""

from sessions.errors import LabError


class DiskLow(LabError):
    """There is not enough room on the disk to begin; nothing was begun, and nothing is deleted to make room."""

    status = 507


class NoPicture(LabError):
    """The camera sends no picture now."""

    status = 503
