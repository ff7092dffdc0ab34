"""Find a Chromium, or install one where that can be done: `python tests/browser/chromium.py` prints its path.

With --find nothing is installed.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str | None:
    """The path of a Chromium or Chrome: LORAKIT_CHROMIUM, on the PATH, or the one that playwright has fetched."""
    named = os.environ.get("LORAKIT_CHROMIUM")
    for path in filter(None, [named, *map(shutil.which, NAMES)]):
        if shutil.which(path):
            return path
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            path = playwright.chromium.executable_path
        return path if os.path.exists(path) else None
    except Exception:  # no playwright, or a platform that it does not know
        return None


def install() -> str | None:
    """Try apt (as root, or with sudo that asks nothing), then playwright's own download. The path, or None."""
    ways = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if apt := shutil.which("apt-get"):
        before = [] if os.geteuid() == 0 else ["sudo", "-n"]
        ways.insert(0, [*before, apt, "install", "-y", "-qq", "chromium"])
        ways.insert(0, [*before, apt, "update", "-qq"])
    for way in ways:
        try:
            subprocess.run(way, capture_output=True, timeout=600, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if path := find():
            return path
    return None


if __name__ == "__main__":
    chosen = find() or (None if "--find" in sys.argv else install())
    if not chosen:
        print(
            "no Chromium here and none could be installed: install your system's chromium package, or name one in "
            "LORAKIT_CHROMIUM",
            file=sys.stderr,
        )
        raise SystemExit(1)
    print(chosen)
