"""A tiny web program: says which instance it is, and ends in order on SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    """Answers every GET; /healthz is what the service's check asks for."""

    def do_GET(self) -> None:
        """Answers."""
        name = os.environ.get("PULLWORK_INSTANCE", "nobody")
        body = b"well\n" if self.path == "/healthz" else f"hello from {name}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keeps checks out of the log."""
        if self.path != "/healthz":
            super().log_request(code, size)


def main() -> None:
    """Serves at $PORT, or at 8000 where nobody says otherwise."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ.get("PORT", "8000"))
    with ThreadingHTTPServer(("0.0.0.0", port), Hello) as server:
        print(f"serving at port {port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
