"""Launch badges and what they lead to: up to date everywhere, and Binder installs the tested versions."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
import badges  # noqa: E402


def test_every_chapter_and_the_readme_have_todays_badges():
    assert not badges.wanted(), "run `python tools/badges.py`"


def test_a_new_address_replaces_the_old_badges(monkeypatch):
    monkeypatch.setattr(badges, "repository", lambda: "somebody/copy")
    changed = badges.wanted()
    assert len(changed) == 1 + len(list((ROOT / "notebooks").glob("*.ipynb")))
    for text in changed.values():
        assert "somebody/copy" in text and badges.BEGIN in text and text.count(badges.END) == 1


def test_badges_are_added_at_the_end_and_then_left_alone():
    block = badges.chapter_block("notebooks/x.ipynb")
    once = badges.with_badges("# A title\n\nText.", block)
    assert once == "# A title\n\nText.\n\n" + block
    assert badges.with_badges(once, block) == once


def test_the_pictures_of_the_badges_are_here():
    for picture in re.findall(r"\(\.\./(docs/[^)]*\.svg)\)", badges.chapter_block("notebooks/x.ipynb")):
        assert (ROOT / picture).read_text().startswith("<svg")


def test_binder_takes_the_tested_torch_without_cuda():
    lines = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    (torch,) = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch==")]
    assert f"{torch}+cpu" in lines and "-c ../constraints.txt" in lines and "-e .[lab]" in lines
    version = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert tuple(map(int, version.split("."))) >= (3, 11)
