"""Hits with credentials, against anonymous hits of the same service in the same run."""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from base64 import b64encode
from functools import partial
from pathlib import Path

from service.access.identity import READER
from service.access.verifiers.users_text import line
from service.protocol.signatures import sign
from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.figures import interleaved, ratios, show, spread
from tools.bench.instruments.load import CONNECTIONS, load
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.processes import PATH, get, service

_PATH = f"{PATH}?w=319"
_USER, _PASSWORD, _KEY, _SIGNS = "anna", "anna's", "k1", "k1" * 16
_DAY = 86_400


def run(options: Namespace) -> None:
    """Measure anonymous requests, Basic, and URLs signed for a week and for an hour."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        images, users = Path(folder), Path(folder) / "users"
        (images / "1.jpg").write_bytes(photograph(750, 1000, grain=0.15))
        users.write_text(line(_USER, _PASSWORD, READER) + "\n", "utf-8")
        now, basic = int(time.time()), b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
        requests = {
            "anonymous": (_PATH, ACCEPT),
            "Basic": (_PATH, {**ACCEPT, "Authorization": f"Basic {basic}"}),
            "signed for a week": (sign(_PATH, _KEY, _SIGNS.encode(), now + 7 * _DAY), ACCEPT),
            "signed for an hour": (sign(_PATH, _KEY, _SIGNS.encode(), now + _DAY // 24), ACCEPT),
        }
        with service(
            images,
            render__workers="1",
            auth__schemes="basic,signed",
            auth__anonymous_read="true",
            auth__users_file=str(users),
            auth__signing_keys=f"{_KEY}:{_SIGNS}",
        ) as server:
            for path, headers in (*requests.values(), *requests.values()):
                status, fields, _ = get(server.port, path, headers)
                assert status == 200
            assert "hit" in fields["Cache-Status"], fields
            measured = [
                partial(lambda path, headers: load(server.port, [path], headers, seconds=options.seconds).rate, *sent)
                for sent in requests.values()
            ]
            rates = dict(zip(requests, interleaved(options.runs, *measured), strict=True))
    show(
        f"{CONNECTIONS} connections, {options.runs} runs",
        ("requester", "req/s", "/ anonymous"),
        [[name, spread(each, 0), spread(ratios(each, rates["anonymous"]))] for name, each in rates.items()],
    )
