"""`python -m tools.fuzz --minutes N`: render mutants, and keep those that fail in a temporary folder."""

from __future__ import annotations

import argparse
import sys

from tools.fuzz.campaign import run


def main() -> None:
    """Run the campaign and print its counts. The exit code is 1 if a mutant failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first mutant (0)")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    counts = run(options.minutes, options.first, options.processes)
    print(f"{counts.total():,} mutants:", ", ".join(f"{count:,} {what}" for what, count in counts.most_common()))
    sys.exit(1 if set(counts) - {"rendered", "refused"} else 0)


if __name__ == "__main__":
    main()
