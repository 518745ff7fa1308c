"""What the instances run: a server that says who it is, and ends or swells when it is asked to."""

from __future__ import annotations

from typing import Final

# In one string, so that an image needs nothing but Python; the first word of each process of this
# run says whose it is.
SOURCE: Final = """
import os, signal, socket
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server = socket.create_server(("0.0.0.0", int(os.environ.get("PORT", "8080"))), backlog=64)
print("serves", os.environ.get("FLAVOUR", ""), flush=True)
while True:
    caller, _ = server.accept()
    with caller:
        caller.settimeout(2)
        try:
            path = (caller.recv(4096).split(b" ") + [b"", b""])[1]
            if path == b"/exit":
                os._exit(0)
            if path == b"/hog":
                hoard = []
                while True:
                    hoard.append(b"x" * (16 << 20))
            body = os.environ.get("FLAVOUR", "").encode()
            head = b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
            caller.sendall(head + body)
        except OSError:
            pass
"""
CRASHES: Final = "import sys, time; print('I give up', flush=True); time.sleep(0.2); sys.exit(3)"


def command(python: str, source: str = SOURCE) -> list[str]:
    """Returns the words that run it; quick to start, since it loads no site."""
    return [python, "-I", "-S", "-c", source]
