"""No test reaches another machine or writes outside the project: shown in this process, a child, and a notebook."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from outside import OutsideRefused, allowed_roots

from tests.support.processes import run_command

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = "198.51.100.7"  # set aside for documentation (RFC 5737): nobody answers there

REACH_OUT = f"""
import socket, urllib.request

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

found = [
    tried(lambda: by(socket.SOCK_STREAM, ("{ELSEWHERE}", 443))),
    tried(lambda: by(socket.SOCK_DGRAM, ("{ELSEWHERE}", 53))),
    tried(lambda: socket.getaddrinfo("example.org", 443)),
    tried(lambda: socket.gethostbyname("example.org")),
    tried(lambda: urllib.request.urlopen("http://example.org", timeout=1)),
]
"""

WRITE_OUT = """
import os, shutil
from pathlib import Path

def refused(what):
    try:
        what()
    except OSError as error:
        return "outside the folders" in str(error)
    return False

there = Path("PLACE")
refusals = [
    refused(lambda: (there / "new").write_text("x")),
    refused(lambda: os.open(there / "new", os.O_CREAT | os.O_WRONLY)),
    refused(lambda: (there / "folder").mkdir()),
    refused(lambda: os.rename(there / "old", there / "older")),
    refused(lambda: os.remove(there / "old")),
    refused(lambda: open(there / "old", "a")),
    refused(lambda: os.symlink("x", there / "link")),
    refused(lambda: os.chmod(there / "old", 0o600)),
    refused(lambda: os.chmod("old", 0o600, dir_fd=os.open(there, os.O_RDONLY))),
    refused(lambda: os.chown(there / "old", os.getuid(), os.getgid())),
    refused(lambda: os.utime(there / "old", (1, 1))),
    refused(lambda: shutil.copystat(__import__("outside").__file__, there / "old")),
    refused(lambda: shutil.move(there / "old", Path("HERE") / "old")),
    refused(lambda: shutil.rmtree(there)),
]
os.readlink = lambda *_, **__: (_ for _ in ()).throw(OSError("no /proc on this machine"))
refusals.append(refused(lambda: shutil.rmtree(there)))
read = (there / "old").read_text()
"""


def all_refused(said: list[str]) -> bool:
    names = [ELSEWHERE, ELSEWHERE, "example.org", "example.org", "example.org"]
    return all(name in text and "tests use no network" in text for name, text in zip(names, said, strict=True))


def test_another_machine_is_refused_in_this_process():
    found = {}
    exec(REACH_OUT, found)
    assert all_refused(found["found"]), found["found"]


def test_the_refusal_names_the_host_and_is_an_os_error_as_without_a_network():
    with pytest.raises(OutsideRefused, match=rf"{ELSEWHERE} port 443 was refused"), socket.socket() as one:
        one.connect((ELSEWHERE, 443))
    with pytest.raises(OSError, match=r"look-up of example\.org was refused"):
        socket.getaddrinfo("example.org", 80)


def test_another_machine_is_refused_in_a_child_and_in_its_child():
    code = f"{REACH_OUT}\nimport json\nprint(json.dumps(found))"
    grandchild = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}], check=True)"
    for program in (code, grandchild):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert all_refused(json.loads(done.stdout)), done.stdout


def test_another_machine_is_refused_in_what_the_tests_of_several_processes_start():
    said = json.loads(run_command(["-c", f"{REACH_OUT}\nimport json\nprint(json.dumps(found))"]))
    assert all_refused(said), said


def run_cell(code: str, **environment: str) -> str:
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute(env=os.environ | environment)
    return notebook.cells[0].outputs[0].text


def test_another_machine_is_refused_in_a_notebooks_kernel():
    said = json.loads(run_cell(f"{REACH_OUT}\nimport json\nprint(json.dumps(found))"))
    assert all_refused(said), said


def test_a_proxy_on_this_machine_is_no_way_out(monkeypatch):
    environment = os.environ | {"HTTPS_PROXY": "http://127.0.0.1:3128", "http_proxy": "http://127.0.0.1:3128"}
    code = "import urllib.request; print(urllib.request.getproxies_environment())"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "{}", done


def test_this_machine_itself_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        socket.create_connection(("localhost", port), timeout=5).close()
    assert socket.getaddrinfo("localhost", 80)
    try:
        addresses = socket.gethostbyname_ex(socket.gethostname())[2]
    except socket.gaierror:
        pytest.skip("this machine does not know its own name")
    assert addresses


def test_writes_outside_the_project_are_refused_where_they_are_watched(tmp_path):
    """In a child whose temporary folder is one of the test's own, so that a second one counts as outside."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    (there / "old").write_text("as it was")
    as_it_was = (there / "old").stat()
    code = WRITE_OUT.replace("PLACE", str(there)).replace("HERE", str(here)) + "\nprint(refusals, read)"
    code = f"import outside\noutside.allowed_roots = lambda: [{str(here)!r}]\n{code}"
    code += f"\nopen({str(here / 'new')!r}, 'w').close()"
    environment = os.environ | {"LORAKIT_TEST_WRITES": str(here)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    said = done.stdout.split("]")[0]
    assert said.count("True") == 15 and "False" not in said and "as it was" in done.stdout, done.stdout + done.stderr
    assert (here / "new").exists() and [path.name for path in there.iterdir()] == ["old"]
    now = (there / "old").stat()
    assert (now.st_mode, now.st_mtime_ns, now.st_ctime_ns) == (
        as_it_was.st_mode,
        as_it_was.st_mtime_ns,
        as_it_was.st_ctime_ns,
    )


def test_a_notebook_that_writes_into_the_home_folder_is_refused(tmp_path):
    home = Path.home() / ".lorakit_guard_test"
    code = f"try:\n    open({str(home)!r}, 'w')\nexcept OSError as error:\n    print(error)"
    said = run_cell(code, LORAKIT_TEST_WRITES=str(ROOT))
    assert "outside the folders that tests may write to" in said and not home.exists()


def left_at_home(notebook: nbformat.NotebookNode, folder: Path, home: Path) -> list[str]:
    """The files in a home folder that was empty before the notebook ran, but for those in the tools' own places."""
    from nbclient import NotebookClient

    home.mkdir()
    places = ("HF_", "TORCH", "XDG_", "JUPYTER_", "IPYTHON", "MPLCONFIG", "TRANSFORMERS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(places)} | {
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "LORAKIT_BUDGET": "fast",
        "LORAKIT_WORKBOOK": str(folder / "workbook"),
        "LORAKIT_TEST_WRITES": str(ROOT),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, kernel_name="python3", timeout=300, resources=resources).execute(env=environment)
    own = (".ipython", ".jupyter", ".local/share/jupyter", ".config/matplotlib", ".cache/matplotlib", ".matplotlib")
    files = (path.relative_to(home).as_posix() for path in home.rglob("*") if not path.is_dir())
    return sorted(file for file in files if not file.startswith((*own, "Library/Jupyter")))


def test_a_chapter_that_saves_adapters_leaves_nothing_in_the_home_folder(tmp_path):
    """Nor through torch or safetensors, whose writing no audit event tells: that is seen by what lies there after."""
    from cell_order import own_place

    save = """
from pathlib import Path
import torch
from safetensors.torch import save_file
torch.save(torch.ones(1), Path.home() / "seen.pt")
save_file({"one": torch.ones(1)}, Path.home() / "seen.safetensors")
"""
    saving = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(save)])
    assert left_at_home(saving, tmp_path, tmp_path / "seen") == ["seen.pt", "seen.safetensors"]
    chapter = nbformat.read(ROOT / "notebooks" / "04_inside_gpt2.ipynb", as_version=4)
    with own_place() as place:
        assert left_at_home(chapter, place / "notebooks", tmp_path / "home") == []


def test_without_the_variable_writes_are_not_watched_and_no_root_is_the_whole_disk(tmp_path):
    (tmp_path / "free").write_text("x")
    roots = [Path(root) for root in allowed_roots()]
    assert all(len(root.parts) > 1 and root != Path.home() for root in roots)
