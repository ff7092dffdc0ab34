"""Launch badges and what they lead to: up to date everywhere, and Binder installs the tested versions."""

import re

import badges


def test_every_chapter_and_the_readme_have_todays_badges():
    assert not badges.wanted(), "run `python tools/badges.py`"


def test_a_new_address_replaces_the_old_badges(monkeypatch):
    monkeypatch.setattr(badges, "repository", lambda: "somebody/copy")
    changed = badges.wanted()
    assert len(changed) == 1 + len(list((badges.ROOT / "notebooks").glob("*.ipynb")))
    for text in changed.values():
        assert "somebody/copy" in text and "lorakit/lorakit" not in text and text.count(badges.END) == 1


def test_the_pictures_of_the_badges_are_here():
    pictures = re.findall(r"\(\.\./(docs/[^)]*\.svg)\)", badges.chapter_block("notebooks/x.ipynb"))
    assert len(pictures) == 2 and all((badges.ROOT / picture).read_text().startswith("<svg") for picture in pictures)
