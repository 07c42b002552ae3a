"""Run a command as the process to which orphans among its descendants go: `adopt.py COMMAND…`.

So it finds every process that it has started, whatever became of the parent, the session or the environment.
"""

import ctypes
import os
import sys

_PR_SET_CHILD_SUBREAPER = 36  # include/uapi/linux/prctl.h

if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
