"""Network cameras as the tests need them: real servers of HTTP and RTSP whose pictures a test decides."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class HttpCamera:
    """Serves JPEG pictures one after the other; ``picture`` is the one that it sees, ``frozen`` that it sends none."""

    def __init__(self, picture: bytes) -> None:
        self.picture = picture
        self.frozen = threading.Event()
        self._ended = threading.Event()
        camera = self

        class Stream(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
                self.end_headers()
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
                try:
                    while not camera._ended.wait(0.02):
                        if not camera.frozen.is_set():
                            self.wfile.write(head % (len(camera.picture), camera.picture))
                except OSError:
                    return

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/video.mjpg"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
