"""Print the ids of the running descendants of a process, without this one and its own parents: `descendants.py PID`.

It reads `/proc/PID/stat`, which every process may, and no environment: that of a render process is hidden.
"""

import os
import sys
from pathlib import Path

parents = {}
for entry in Path("/proc").glob("[0-9]*"):
    try:
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        continue  # it has ended
    if state not in "ZX":
        parents[int(entry.name)] = int(parent)


def ancestors(pid: int) -> set[int]:
    """Return *pid*, its parent, and so on."""
    found = set[int]()
    while pid in parents:
        found.add(pid)
        pid = parents[pid]
    return found


own = ancestors(os.getpid())
print(*(pid for pid in parents if pid not in own and int(sys.argv[1]) in ancestors(pid)), sep="\n")
