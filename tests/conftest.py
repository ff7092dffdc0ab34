"""Shared fixtures: no network, a tiny GPT-2 with its own byte-level tokenizer, the optional real data."""

import os

# Before transformers is imported anywhere: tests must pass on a machine without a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest

from tests.support.guard.outside import guard

# This process is refused every host but its own, and so is whatever it starts: Python runs the sitecustomize.py that it
# finds on PYTHONPATH before anything else, and a child inherits nothing but its environment.
GUARD = str(Path(__file__).parent / "support" / "guard")
if GUARD not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [GUARD, os.environ.get("PYTHONPATH")]))
guard()


def pytest_configure(config):
    """LORAKIT_TEST_DEVICE=cuda: what tests make without naming a device is made there, from their import on."""
    if device := os.environ.get("LORAKIT_TEST_DEVICE"):
        from tests.support.device import OnDevice

        mode = OnDevice(device)
        mode.__enter__()
        config.add_cleanup(lambda: mode.__exit__(None, None, None))


@pytest.fixture(autouse=True)
def own_workbook(tmp_path, monkeypatch):
    """What a test measures or answers is not the reader's: it goes into a folder of the test's own."""
    monkeypatch.setenv("LORAKIT_WORKBOOK", str(tmp_path / "workbook"))


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """The tokenizer behind tests.support.tiny_models.make_tiny_model: 256 bytes, and an end of text that also pads."""
    from tests.support.tiny_models import byte_tokenizer

    return byte_tokenizer()


@pytest.fixture
def tiny_model(make_tiny):
    """A fresh, seeded GPT-2 of 2 layers and width 32 in eval mode, with dropout, context 128."""
    return make_tiny()


@pytest.fixture(scope="session")
def make_tiny():
    """The function behind `tiny_model`, for tests that need several."""
    from tests.support.tiny_models import make_tiny_model

    return make_tiny_model


@pytest.fixture(scope="session")
def real_data():
    """The folder LORAKIT_DATA; tests that need it are skipped where it is not set."""
    folder = os.environ.get("LORAKIT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LORAKIT_DATA is not set to the folder of real data sets")
    return Path(folder)
