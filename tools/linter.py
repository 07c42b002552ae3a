"""Check a running service with REDbot, a linter of HTTP resources: `python -m tools.linter http://host/path ...`

It runs in a process of its own, because REDbot has its own event loop. It prints a JSON object. Its keys are requests,
such as `HEAD http://host/path`; its values are the status and REDbot's warnings and errors, as `bad: NAME: TEXT`.
"""

from __future__ import annotations

import json
import sys
from configparser import ConfigParser

import thor
from redbot.resource import HttpResource

_TIMEOUT = 30.0
"""Seconds for all requests together."""


def lint(urls: list[str], accept: str = "*/*") -> dict[str, list[str]]:
    """Return the status and notes for GET and HEAD of every URL in *urls*.

    REDbot sends further requests to check them: conditional ones, ranges, and compressed ones.
    """
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
    thor.schedule(_TIMEOUT, thor.stop)
    thor.run()
    return {name: _notes(resource, name in waiting) for name, resource in requests.items()}


def _notes(resource: HttpResource, unfinished: bool) -> list[str]:
    failed = [f"bad: no answer: {resource.fetch_error}"] if unfinished or resource.fetch_error else []
    notes = {
        f"{note.level.value}: {type(note).__name__}: {note.summary}"
        for request in (resource, *resource.subreqs.values())
        for note in request.response.notes
        if note.level.value in ("warning", "bad")
    }
    return [str(resource.response.status_code), *failed, *sorted(notes)]


if __name__ == "__main__":
    accept = sys.argv.pop(1).partition("=")[2] if sys.argv[1].startswith("--accept=") else "*/*"
    json.dump(lint(sys.argv[1:], accept), sys.stdout, indent=2)
