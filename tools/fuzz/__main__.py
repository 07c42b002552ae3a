"""`python -m tools.fuzz`: fuzz every target in turn, and keep the inputs that fail in a temporary folder.

Needs the extra `fuzz`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile

from tools.fuzz.learner import TARGETS, learn


def main() -> None:
    """Fuzz the targets. The exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all ({', '.join(TARGETS)})")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together (10)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers; 0 takes another each time (0)")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(unknown)}")
    folder, total, failed = tempfile.mkdtemp(prefix="fuzz-"), 0, []
    for name in names:
        found = learn(TARGETS[name], options.minutes * 60 / len(names), options.seed, f"{folder}/{name}-")
        total += found.inputs
        print(f"{name}: {found.inputs:,} inputs, {found.covered:,} branches, {found.learned:,} inputs learned")
        if found.failure:
            failed.append(name)
            print(found.failure, flush=True)
    if not failed:
        os.rmdir(folder)
    print(f"{total:,} inputs;", f"failed: {', '.join(failed)}; see {folder}" if failed else "none failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
