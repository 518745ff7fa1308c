"""Keeps pages of other sites out: a browser reaches what its user reaches, loopback too.

Two ways lead from a foreign page to a master on loopback or inside a company. It may have the
browser send a request here: then the browser says so, in `Origin` and `Sec-Fetch-Site`, and what
changes something is refused; what only reads is answered, and since no answer allows another
origin, the browser shows it to no page. Or the site has its own name point here for a moment
(DNS rebinding), so that the browser takes both for one site: then the name is still in `Host`.
An address can't be pointed elsewhere, so addresses are taken, and names only if they are known.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from pullwork_master.gateway.refusals import CrossOriginError, UnknownHostError

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What a browser says of where a request comes from: ours, or typed by the user.
_OURS: Final = frozenset({"same-origin", "none"})
ANY: Final = "*"


class Browsers:
    """Tells requests that a foreign page had a browser send."""

    def __init__(self, known_hosts: Iterable[str]) -> None:
        self._known = {host.strip("[]").lower() for host in known_hosts} | {"localhost"}

    def check(self, verb: str, headers: Mapping[str, str]) -> None:
        """Passes what no foreign page sent. Errors: UnknownHostError, CrossOriginError."""
        host = headers.get("host", "")
        if not self._is_known(_bare(host)):
            raise UnknownHostError(
                f"this master does not know itself as {host[:200]!r}; if it is reached by that "
                "name, add it to the setting master.http_hosts"
            )
        if verb in READING:
            return
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host.lower():
            raise CrossOriginError(
                f"a page of {origin[:200]!r} may not change anything at {host[:200]!r}; a proxy "
                "in between must pass the Host header on as it came"
            )
        if headers.get("sec-fetch-site", "none") not in _OURS:
            raise CrossOriginError("a page of another site may not change anything here")

    def _is_known(self, host: str) -> bool:
        if host in self._known or ANY in self._known or host.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def _netloc(origin: str) -> str:
    """Returns host and port of an origin, in small letters; nothing for one that is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _bare(host: str) -> str:
    """Returns a Host header without its port and brackets, in small letters."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
