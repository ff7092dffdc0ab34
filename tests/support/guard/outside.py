"""What a test must not touch: another machine, and files outside the project.

`guard()` installs one audit hook. From then on this process refuses, with an error that names the host or the path,

- to connect to, send to or look up any host but this machine's own (loopback, its own name, Unix sockets);
- where LORAKIT_TEST_WRITES lists folders: to write, make, rename, remove or re-date files outside these, the temporary
  folder and the places where Jupyter, IPython and matplotlib keep their own.

Proxy settings are dropped: a proxy on this machine would be a way out. `sitecustomize.py` beside this file guards the
children too. Python's audit events see what goes through Python's own modules, which is all that lorakit, transformers
and the Hub's client use; a library that opens sockets in C (zmq, gloo, Ray's core) is not seen, nor is one that writes
files in C or Rust (torch.save, safetensors).
"""

import errno
import functools
import ipaddress
import os
import socket
import sys

WRITES = "LORAKIT_TEST_WRITES"
CONNECTS = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
# Event -> which of its arguments are paths.
CHANGES = {"os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,)}
CHANGES |= dict.fromkeys(("open", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.chown", "os.utime"), (0,))
CHANGES |= dict.fromkeys(("shutil.rmtree", "sqlite3.connect"), (0,))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Under the home folder, where no variable says otherwise.
TOOLS = [".ipython", ".jupyter", ".local/share/jupyter", "Library/Jupyter", ".matplotlib", ".config/matplotlib"]
TOOLS += [".cache/matplotlib"]
VARIABLES = ["IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"]
VARIABLES += ["TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME"]


class OutsideRefused(OSError):
    """A test, or something it started, reached for another machine or wrote outside the project."""


@functools.cache
def guard() -> None:
    """Install the hook in this process, once; it cannot be taken out again."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    sys.addaudithook(_watch)


def _watch(event: str, args: tuple) -> None:
    if event in CHANGES and WRITES in os.environ:
        _check_write(event, args)
    elif event in CONNECTS and args[0].family in (socket.AF_INET, socket.AF_INET6) and isinstance(args[1], tuple):
        _check_host(args[1][0], f"a connection to {args[1][0]} port {args[1][1]}")
    elif event in LOOKUPS:
        host = args[0].decode(errors="replace") if isinstance(args[0], bytes | bytearray) else args[0]
        _check_host(host, f"the look-up of {host}")


def _check_host(host: str | None, what: str) -> None:
    if host and not _is_own(host):
        # As on a machine without a network, so that whoever copes with that copes with this.
        raise OutsideRefused(errno.ENETUNREACH, f"{what} was refused: tests use no network")


def _is_own(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return host.lower().rstrip(".") in _own_names()
    return address.is_loopback or address.is_unspecified or str(address) in _own_names()


def _own_names() -> set[str]:
    """This machine's names and addresses: processes that are started side by side find each other by these."""
    global _names
    if not _names:
        _names = {"localhost", "localhost.localdomain", "ip6-localhost", socket.gethostname().lower()}
        try:
            name, others, addresses = socket.gethostbyname_ex(socket.gethostname())
            _names |= {found.lower() for found in (name, *others, *addresses)}
        except OSError:
            pass  # the machine does not know its own name
    return _names


_names: set[str] = set()


def _check_write(event: str, args: tuple) -> None:
    if event == "open" and not (isinstance(args[2], int) and args[2] & WRITING):
        return
    for path in (args[number] for number in CHANGES[event]):
        if not isinstance(path, str | bytes | os.PathLike):
            continue  # a descriptor: what opened it was checked
        place = os.fsdecode(path)
        if not os.path.isabs(place) and event.startswith("os.") and args[-1] != -1:
            continue  # relative to a descriptor, as shutil.rmtree goes on: its start was checked
        if place in ("", ":memory:") or place.startswith("file:") or place.endswith(".pyc") or "__pycache__" in place:
            continue  # Python's own bytecode, beside whichever module is imported
        place = os.path.join(os.path.realpath(os.path.dirname(place) or "."), os.path.basename(place))
        if not any(place == root or place.startswith(root.rstrip(os.sep) + os.sep) for root in allowed_roots()):
            reason = f"{event} was refused: it is outside the folders that tests may write to, see {WRITES}"
            raise OutsideRefused(errno.EACCES, reason, place)


def allowed_roots() -> list[str]:
    """Where writes are let through: the listed folders, temporary ones, devices, and the tools' own places."""
    home, listed = os.path.expanduser("~"), os.environ.get(WRITES, "").split(os.pathsep)
    own = [*(os.path.join(home, tool) for tool in TOOLS), *(os.environ.get(name) for name in VARIABLES)]
    return [os.path.realpath(root) for root in (*listed, *own, "/tmp", "/var/tmp") if root] + ["/dev", "/proc/self"]
