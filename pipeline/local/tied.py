"""Run a program that dies with its supervisor: `python tied.py SUPERVISOR_PID PROGRAM ARGUMENT...`.

On Linux the kernel is asked to send SIGKILL when the parent ends (prctl PR_SET_PDEATHSIG), however it ends; the request outlives exec.
A launcher of its own instead of a preexec_fn: that would run Python between fork and exec of a process with threads. Elsewhere than on
Linux the program is started all the same, and outlives a supervisor killed with -9.

SIGKILL and not SIGTERM: nobody would be left to wait for an orderly end, and every part is built to be killed.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    supervisor, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # It may have died before the request was made.
        if os.getppid() != supervisor:
            sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606 - the supervisor's own command


if __name__ == "__main__":
    main()
