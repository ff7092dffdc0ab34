"""`pytest --nbval`, typed anywhere in the project without other options, checks notebooks as `make test` does.

On the fast budget, with this Python, without a network, and with a workbook of its own: what a reader has answered
and measured in theirs changes no saved output. Without a path, typed in the project's root, it takes `notebooks/`.
"""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if not getattr(config.option, "nbval", False):
        return
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.args = [str(ROOT / "notebooks")]
    config.option.nbval_current_env = not config.option.nbval_kernel_name
    support = ROOT / "tests" / "support"
    config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(support / "nbval_sanitize.cfg")
    if "PYTEST_XDIST_WORKER" in os.environ:  # set up by the one that started it
        return
    workbook = tempfile.TemporaryDirectory(prefix="lorakit_nbval_", ignore_cleanup_errors=True)
    config.add_cleanup(workbook.cleanup)
    paths = [str(support / "guard"), str(ROOT), os.environ.get("PYTHONPATH")]
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "LORAKIT_TEST_WRITES": str(ROOT)}
    os.environ |= {"LORAKIT_WORKBOOK": workbook.name, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    os.environ.setdefault("LORAKIT_BUDGET", "fast")
    os.environ.pop("LORAKIT_STUDENT", None)
