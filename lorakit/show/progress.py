"""What of a chapter is done: its exercises and its quiz, as a table."""

from lorakit.show.exercises import REGISTRY
from lorakit.show.quiz import QUIZZES
from lorakit.show.scores import kept
from lorakit.show.tables import Words

STATES = {"passed": "✓ passed", "wrong": "✗ try again", "not done": "○ not done yet"}


def progress() -> Words:
    """The exercises and quizzes of the chapters imported in this notebook, and how far you are, restarts or not."""
    done = {id: "passed" if "passed" in entry else "wrong" for id, entry in kept("exercises").items()}
    rows = [(c.id, c.title, STATES[done.get(c.id, "not done")]) for c in REGISTRY.values()]
    for quiz in QUIZZES.values():
        quiz.recall()
        finished = len(quiz.first) == len(quiz.questions)
        rows.append((quiz.chapter, "quiz", "✓ finished" if finished else f"○ {quiz.summary()}"))
    rows.sort(key=lambda row: (row[0][:2], row[1] == "quiz", row[0]))  # a chapter's quiz behind its exercises
    count = sum(state.startswith("✓") for _, _, state in rows)
    rows.append(("", "together", f"{count} of {len(rows)} done"))
    return Words(rows, columns=["exercise", "title", "state"]).set_index("exercise")
