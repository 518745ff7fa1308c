"""The program that the demo of services keeps running: it tells over HTTP who it is.

It needs the standard library alone, so that any image with Python can run its text.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Who(BaseHTTPRequestHandler):
    """Answers every GET with who this process is, in JSON."""

    protocol_version = "HTTP/1.1"
    told = b""

    def do_GET(self) -> None:
        """Answers."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.told)))
        self.end_headers()
        self.wfile.write(self.told)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps health checks out of the log."""


def main() -> None:
    """Serves at $PORT until SIGTERM; the version `bad` ends at once."""
    version = os.environ.get("VERSION", "1")
    if version == "bad":
        sys.exit("this version can't start: it is the demo's bad one")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    who = {
        # Another for each start: who answers with the same is the same process.
        "token": uuid.uuid4().hex,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "version": version,
    }
    Who.told = json.dumps(who).encode()
    port = int(os.environ.get("PORT", "8000"))
    with ThreadingHTTPServer(("0.0.0.0", port), Who) as server:
        print(f"version {version} serves at port {port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
