"""What a Prometheus reads from a master, as its own library understands it."""

from __future__ import annotations

import json
import re
import urllib.request

from cluster import Process, until
from prometheus_client.parser import text_string_to_metric_families

_LISTENS = re.compile(r'"prometheus": "([^"]+)"')


async def metrics_address(master: Process) -> str:
    """Returns where a master answers Prometheus, as it says in its log."""
    found = await until(lambda: _LISTENS.search(master.said()), "the master says where")
    address: str = json.loads(f'"{found[1]}"')
    return address


class Scrape:
    """One look."""

    def __init__(self, address: str) -> None:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            self.text: str = answer.read().decode()
        self.samples = [
            sample
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        ]

    def names(self) -> set[str]:
        """Returns the names of all series."""
        return {sample.name for sample in self.samples}

    def sum(self, name: str, **labels: str) -> float:
        """Adds up all series of a name whose labels match."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str, label: str) -> set[str]:
        """Returns the values that a label has."""
        return {sample.labels[label] for sample in self.samples if sample.name == name}
