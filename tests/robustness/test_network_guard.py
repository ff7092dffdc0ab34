"""No test reaches another machine or writes outside the project: shown in this process, a child, and a notebook."""

import json
import os
import socket
import subprocess
import sys

import nbformat
import pytest

from tests.support.guard.outside import OutsideRefused

ELSEWHERE = "198.51.100.7"  # set aside for documentation (RFC 5737): nobody answers there

REACH_OUT = f"""
import json, socket, urllib.request

def tried(what):
    try:
        what()
    except OSError as error:
        return str(error)
    return "let through"

def by(kind, address):
    with socket.socket(socket.AF_INET, kind) as s:
        s.settimeout(1)
        s.connect(address) if kind == socket.SOCK_STREAM else s.sendto(b"?", address)

print(json.dumps([
    tried(lambda: by(socket.SOCK_STREAM, ("{ELSEWHERE}", 443))),
    tried(lambda: by(socket.SOCK_DGRAM, ("{ELSEWHERE}", 53))),
    tried(lambda: socket.getaddrinfo("example.org", 443)),
    tried(lambda: socket.gethostbyname("example.org")),
    tried(lambda: urllib.request.urlopen("http://example.org", timeout=1)),
]))
"""
GRANDCHILD = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {REACH_OUT!r}], check=True)"
WRITE_OUT = """
import os, shutil, outside
from pathlib import Path

outside.allowed_roots = lambda: ["HERE"]  # the temporary folder itself would be let through
there = Path("THERE")
for number, change in enumerate((
    lambda: (there / "new").write_text("x"),
    lambda: open(there / "old", "a"),
    lambda: (there / "folder").mkdir(),
    lambda: os.rename(there / "old", there / "older"),
    lambda: os.remove(there / "old"),
    lambda: os.symlink("x", there / "link"),
    lambda: os.chmod(there / "old", 0o600),
    lambda: os.utime(there / "old", (1, 1)),
    lambda: shutil.move(there / "old", "HERE/old"),
    lambda: shutil.rmtree(there),
)):
    try:
        change()
        raise SystemExit(f"change {number} was let through")
    except OSError as error:
        assert "outside the folders that tests may write to" in str(error), error
(Path("HERE") / "new").write_text("x")
print((there / "old").read_text())
"""


def run_child(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_cell(code: str) -> str:
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute(env=os.environ)
    return notebook.cells[0].outputs[0].text


@pytest.mark.parametrize(
    "said", [lambda: run_child(GRANDCHILD), lambda: run_cell(REACH_OUT)], ids=["child", "notebook"]
)
def test_another_machine_is_refused_by_name(said):
    names, found = [ELSEWHERE, ELSEWHERE, *["example.org"] * 3], json.loads(said())
    assert all(name in text and "tests use no network" in text for name, text in zip(names, found, strict=True)), found
    with pytest.raises(OutsideRefused, match=rf"{ELSEWHERE} port 443 was refused"), socket.socket() as one:
        one.connect((ELSEWHERE, 443))  # in this process


def test_a_proxy_on_this_machine_is_no_way_out():
    code = "import urllib.request; print(urllib.request.getproxies_environment())"
    assert run_child(code, HTTPS_PROXY="http://127.0.0.1:3128", http_proxy="http://127.0.0.1:3128").strip() == "{}"


def test_writes_outside_the_project_are_refused_where_they_are_watched(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    (there / "old").write_text("as it was")
    before = (there / "old").stat()
    code = WRITE_OUT.replace("THERE", str(there)).replace("HERE", str(here))
    assert "as it was" in run_child(code, LORAKIT_TEST_WRITES=str(here))
    now = (there / "old").stat()
    assert [path.name for path in there.iterdir()] == ["old"] and (here / "new").exists()
    assert (now.st_mode, now.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
