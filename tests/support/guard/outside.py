"""What a test must not touch: another machine, and files outside the project.

`guard()` installs one audit hook. From then on this process refuses, with an error that names the host or the path,

- to connect to, send to or look up any host but this machine's own (loopback, its own name, Unix sockets);
- where LORAKIT_TEST_WRITES lists folders: to write, make, rename, remove or re-date files, or to change their mode or
  owner, outside these, the temporary folder and the places where Jupyter, IPython and matplotlib keep their own.

Proxy settings are dropped: a proxy on this machine would be a way out. `sitecustomize.py` beside this file guards the
children too. Python's audit events see what goes through Python's own modules, which is all that lorakit, transformers
and the Hub's client use; a library that opens sockets in C (zmq, gloo, Ray's core) is not seen, nor is one that writes
files in C or Rust (torch.save, safetensors): for these the tests look at what a chapter leaves in the home folder.
"""

import errno
import os
import sys

WRITES = "LORAKIT_TEST_WRITES"
CONNECTS = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
# Event -> which of its arguments are paths, and which is the folder's descriptor that a relative path starts from.
CHANGES = {
    "open": ((0,), None),
    "os.mkdir": ((0,), 2),
    "os.remove": ((0,), 1),
    "os.rmdir": ((0,), 1),
    "os.rename": ((0, 1), None),
    "os.link": ((1,), None),
    "os.symlink": ((1,), 2),
    "os.truncate": ((0,), None),
    "os.chmod": ((0,), 2),
    "os.chown": ((0,), 3),
    "os.utime": ((0,), 3),
    "shutil.rmtree": ((0,), 1),  # it goes on by descriptors, which only /proc can name
    "sqlite3.connect": ((0,), None),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_installed = False
_names: set[str] | None = None


class OutsideRefused(OSError):
    """A test, or something it started, reached for another machine or wrote outside the project."""


def guard() -> None:
    """Install the hook in this process, once; it cannot be taken out again."""
    global _installed
    for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    if not _installed:
        _installed = True
        sys.addaudithook(_watch)


def _watch(event: str, args: tuple) -> None:
    if event in CHANGES:
        if WRITES in os.environ:
            _check_write(event, args)
    elif event in CONNECTS:
        _check_address(args[0], args[1])
    elif event in LOOKUPS:
        _check_host(args[0], "the look-up of")


def _check_address(sock, address) -> None:
    import socket

    if sock.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
        _check_host(address[0], "a connection to", f" port {address[1]}")


def _check_host(host, what: str, detail: str = "") -> None:
    host = host.decode(errors="replace") if isinstance(host, bytes | bytearray) else host
    if not host or _is_own(str(host)):
        return
    # As on a machine without a network, so that whoever copes with that copes with this.
    raise OutsideRefused(errno.ENETUNREACH, f"{what} {host}{detail} was refused: tests use no network")


def _is_own(host: str) -> bool:
    import ipaddress

    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return host.lower().rstrip(".") in _own_names()
    return address.is_loopback or address.is_unspecified or str(address) in _own_names()


def _own_names() -> set[str]:
    """This machine's names and addresses: processes that are started side by side find each other by these."""
    global _names
    if _names is None:
        import socket

        own = socket.gethostname()
        _names = {"localhost", "localhost.localdomain", "ip6-localhost", own.lower()}
        try:
            name, others, addresses = socket.gethostbyname_ex(own)
            _names |= {found.lower() for found in (name, *others, *addresses)}
        except OSError:
            pass  # the machine does not know its own name
    return _names


def _check_write(event: str, args: tuple) -> None:
    if event == "open" and not (len(args) > 2 and isinstance(args[2], int) and args[2] & WRITING):
        return
    which, start = CHANGES[event]
    for number in which:
        path = args[number]
        if isinstance(path, int) or path is None:
            continue
        folder = args[start] if start is not None and len(args) > start else -1
        place = _resolved(os.fsdecode(path), folder)
        if place and not _allowed(place):
            reason = f"{event} was refused: it is outside the folders that tests may write to, see {WRITES}"
            raise OutsideRefused(errno.EACCES, reason, place)


def _resolved(path: str, folder: int) -> str | None:
    if path in ("", ":memory:") or path.startswith("file:") or path.endswith(".pyc") or "__pycache__" in path:
        return None  # Python's own bytecode, beside whichever module is imported
    if not os.path.isabs(path) and isinstance(folder, int) and folder >= 0:
        try:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        except OSError:
            return None  # no /proc: a path relative to a descriptor cannot be told
    return os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))


def _allowed(place: str) -> bool:
    return any(place == root or place.startswith(root.rstrip(os.sep) + os.sep) for root in allowed_roots())


def allowed_roots() -> list[str]:
    """Where writes are let through: the listed folders, temporary ones, devices, and the tools' own places."""
    home = os.path.expanduser("~")
    own = [
        os.environ.get("IPYTHONDIR") or f"{home}/.ipython",
        os.environ.get("JUPYTER_CONFIG_DIR") or f"{home}/.jupyter",
        os.environ.get("JUPYTER_DATA_DIR") or f"{home}/.local/share/jupyter",
        os.environ.get("JUPYTER_RUNTIME_DIR") or f"{home}/.local/share/jupyter/runtime",
        os.environ.get("MPLCONFIGDIR") or f"{home}/.config/matplotlib",
        f"{os.environ.get('XDG_CACHE_HOME') or f'{home}/.cache'}/matplotlib",
        f"{home}/Library/Jupyter",
        f"{home}/.matplotlib",
    ]
    temporary = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    listed = os.environ.get(WRITES, "").split(os.pathsep)
    devices = ["/dev", "/proc/self"]
    return [os.path.realpath(root) for root in (*listed, *temporary, "/tmp", "/var/tmp", *own) if root] + devices
