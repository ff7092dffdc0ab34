"""`make lab` opens JupyterLab to this machine alone, and to nobody without its token."""

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
    said = subprocess.run(
        ["make", "--dry-run", "lab", f"LAB={options}"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    (line,) = [line for line in said.stdout.splitlines() if "jupyter lab" in line]
    return line


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The process, its address and its token, as the server itself wrote them down."""
    folder = tmp_path_factory.mktemp("lab")
    own = {name: str(folder / name) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "work")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")} | own
    root = "--allow-root" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    command = lab_command(f"--no-browser {root} --ServerApp.root_dir={ROOT}")
    log = folder / "log"
    with log.open("w") as out:
        process = psutil.Popen(
            ["/bin/sh", "-c", f"exec {command}"], cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + PATIENCE
        while True:
            found = list(Path(own["JUPYTER_RUNTIME_DIR"]).glob("jpserver-*.json"))
            if found and "is running at" in log.read_text():
                break
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.2)
        known = json.loads(found[0].read_text())
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
    opener = urllib.request.build_opener(Stay)
    try:
        with opener.open(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def test_it_listens_on_this_machine_only(server):
    process, address, _ = server
    listening = {
        one.laddr
        for each in (process, *process.children(recursive=True))
        for one in each.net_connections()
        if one.status == psutil.CONN_LISTEN
    }
    assert listening and {place.ip for place in listening} == {"127.0.0.1"}
    assert address.startswith("http://127.0.0.1:")


def test_without_its_token_nobody_gets_in(server):
    _, address, token = server
    assert len(token) >= 32
    status, headers = ask(f"{address}/lab")
    assert status == 302 and "/login" in headers["Location"]
    for path in ("/api/contents", "/api/kernels", "/api/terminals", "/files/README.md"):
        for query in ("", "?token=", "?token=guess"):
            assert ask(f"{address}{path}{query}")[0] in (302, 403), path


def test_with_its_token_it_opens(server):
    _, address, token = server
    assert ask(f"{address}/lab?token={token}")[0] == 200
    assert ask(f"{address}/api/contents", Authorization=f"token {token}")[0] == 200


def test_no_other_site_is_told_that_it_may_read_what_a_logged_in_browser_gets(server):
    """Who holds the token may read from anywhere; another site in the same browser has the cookie only."""
    _, address, token = server
    cookies = ask(f"{address}/lab?token={token}")[1]["Set-Cookie"].split(";")[0]
    assert ask(f"{address}/api/contents", Cookie=cookies)[0] == 200
    for headers in ({}, {"Cookie": cookies}):
        _, answer = ask(f"{address}/api/contents", Origin="http://elsewhere.example", **headers)
        assert not [name for name in answer if name.lower().startswith("access-control-allow")]


def test_the_command_switches_no_protection_off():
    line = lab_command("").lower()
    assert "serverapp.ip=127.0.0.1" in line
    for word in ("token", "password", "allow_origin", "allow_remote", "disable_check_xsrf", "0.0.0.0"):
        assert word not in line
