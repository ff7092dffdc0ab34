"""The scores of a class: read the students' files, and show who is where and where they get stuck.

    python -m lorakit.chapters.class_scores FOLDER [--json class.json] [--csv class.csv]

FOLDER holds the files `scores*.json` as they were handed in, in any folders below it.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lorakit.chapters.rooms import modules
from lorakit.show.exercises import checks_in
from lorakit.show.scores import FORMAT


@dataclass(frozen=True)
class Student:
    """One file: exercise → (passed, attempts), chapter → number of questions right at the first choice."""

    name: str
    file: Path
    exercises: dict[str, tuple[bool, int]]
    quizzes: dict[str, int]


@dataclass(frozen=True)
class Course:
    """What there is to do: the exercises' ids; chapter → question → its right choice."""

    exercises: tuple[str, ...]
    quizzes: dict[str, dict[str, str]]


def course() -> Course:
    """The exercises and quizzes of all chapters."""
    chapters = sorted(modules("checks").values(), key=lambda module: module.quiz.chapter)
    exercises = sorted(check.id for module in chapters for check in checks_in(module))
    quizzes = {m.quiz.chapter: {q.text: q.choices[q.answer] for q in m.quiz.questions} for m in chapters}
    return Course(tuple(exercises), quizzes)


def read(file: Path, todo: Course) -> Student:
    """One student's file; only what belongs to the course counts. Raises ValueError that says what is wrong with it.

    A quiz is judged again here: a "right" in the file is not believed.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"not a file of scores: its format should be {FORMAT!r}")
    parts = {part: content.get(part, {}) for part in ("exercises", "quizzes")}
    for part, value in parts.items():
        if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
            raise ValueError(f'"{part}" should hold a JSON object for each of its entries')
    exercises = {}
    for id in todo.exercises:
        if entry := parts["exercises"].get(id):
            attempts = entry.get("attempts_until_passed", entry.get("attempts"))
            if not isinstance(attempts, int) or attempts < 1:
                raise ValueError(f"exercise {id} has {attempts!r} attempts")
            exercises[id] = ("passed" in entry, attempts)
    quizzes = {}
    for chapter, questions in todo.quizzes.items():
        kept = parts["quizzes"].get(chapter, {})
        quizzes[chapter] = sum(kept.get(q, {}).get("choice") == right for q, right in questions.items())
    return Student(content.get("student") or file.parent.name, file, exercises, quizzes)


def collect(folder: Path, todo: Course) -> tuple[list[Student], dict[Path, str]]:
    """The students below a folder by name, and the files that could not be read, with the reason."""
    found, wrong = [], {}
    for file in sorted(folder.rglob("scores*.json")):
        try:
            found.append(read(file, todo))
        except (ValueError, OSError) as error:
            wrong[file] = str(error)
    return sorted(found, key=lambda student: student.name.casefold()), wrong


def table(students: list[Student], todo: Course) -> pd.DataFrame:
    """A row for each student: for each chapter "passed/of" and "right/of", and the totals as numbers."""
    rows = []
    for student in students:
        row: dict = {"student": student.name, "file": str(student.file)}
        for chapter in todo.quizzes:
            ids = [id for id in todo.exercises if id.startswith(chapter)]
            passed = sum(student.exercises.get(id, (False, 0))[0] for id in ids)
            row[f"{chapter} exercises"] = f"{passed}/{len(ids)}"
            row[f"{chapter} quiz"] = f"{student.quizzes[chapter]}/{len(todo.quizzes[chapter])}"
        row["exercises"] = sum(passed for passed, _ in student.exercises.values())
        row["quiz"] = sum(student.quizzes.values())
        rows.append(row)
    return pd.DataFrame(rows)


def stuck(students: list[Student]) -> pd.DataFrame:
    """By exercise: who tried, who passed, and the median attempts; the least passed first, untried ones left out."""
    tried = [(id, *found) for student in students for id, found in student.exercises.items()]
    frame = pd.DataFrame(tried, columns=["exercise", "passed", "attempts"])
    sums = {"tried": ("passed", "size"), "passed": ("passed", "sum"), "attempts": ("attempts", "median")}
    found = frame.groupby("exercise").agg(**sums).sort_values("attempts", ascending=False)
    return found.loc[(found["passed"] / found["tried"]).sort_values(kind="stable").index]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lorakit.chapters.class_scores",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the table as JSON too")
    parser.add_argument("--csv", type=Path, help="write the table as CSV too")
    args = parser.parse_args(arguments)
    if not args.folder.is_dir():
        parser.error(f"{args.folder} is not a folder")
    todo = course()
    students, wrong = collect(args.folder, todo)
    found = table(students, todo)
    if students:
        short = pd.DataFrame(
            {c: found[f"{c} exercises"] + " " + found[f"{c} quiz"] for c in todo.quizzes}
            | {f"of {len(todo.exercises)}": found["exercises"]}
            | {f"of {sum(map(len, todo.quizzes.values()))}": found["quiz"]}
        ).set_index(found["student"])
        print(short.to_string())
        print("(each chapter: exercises passed, questions right at the first choice; then the sums)\n")
        print(stuck(students).head(8).to_string())
    for file, reason in wrong.items():
        print(f"not read: {file}: {reason}", file=sys.stderr)
    if args.json:
        args.json.write_text(found.to_json(orient="records", indent=1, force_ascii=False) + "\n", encoding="utf-8")
    if args.csv:
        found.to_csv(args.csv, index=False)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
