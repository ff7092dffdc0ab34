"""An installed lorakit serves notebooks anywhere: a wheel brings its data, a checkout is found by its path file."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the wheel is built without a network: needs hatchling, of the extra `test`")
ROOT = Path(__file__).parents[2]
# Python's own start-up (-S leaves it out, -E what PYTHONPATH says), with one folder of installed packages instead of
# this environment's own path files: those would find the checkout.
START = """
import site, sys
site.addsitedir(sys.argv[1])
sys.path.append(sys.argv[2])
"""
USE = """
from lorakit.lab import load_base, records, text_to_sql
from lorakit.lab.places import ADAPTERS
import lorakit

assert load_base("nano", device="cpu")[0].num_parameters() > 4e6
assert len(records.load("rank_text_to_sql")) > 20
assert len(text_to_sql().test) == 500
assert (ADAPTERS / "sql-r8-seed0" / "adapter_model.safetensors").is_file()
print(lorakit.__file__)
"""


def pip(*arguments) -> None:
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run([*command, "--no-deps", "--no-index", "--no-build-isolation"], cwd=ROOT, check=True, timeout=300)


def python(code: str, packages: Path, folder: Path) -> str:
    """What `code` prints, run in `folder` with the packages there as the only installed ones beside lorakit's needs."""
    command = [sys.executable, "-SE", "-c", START + code, str(packages), sysconfig.get_path("purelib")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_wheel_brings_the_base_the_tasks_the_adapters_and_the_records(tmp_path):
    pip("wheel", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "packages")
    (tmp_path / "elsewhere").mkdir()
    found = python(USE, tmp_path / "packages", tmp_path / "elsewhere")
    assert Path(found) == tmp_path / "packages" / "lorakit" / "__init__.py"


def test_above_a_checkout_named_lorakit_python_finds_the_package(tmp_path):
    """There the checkout itself could be taken for a package without an __init__."""
    (tmp_path / "lorakit").symlink_to(ROOT)
    pip("install", "--target", tmp_path / "packages", "--editable", tmp_path / "lorakit")
    found = python("import lorakit\nprint(lorakit.__file__)", tmp_path / "packages", tmp_path)
    assert Path(found).samefile(ROOT / "lorakit" / "__init__.py")
