"""The bundle's scripts ask no network. The wheels are not fetched here."""

import subprocess

import offline_bundle
import pytest


@pytest.fixture
def folder(tmp_path):
    offline_bundle.scripts(tmp_path)
    return tmp_path


def test_the_scripts_install_from_the_wheels_alone(folder):
    for name in ("install.sh", "install.bat"):
        installs = [line for line in (folder / name).read_text().splitlines() if "pip install" in line]
        assert installs and all("--no-index --find-links wheels" in line for line in installs)
    assert subprocess.run(["sh", "-n", str(folder / "install.sh")]).returncode == 0
    assert b"\r\n" in (folder / "install.bat").read_bytes()


def test_another_python_is_refused_with_the_one_that_is_needed(folder):
    environment = {"PATH": str(folder)}  # where there is none
    done = subprocess.run(["/bin/sh", "install.sh"], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and offline_bundle.VERSION in done.stderr
    assert not (folder / ".venv").exists()
