"""Everything that changes cameras and their recordings; each function is one transaction, arguments by keyword."""

from cameras.services.alerts import note_alerts
from cameras.services.enrolment import create_camera, enrol_agent, offer_enrolment, rotate_token, update_camera
from cameras.services.finishing import finish_recording, reopen_recording
from cameras.services.proxies import keep_proxy, proxy_failed, queue_proxy
from cameras.services.recording import (
    start_camera_recording,
    start_recording,
    stop_camera_recording,
    stop_recording,
)
from cameras.services.ring import carry_out_cut, prune_ring, save_cut

__all__ = [
    "carry_out_cut",
    "create_camera",
    "enrol_agent",
    "finish_recording",
    "keep_proxy",
    "note_alerts",
    "offer_enrolment",
    "proxy_failed",
    "prune_ring",
    "queue_proxy",
    "reopen_recording",
    "rotate_token",
    "save_cut",
    "start_camera_recording",
    "start_recording",
    "stop_camera_recording",
    "stop_recording",
    "update_camera",
]
