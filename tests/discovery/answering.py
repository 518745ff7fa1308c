"""A program as a service runs it: answers at PORT with its name, and with metrics at PORT_METRICS.

    python answering.py NAME

It prints its ports once it listens, and ends with SIGTERM at once, in the middle of an answer. It
imports nothing of ours: a service may be any program.
"""

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answer(BaseHTTPRequestHandler):
    """Answers each GET."""

    protocol_version = "HTTP/1.1"
    name = ""

    def do_GET(self) -> None:
        """Says who answers, or how it is."""
        metrics = self.path == "/metrics"
        body = f'up_name{{name="{self.name}"}} 1\n' if metrics else f"{self.name}\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def main() -> None:
    """Serves until it is killed."""
    Answer.name = sys.argv[1]
    ports = [int(os.environ.get(name, "0")) for name in ("PORT", "PORT_METRICS")]
    servers = [ThreadingHTTPServer(("127.0.0.1", port), Answer) for port in ports]
    print(*(server.server_address[1] for server in servers), flush=True)
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
