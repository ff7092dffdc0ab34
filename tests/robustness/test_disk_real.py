"""A disk that is really full, and a folder that really belongs to somebody else."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import lorakit as lk
from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab.json_lines import append
from tests.support.processes import environment_of_children
from tests.support.saving import adapted, contents
from tests.support.tiny_models import fill
from tests.support.training_runs import run


@pytest.fixture
def model():
    return adapted()


def test_a_disk_that_is_really_full(tmp_path):
    """A file system of 256 KiB in a namespace of its own: training fills it, and goes on."""
    script = tmp_path / "full.py"
    script.write_text(REALLY_FULL)
    mount = f"mount -t tmpfs -o size=256k none {shlex.quote(str(tmp_path / 'disk'))}"
    (tmp_path / "disk").mkdir()
    in_namespace = ["unshare", "-m", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*in_namespace, mount], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs Linux and root")
    python = f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {shlex.quote(str(tmp_path / 'disk'))}"
    command, environment = f"{mount} && {python}", environment_of_children()
    done = subprocess.run([*in_namespace, command], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "as it was" in done.stdout, done.stdout + done.stderr


REALLY_FULL = """
import sys, warnings
from pathlib import Path
from tests.support.training_runs import fresh, run
import lorakit as lk
from lorakit import lab

disk, whole = Path(sys.argv[1]), run(fresh())
model = fresh()
run(fresh(), checkpoint=disk / "run", steps=2)
lk.save_adapter(model, disk / "adapter")
old = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
with (disk / "filler").open("wb", buffering=0) as filler:
    try:
        while filler.write(b"x" * 1000):
            pass
    except OSError as error:
        print(error)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    try:
        run(model, checkpoint=disk / "run", checkpoint_every=4)
        raise SystemExit("the disk was not full")
    except lab.CheckpointNotSaved as error:
        print(error)
        assert error.history.losses == whole.losses and "No space left" in str(error) and len(said) == 2
try:
    lk.save_adapter(model, disk / "adapter")
    raise SystemExit("the disk was not full")
except lk.LoRAError as error:
    print(error)
    assert "No space left" in str(error)
assert {path: path.read_bytes() for path in disk.rglob("*") if path.is_file() and path.name != "filler"} == old
(disk / "filler").unlink()
lk.save_adapter(model, disk / "adapter")
assert run(fresh(), checkpoint=disk / "run").losses == whole.losses
print("as it was")
"""


@pytest.mark.skipif(not hasattr(os, "fork") or os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_elses_folder_is_refused(model):
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        lk.save_adapter(model, folder / "adapter")
        fill(model, "a", seed=7)
        before = contents(folder)
        child = os.fork()
        if not child:
            os._exit(refused_to_nobody(model, folder))
        assert os.waitpid(child, 0)[1] == 0
        assert contents(folder) == before
    finally:
        shutil.rmtree(folder)


def refused_to_nobody(model, folder) -> int:
    os.setegid(65534)
    os.seteuid(65534)
    refused = 0
    for save in (
        lambda: lk.save_adapter(model, folder / "adapter"),
        lambda: lk.save_adapter(model, folder / "new"),
        lambda: lab.History().to_json(folder / "history.json"),
        lambda: append(folder / "rows.jsonl", {}),
        lambda: run(model, checkpoint=folder / "run"),  # refused before it trains
    ):
        try:
            save()
        except LoRAError as error:
            refused += "Permission denied" in str(error)
    return 5 - refused
