"""Run as a program: asks the kernel to kill this process when its parent dies, then becomes the command it was given.

`python -I -S leash.py PARENT_PID COMMAND...`. The request survives execve(2). A program of its own, because a
preexec_fn may deadlock in a process that has threads (gRPC has). SIGKILL, because the parent can no longer see to it
that the child ends, and whatever runs here is built to survive a kill. Only Linux has this; elsewhere it just runs the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before the request was in place.
        if os.getppid() != parent:
            raise SystemExit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
