"""Record the incidents and draw them: `python -m tools.incidents [NAME…]` writes the pictures of `docs/operations.md`.

It needs Debian's package `prometheus` and the extra `load`. All three take twelve minutes.
"""

from __future__ import annotations

import argparse
import signal
import sys

from tools.bench.instruments.processes import ROOT
from tools.incidents.picture import draw
from tools.incidents.recording import INCIDENTS, record


def main() -> None:
    """Record and draw the incidents that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tools.incidents", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(INCIDENTS)} (all)")
    names = parser.parse_args().names or [*INCIDENTS]
    if unknown := {*names} - {*INCIDENTS}:
        parser.error(f"there is no incident {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the started processes, as Ctrl-C does
    for name in names:
        draw(ROOT / "docs" / f"incident-{name}.png", INCIDENTS[name].what, record(INCIDENTS[name]))


if __name__ == "__main__":
    main()
