"""The command line of the benchmarks. Imports one when it is run: render processes import this module again."""

from __future__ import annotations

import argparse
import signal
import sys
from importlib import import_module

_NAMES = {
    "hits": "cached renditions, against a bare aiohttp handler that returns the same",
    "locked": "cached renditions, by those who say who they are, against anybody",
    "thumbor": "cached renditions, against thumbor's, two processes each",
    "tail": "how long hits take while misses keep every renderer busy",
    "stampede": "a thousand identical cold requests at once, over two processes",
    "soak": "memory of the service after 100,000 hits, against after 20,000",
    "growth": "hits over more contacts, more renditions of each, larger pictures: a table and docs/growth.png",
    "misses": "a 12-megapixel JPEG to w=319, against bare Pillow",
    "single": "one picture in this process, against libvips at like quality",
    "shrink": "how far a picture may shrink by cheaper means than Lanczos, by SSIM",
    "peers": "misses over HTTP, against ipx and thumbor",
    "copies": "what each copy of the bytes costs, between file, service and worker",
    "start": "start to the first picture, against the imports alone",
    "lookup": "finding a contact's file among 100 and among 1,000,000",
    "mezzanine": "twenty renditions of one 12-megapixel JPEG, with its mezzanine and without",
    "memory": "the peak of a render process, for every reader, writer, film and placeholder at its largest",
    "writers": "size, time and likeness of each format's settings, on real photographs where they are at hand",
    "faults": "waiting for a frozen cache, and how soon it is used again",
}


def main() -> None:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Figures are medians [least–most] over interleaved runs: ours, the reference, ours, …",
        epilog="\n".join(f"  {name:8} {what}" for name, what in _NAMES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=_NAMES)
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--seconds", type=int, default=5, help="of load in each run: hits, thumbor, tail, faults (5)")
    parser.add_argument("--contacts", type=int, default=1_000_000, help="in the large folder: lookup (1,000,000)")
    parser.add_argument("--only", default="", metavar="WORDS", help="jobs with these words in them: memory")
    parser.add_argument("--verbose", action="store_true", help="say where the time goes: start; each row: memory")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended, as by Ctrl-C
    try:
        import_module(f"tools.bench.{options.name}").run(options)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
