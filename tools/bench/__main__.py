"""The command line of the benchmarks.

This module imports a benchmark only to run it, since render processes import this module, too.
"""

from __future__ import annotations

import argparse
import signal
import sys
from importlib import import_module

_NAMES = {
    "hits": "rate of cached renditions, against a bare aiohttp handler with the same answers",
    "against": "processor time of cached renditions, against another commit",
    "locked": "rate of cached renditions with credentials, against anonymous requests",
    "compare": "the service beside thumbor, ipx and nginx; writes README.md and docs/compare.png",
    "tail": "latency of hits while misses keep every renderer busy",
    "overload": "ten and fifty times the orders that can be rendered, in an open loop",
    "kit": "each scenario of the load kit against the service; draws docs/load.png",
    "stampede": "a thousand identical cold requests at once, over two processes",
    "soak": "memory of the service after 100,000 hits, against after 20,000",
    "growth": "rate of hits over larger pictures and more contacts, against a bare handler; draws docs/growth.png",
    "wide": "rate of cached renditions of many contacts, against thumbor and nginx; draws docs/wide.png",
    "serving": "processor time of the serving process for a miss",
    "misses": "renders of a 12-megapixel JPEG to w=319, against Pillow without the service",
    "single": "renders in one process, against libvips at the same SSIM",
    "shrink": "SSIM of reductions that are cheaper than Lanczos",
    "copies": "time of each copy of the bytes between file, service and worker",
    "start": "time from the start to the first picture, against the imports only",
    "lookup": "time to find a contact's file among 100 and among 1,000,000",
    "mezzanine": "rate of twenty renditions of one 12-megapixel JPEG, with its mezzanine and without",
    "memory": "peak memory of a render process for the largest job of every reader, writer and placeholder",
    "writers": "size, time and SSIM of every writer's settings",
    "faults": "latency while the cache server is frozen, and the time until it is used again",
}


def main() -> None:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Run one benchmark and print its table. Figures are medians [least–most] over interleaved runs.",
        epilog="\n".join(f"  {name:8} {what}" for name, what in _NAMES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=_NAMES)
    parser.add_argument("--runs", type=int, default=5, help="number of measurements of each (5)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds of load in each run (5)")
    parser.add_argument(
        "--contacts", type=int, default=1_000_000, help="of lookup: contacts in the large folder (1,000,000)"
    )
    parser.add_argument("--load-seconds", type=int, default=60, help="of overload, kit: seconds of each load (60)")
    parser.add_argument("--commit", default="HEAD~1", help="of against: the other commit, or two as A..B (HEAD~1)")
    parser.add_argument(
        "--only",
        default="",
        metavar="WORDS",
        help="of against, compare, growth, memory: run only the jobs or cases that contain WORDS",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="of start: also print the slowest imports; of memory: each row"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the started processes, as Ctrl-C does
    try:
        import_module(f"tools.bench.{options.name}").run(options)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
