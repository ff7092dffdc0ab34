"""Links of every chapter: up to date everywhere; badges open this repository, neighbours are there."""

import re

import badges
import nbformat


def test_every_chapter_and_the_readme_have_todays_badges():
    assert not badges.wanted(), "run `python tools/badges.py`"


def test_a_new_address_replaces_the_old_badges(monkeypatch):
    monkeypatch.setattr(badges, "repository", lambda: "somebody/copy")
    changed = badges.wanted()
    assert len(changed) == 1 + len(list((badges.ROOT / "notebooks").glob("*.ipynb")))
    for text in changed.values():
        assert "somebody/copy" in text and "lorakit/lorakit" not in text and text.count("<!-- /badges -->") == 1


def test_what_the_links_name_is_here_and_neighbours_are_among_it():
    paths = sorted((badges.ROOT / "notebooks").glob("*.ipynb"))
    for i, path in enumerate(paths):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        named = set(re.findall(r"\]\(([\w./-]+\.\w+)[)#]", text))
        assert not [name for name in named if not (path.parent / name).exists()]
        assert {"../docs/badges/colab.svg"} | {p.name for p in paths[max(i - 1, 0) : i + 2]} - {path.name} <= named
