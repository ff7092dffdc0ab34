"""The core's tests and the conformance tests on the device: is it right there? Then how fast."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu.cells import Budget
from benchmarks.gpu.sizes import Sizes

ROOT = Path(__file__).resolve().parents[2]
WHAT = (
    "tests/core and tests/conformance with LORAKIT_TEST_DEVICE: how many passed, failed, were skipped; log: pytest's "
    "last lines where one failed. A run that is cut off counts what had ended"
)
COLUMNS = ("folder", "passed", "failed", "skipped")
ENDED = re.compile(r"^\[gw\d+\].* (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) tests/(\w+)/")  # as xdist says it


def rows(device: str, sizes: Sizes, budget: Budget) -> Iterator[dict]:
    """A row for each folder of tests, and one with the log where a test failed."""
    if absent := [name for name in ("pytest", "hypothesis", "xdist") if not find_spec(name)]:
        yield {"not_done": f"skipped: not installed: {', '.join(absent)}"}
        return
    lines, code = said_by_pytest(sizes.tests, device, budget.left)
    ended = Counter(found.groups() for found in map(ENDED.match, lines) if found)
    for folder in sorted({folder for _, folder in ended}):
        counts = {how.lower(): ended[how, folder] for how in ("PASSED", "SKIPPED")}
        row = {"folder": folder, **counts, "failed": ended["FAILED", folder] + ended["ERROR", folder]}
        yield row if code is not None else row | {"not_done": f"cut off after {budget.spent:.0f} s"}
    if code is None and not ended:
        yield {"not_done": f"cut off after {budget.spent:.0f} s, before a test had ended"}
    if code or any(how in ("FAILED", "ERROR") for how, _ in ended):
        yield {"not_done": "failed: see log", "log": lines[-300:]}


def said_by_pytest(tests: tuple[str, ...], device: str, seconds: float) -> tuple[list[str], int | None]:
    """(the lines that it printed, its exit code): None where it was cut off."""
    command = [sys.executable, "-m", "pytest", "-vv", "--tb=short", "-p", "no:cacheprovider"]
    command += ["-n", str(min(8, os.cpu_count() or 1)), "--dist", "loadfile", *tests]
    here = {"LORAKIT_TEST_DEVICE": device, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds
        )
        said, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as cut:
        said, code = cut.stdout or b"", None
    return said.decode(errors="replace").splitlines(), code
