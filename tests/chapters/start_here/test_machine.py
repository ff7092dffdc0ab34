"""The machine check tells what is within reach, asks no network, and never fails for what is missing."""

import socket
from pathlib import Path

import pytest

from lorakit.chapters.start_here.machine import look_for, machine_check


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in ("LORAKIT_MODEL", "LORAKIT_MODELS", "LORAKIT_BUDGET"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*_, **__):
        raise AssertionError("the machine check must not open connections")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def found(name):
    return machine_check().loc[name, "found"]


def test_names_device_cores_versions_and_every_base():
    bases = ["base nano", "base smollm2", "base gpt2"]
    assert list(machine_check().index) == ["device", "versions", "budget", *bases]
    assert "cores" in found("device") and "torch" in found("versions") and "transformers" in found("versions")
    assert found("base nano").startswith("✓") and found("base nano").endswith("← LORAKIT_MODEL")


def test_a_model_that_is_here_is_found_by_name_and_by_folder(monkeypatch, tmp_path):
    (tmp_path / "models" / "gpt2").mkdir(parents=True)
    (tmp_path / "models" / "gpt2" / "config.json").write_text("{}")
    monkeypatch.setenv("LORAKIT_MODELS", str(tmp_path / "models"))
    assert look_for("gpt2") == "✓ in the folder models/gpt2"
    monkeypatch.setenv("LORAKIT_MODEL", str(tmp_path / "models" / "gpt2"))
    assert found("base gpt2").startswith("✓")


@pytest.mark.parametrize("name", ["no/such-model", "./no/such/folder"])
def test_a_model_that_is_not_here_says_what_to_do(name, monkeypatch):
    monkeypatch.setenv("LORAKIT_MODEL", name)
    assert found(f"base {Path(name).name}").startswith("– n")
