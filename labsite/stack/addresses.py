"""Where the laboratory listens, and under which addresses others find it."""

import errno
import ipaddress
import socket
from pathlib import Path

from labsite.stack.home import HomeError

BACKLOG = 256


def bind(host: str, port: int, option: str) -> socket.socket:
    """A socket bound to host and port (0: any free one), not listening yet.

    Raises HomeError that names the command-line `option` to change.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise HomeError(f"--host {host} is no address that this machine knows.") from None
    except OverflowError:
        raise HomeError(f"{option} {port} is no port; ports go from 0 to 65535.") from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        # A socket that is bound but does not listen takes the port from nobody who asks the same way.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise HomeError(_refusal(host, port, option, error)) from error
    return listener


def _refusal(host: str, port: int, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        return f"Port {port} is taken{' by ' + holder if holder else ''}; choose another with {option}."
    if error.errno == errno.EACCES:
        return f"Port {port} needs root; choose one from 1024 up with {option}."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host} is not an address of this machine."
    return f"Port {port} on {host} cannot be used: {error.strerror}."


def _holder(port: int) -> str:
    """Name and number of the process that listens on a TCP port, where the kernel tells this user."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            words = row.split()
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{words[9]}]")
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            # It ended, or is another user's.
            continue
    return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def lan_address(host: str) -> str:
    """The address under which others in the network reach a server bound to `host`, empty where there is none."""
    if is_loopback(host):
        return ""
    if host not in ("0.0.0.0", "::", ""):
        return host
    # Connecting a datagram socket sends nothing; it makes the kernel choose the address it would send from.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = str(probe.getsockname()[0])
        except OSError:
            return ""
    return "" if is_loopback(address) else address


def local_host(host: str) -> str:
    """The address for clients on this machine of a server bound to `host`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def allowed_hosts(host: str) -> list[str]:
    """Every name under which a browser may ask for this server."""
    names = ["localhost", "127.0.0.1", "[::1]", local_host(host)]
    if not is_loopback(host):
        own = socket.gethostname()
        names += [lan_address(host), own, f"{own}.local", socket.getfqdn()]
        names += _own_addresses()
    return list(dict.fromkeys(name for name in names if name))


def _own_addresses() -> list[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return []
    return [f"[{entry[4][0]}]" if entry[0] == socket.AF_INET6 else str(entry[4][0]) for entry in found]
