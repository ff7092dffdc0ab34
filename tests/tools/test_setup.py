"""The files that make the environment agree with each other and with what is installed."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
}
EXTRAS = PROJECT["optional-dependencies"]
INSTALLED_BY_TEST = [*PROJECT["dependencies"], *EXTRAS["lab"], *EXTRAS["test"], *EXTRAS["site"]]


@pytest.mark.parametrize("requirement", INSTALLED_BY_TEST)
def test_every_requirement_is_pinned_within_its_range(requirement):
    requirement = Requirement(requirement)
    pin = PINS.get(canonicalize_name(requirement.name))
    assert pin, f"{requirement.name} has no line in constraints.txt"
    assert "+" not in pin, "a local version is on one machine only"
    assert requirement.specifier.contains(pin), f"{requirement} does not allow the tested {pin}"


@pytest.mark.parametrize("name", ["torch", "transformers", "numpy", "safetensors", "peft", "nbval", "jupyterlab"])
def test_what_is_installed_is_what_is_pinned(name):
    assert importlib.metadata.version(name).split("+")[0] == PINS[canonicalize_name(name)]


def test_conda_and_the_makefile_install_this_project_with_the_same_constraints_and_extras():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    (python,) = [
        each.removeprefix("python=") for each in environment["dependencies"] if str(each).startswith("python=")
    ]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python + ".0")
    assert environment["dependencies"][-1]["pip"] == ["-c constraints.txt", "-e .[lab,test,site]"]
    assert "-c constraints.txt -e '.[lab,test,site]'" in MAKEFILE and {"lab", "test", "site"} <= set(EXTRAS)


def test_binder_takes_the_tested_torch_without_cuda():
    lines = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    assert {f"torch=={PINS['torch']}+cpu", "-c ../constraints.txt", "-e .[lab]"} <= set(lines)
    version = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(version + ".0")


def test_readme_and_docs_name_only_commands_that_exist():
    pages = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    named = set(re.findall(r"`?make ([a-z][\w-]*)`", pages))
    assert len(named) > 5 and named <= set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.M))
    modules = set(re.findall(r"python -m ((?:lorakit|data|benchmarks)[\w.]*)", pages))
    files = set(re.findall(r"python ((?:tools|benchmarks)/\w+\.py)", pages))
    assert modules and not [name for name in modules if not list(ROOT.glob(name.replace(".", "/") + "*"))]
    assert files and not [name for name in files if not (ROOT / name).is_file()]


def test_make_lab_opens_to_this_machine_alone_and_leaves_jupyters_token_on():
    (command,) = re.findall(r"jupyter lab ((?:.*\\\n)?.*)", MAKEFILE)
    assert "--ServerApp.ip=127.0.0.1" in command and "--ServerApp.root_dir=." in command
    assert not re.search(r"token|password|allow_origin|disable_check_xsrf|0\.0\.0\.0", command)
