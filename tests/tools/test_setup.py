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
    assert requirement.specifier.contains(pin), f"{requirement} does not allow the tested {pin}"


@pytest.mark.parametrize("name", ["torch", "transformers", "numpy", "safetensors", "peft", "nbval", "jupyterlab"])
def test_what_is_installed_is_what_is_pinned(name):
    assert importlib.metadata.version(name).split("+")[0] == PINS[canonicalize_name(name)]


def test_torch_is_pinned_without_a_local_version_that_only_one_machine_has():
    assert PINS["torch"] == "2.13.0"
    assert "+" not in "".join(PINS.values())


def test_conda_environment_installs_this_project_with_the_same_constraints():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge"]
    specs = [item for item in environment["dependencies"] if isinstance(item, str)]
    python = next(spec.removeprefix("python=") for spec in specs if spec.startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python + ".0")
    assert "pip" in specs
    lines = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert lines == ["-c constraints.txt", "-e .[lab,test,site]"]
    extras = re.search(r"\[(.+)\]", lines[1])[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])


def test_makefile_and_conda_install_the_same_extras():
    makefile = (ROOT / "Makefile").read_text()
    assert "-c constraints.txt -e '.[lab,test,site]'" in makefile


def test_readme_names_only_commands_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.M))
    named = set(re.findall(r"make ([a-z][\w-]*)", (ROOT / "README.md").read_text()))
    assert named, "the README names no command"
    assert named <= targets


def test_import_costs_little_more_than_torch():
    """No heavy optional library comes in with `import lorakit`."""
    import subprocess
    import sys

    heavy = ("transformers", "accelerate", "matplotlib", "ipywidgets", "peft", "datasets", "gguf", "sacrebleu")
    code = f"import sys, lorakit; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_make_audit_is_strict_and_runs_apart_from_the_environment_that_it_audits():
    """Shown by `make -n`, which runs nothing: the audit itself needs a network."""
    import shutil
    import subprocess

    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    done = subprocess.run(["make", "-n", "audit"], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    commands = done.stdout.replace("\\\n", " ")
    (audit,) = re.findall(r"^(\S+/pip-audit) (.*)$", commands, re.MULTILINE)
    program, options = Path(audit[0]), audit[1]
    assert {"--strict", "--no-deps", "--disable-pip"} <= set(options.split()) and "-r constraints.txt" in options
    assert "exit 1" in options.partition("||")[2]  # what it finds, or cannot find out, is a failure of `make audit`
    own = program.parents[1]
    assert own != Path(".venv") and f"-m venv {own} " in commands
    assert re.search(rf"{re.escape(str(own))}/bin/python -m pip install .*\bpip-audit\b", commands)
    assert not re.search(r"\.venv/bin/python -m pip install .*\bpip-audit\b", commands)
    assert "pip-audit" not in PINS and "pip-audit" not in " ".join(sum(EXTRAS.values(), []))
