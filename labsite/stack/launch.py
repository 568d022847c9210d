"""Become another program that cannot outlive its parent.

Run as a script, with the standard library only, in front of every process of the stack:

    python -I launch.py --parent PID --signal KILL [--nice N] [--account NAME [--reach]] -- program argument ...

The process becomes leader of a group of its own (so that Ctrl-C in the terminal reaches the supervisor alone), asks
the kernel for a signal when its parent dies, drops root where an account is named, and is then replaced by the program.
"""

import os
import pwd
import signal
import sys

# Known to type checkers by its name; the module `typing` would double the start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2


def libc() -> "ctypes.CDLL | None":
    """The C library with `errno` kept, or None where there is no prctl (not Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def held_capabilities() -> int:
    """Bit set of the capabilities this process is permitted, 0 where the kernel does not tell."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("CapPrm:"):
                    return int(line.split()[1], 16)
    except OSError:
        return 0
    return 0


def raise_ambient(capability: int) -> None:
    """Keep one capability across the change of user and across exec."""
    import ctypes

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    class Data(ctypes.Structure):
        _fields_ = [
            ("effective", ctypes.c_uint32),
            ("permitted", ctypes.c_uint32),
            ("inheritable", ctypes.c_uint32),
        ]

    bit = 1 << capability
    data = (Data * 2)(Data(bit, bit, bit), Data(0, 0, 0))
    header = Header(CAPABILITY_VERSION_3, 0)
    c = ctypes.CDLL(None, use_errno=True)
    if c.capset(ctypes.byref(header), data) or c.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0):
        raise OSError(
            ctypes.get_errno(),
            "keeping the right to read below a private directory failed",
        )


def become(account: str, *, reach: bool) -> None:
    """Give up root for `account`; with `reach`, keep the right to pass directories that only root may pass.

    Postgres refuses to run as root, while root may have cloned the project below a home directory that no other
    account can enter. Loosening the permissions of root's home would be the wrong cure.
    """
    entry = pwd.getpwnam(account)
    c = libc()
    if reach and c:
        c.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    wanted = CAP_DAC_READ_SEARCH if held_capabilities() >> CAP_DAC_READ_SEARCH & 1 else CAP_DAC_OVERRIDE
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    if reach and c:
        raise_ambient(wanted)
    os.environ["HOME"] = "/"
    os.environ["USER"] = os.environ["LOGNAME"] = account


def main(arguments: list[str]) -> None:
    """Do what the module says; returns only by failing."""
    parent, death, account, reach = 0, "KILL", "", False
    while arguments and arguments[0] != "--":
        option = arguments.pop(0)
        if option == "--parent":
            parent = int(arguments.pop(0))
        elif option == "--signal":
            death = arguments.pop(0)
        elif option == "--account":
            account = arguments.pop(0)
        elif option == "--nice":
            os.nice(int(arguments.pop(0)))
        elif option == "--reach":
            reach = True
        else:
            sys.exit(f"launch.py: unknown option {option}")
    command = arguments[1:]
    if not command:
        sys.exit("launch.py: no program named")
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    # The supervisor blocks or ignores some signals; the program must start with the usual ones.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if account:
        become(account, reach=reach)
    c = libc()
    if c:
        # A change of user clears this, so it comes after; then the parent may be gone already.
        c.prctl(PR_SET_PDEATHSIG, getattr(signal, f"SIG{death}"), 0, 0, 0)
        if parent and os.getppid() != parent:
            sys.exit("launch.py: the parent is gone")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"launch.py: {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
