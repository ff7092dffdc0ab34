"""`make lab` opens JupyterLab to this machine alone, and to nobody without its token."""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90  # seconds for the server to come up on a slow machine


def lab_command(options: str) -> str:
    """The very line that `make lab` runs."""
    command = ["make", "--dry-run", "lab", f"LAB={options}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
    (line,) = [line for line in said.replace("\\\n", "").splitlines() if "jupyter lab" in line]
    return line


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The process, its address and its token, as the server itself wrote them down."""
    folder = tmp_path_factory.mktemp("lab")
    own = {name: str(folder / name) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "work")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")} | own
    command = f"exec {lab_command('--no-browser --allow-root')}"
    with (folder / "log").open("w") as out:
        process = psutil.Popen(command, shell=True, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + PATIENCE
        while "is running at" not in (log := (folder / "log").read_text()):
            assert process.poll() is None and time.monotonic() < end, log[-3000:]
            time.sleep(0.2)
        (known,) = map(json.loads, (file.read_text() for file in folder.rglob("jpserver-*.json")))
        yield process, known["url"].rstrip("/"), known["token"]
    finally:
        process.terminate()
        try:
            process.wait(20)
        except psutil.TimeoutExpired:
            process.kill()


class Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer here, not something to follow."""

    def redirect_request(self, *_):
        return None


def ask(address: str, **headers: str) -> tuple[int, dict]:
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.build_opener(Stay).open(request, timeout=30) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def test_it_listens_on_this_machine_only(server):
    process, address, _ = server
    connections = []
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a child that has ended meanwhile
            connections += each.net_connections()
    assert {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    assert address.startswith("http://127.0.0.1:")


def test_without_its_token_nobody_gets_in_and_with_it_lab_opens(server):
    _, address, token = server
    assert len(token) >= 32
    for path in ("/lab", "/api/contents", "/api/kernels", "/api/terminals", "/files/README.md"):
        for query in ("", "?token=", "?token=guess"):
            assert ask(f"{address}{path}{query}")[0] in (302, 403), path
    status, headers = ask(f"{address}/lab?token={token}")
    assert status == 200
    assert ask(f"{address}/files/docs/badges/colab.svg?token={token}")[0] == 200  # the whole project is served
    assert "notebooks/00_start_here.ipynb" in ask(f"{address}/?token={token}")[1]["Location"]
    # Another site in the same browser has the cookie only, and is not told that it may read the answer.
    cookie = headers["Set-Cookie"].split(";")[0]
    assert ask(f"{address}/api/contents", Cookie=cookie)[0] == 200
    _, answer = ask(f"{address}/api/contents", Origin="http://elsewhere.example", Cookie=cookie)
    assert not [name for name in answer if name.lower().startswith("access-control-allow")]
