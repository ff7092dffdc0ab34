"""Every chapter in JupyterLab: it runs, its widget answers the keyboard with another picture, nothing is reported."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
SCREENSHOTS = ROOT / "screenshots"


@pytest.fixture
def chapter(request, lab):
    lab.open(f"notebooks/{request.param}")
    yield lab
    lab.close()


@pytest.mark.parametrize("chapter", CHAPTERS, indirect=True, ids=lambda name: name[:2])
def test_a_chapter_runs_and_its_widget_answers(chapter, request):
    name = request.node.callspec.id
    SCREENSHOTS.mkdir(exist_ok=True)
    assert not chapter.modified(), "a notebook that was only opened is called modified"
    chapter.run_all()
    boxes = chapter.explorers()
    for number, box in enumerate(boxes):
        box.scroll_into_view_if_needed()
        before = chapter.pixels(box)
        assert chapter.redraw(box) > 0
        assert chapter.pixels(box) != before, "the picture did not change"
        chapter.page.screenshot(path=SCREENSHOTS / f"{name}-widget-{number}.png")
    if not boxes:
        choose_another(chapter)
        chapter.page.screenshot(path=SCREENSHOTS / f"{name}-widget.png")
    assert not chapter.unlabelled()
    answer_quiz(chapter)
    chapter.page.screenshot(path=SCREENSHOTS / f"{name}-quiz.png")
    assert not chapter.errors()


def choose_another(chapter) -> None:
    """A widget of words with menus: another choice changes what it says."""
    box = chapter.page.locator(".widget-vbox:has(> .widget-hbox select)").first
    said = box.locator(".widget-html-content").last
    before = said.inner_text()
    chapter.press(box)
    said.filter(has_not_text=before).wait_for()


def answer_quiz(chapter) -> None:
    """Choose an answer with the keyboard: an explanation appears."""
    choice = chapter.page.locator(".widget-radio input").first
    choice.scroll_into_view_if_needed()
    choice.focus()
    chapter.page.keyboard.press("Space")
    chapter.page.locator("[role=status]", has_text="Right.").or_(
        chapter.page.locator("[role=status]", has_text="Not quite.")
    ).first.wait_for()
