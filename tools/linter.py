"""What REDbot, the linter of HTTP resources, has against ours: `python tools/linter.py http://host/path ...`

A process of its own, for REDbot brings its own event loop. Prints a JSON object: for each request, such as
`HEAD http://host/path`, its status and the notes that are warnings or worse, as `bad: NAME: what it says`.
"""

from __future__ import annotations

import json
import sys
from configparser import ConfigParser

import thor
from redbot.resource import HttpResource

_PATIENCE = 30.0
"""Seconds for all of them."""


def lint(urls: list[str], accept: str = "*/*") -> dict[str, list[str]]:
    """GET and HEAD each of *urls*, and whatever REDbot asks besides: conditional, in parts, compressed."""
    config = ConfigParser()
    config.read_dict({"redbot": {"enable_local_access": "True"}})
    requests = {}
    for url in urls:
        for method in ("GET", "HEAD"):
            resource = requests[f"{method} {url}"] = HttpResource(config["redbot"])
            resource.set_request(url, method=method, headers=[("Accept", accept)])
    waiting = set(requests)

    def done(name: str) -> None:
        waiting.discard(name)
        if not waiting:
            thor.stop()

    for name, resource in requests.items():
        resource.on("check_done", lambda name=name: done(name))
    for resource in requests.values():
        resource.check()
    thor.schedule(_PATIENCE, thor.stop)
    thor.run()
    return {name: _told(resource, name in waiting) for name, resource in requests.items()}


def _told(resource: HttpResource, unfinished: bool) -> list[str]:
    failed = [f"bad: no answer: {resource.fetch_error}"] if unfinished or resource.fetch_error else []
    notes = {
        f"{note.level.value}: {type(note).__name__}: {note.summary}"
        for each in (resource, *resource.subreqs.values())
        for note in each.response.notes
        if note.level.value in ("warning", "bad")
    }
    return [str(resource.response.status_code), *failed, *sorted(notes)]


if __name__ == "__main__":
    accept = sys.argv.pop(1).partition("=")[2] if sys.argv[1].startswith("--accept=") else "*/*"
    json.dump(lint(sys.argv[1:], accept), sys.stdout, indent=2)
