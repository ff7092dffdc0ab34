"""The scores of a class: read the students' files, and show who is where and where they get stuck.

    python -m lorakit.chapters.class_scores FOLDER [--json class.json] [--csv class.csv]

FOLDER holds the files `scores*.json` as they were handed in, in any folders below it.
"""

import argparse
import csv
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from lorakit.chapters.rooms import modules
from lorakit.show.exercises import REGISTRY
from lorakit.show.scores import FORMAT

LARGEST = 1_000_000  # bytes; a full file of scores has about 20,000


@dataclass(frozen=True)
class Student:
    """One file: exercise → (passed, attempts), chapter → number of questions right at the first choice."""

    name: str
    file: Path
    exercises: dict[str, tuple[bool, int]]
    quizzes: dict[str, int]


@dataclass(frozen=True)
class Course:
    """What there is to do: the exercises' ids, and each quiz's number of questions."""

    exercises: tuple[str, ...]
    quizzes: dict[str, dict[str, str]]  # chapter → question → its right choice

    @property
    def chapters(self) -> tuple[str, ...]:
        return tuple(sorted({id.split(".")[0] for id in self.exercises} | set(self.quizzes)))


def course() -> Course:
    """The exercises and quizzes of all chapters."""
    checks = modules("checks").values()
    own = {module.__name__ for module in checks}
    exercises = sorted(id for id, check in REGISTRY.items() if check.body.__module__ in own)
    quizzes = {m.quiz.chapter: {q.text: q.choices[q.answer] for q in m.quiz.questions} for m in checks}
    return Course(tuple(exercises), quizzes)


def read(file: Path, todo: Course) -> Student:
    """One student's file; only what belongs to the course counts. Raises ValueError that says what is wrong with it."""
    if file.stat().st_size > LARGEST:
        raise ValueError(f"{file.stat().st_size:,} bytes is too large for a file of scores")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not readable as JSON: {error}") from error
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
        first = {q: kept[q].get("choice") for q in questions if isinstance(kept.get(q), dict)}
        if first:  # judged again here: a "right" in the file is not believed
            quizzes[chapter] = sum(choice == questions[q] for q, choice in first.items())
    name = content.get("student")
    return Student(name if isinstance(name, str) and name.strip() else file.parent.name, file, exercises, quizzes)


def collect(folder: Path, todo: Course) -> tuple[list[Student], dict[Path, str]]:
    """The students below a folder by name, and the files that could not be read, with the reason."""
    found, wrong = [], {}
    for file in sorted(folder.rglob("scores*.json")):
        try:
            found.append(read(file, todo))
        except (ValueError, OSError) as error:
            wrong[file] = str(error)
    return sorted(found, key=lambda student: (student.name.casefold(), str(student.file))), wrong


def rows(students: list[Student], todo: Course) -> list[dict]:
    """A row for each student: for each chapter "passed/of" and "right/of", and the totals as numbers."""
    table = []
    for student in students:
        row: dict = {"student": student.name, "file": str(student.file)}
        for chapter in todo.chapters:
            ids = [id for id in todo.exercises if id.startswith(chapter)]
            passed = sum(student.exercises.get(id, (False, 0))[0] for id in ids)
            row[f"{chapter} exercises"] = f"{passed}/{len(ids)}"
            row[f"{chapter} quiz"] = f"{student.quizzes.get(chapter, 0)}/{len(todo.quizzes.get(chapter, {}))}"
        row["exercises"] = sum(passed for passed, _ in student.exercises.values())
        row["quiz"] = sum(student.quizzes.values())
        table.append(row)
    return table


def stuck(students: list[Student], todo: Course) -> list[tuple[str, int, int, float]]:
    """(exercise, who tried, who passed, median attempts), the least passed first; those that nobody tried left out."""
    found = []
    for id in todo.exercises:
        tried = [s.exercises[id] for s in students if id in s.exercises]
        if tried:
            median = statistics.median(attempts for _, attempts in tried)
            found.append((id, len(tried), sum(passed for passed, _ in tried), median))
    return sorted(found, key=lambda row: (row[2] / row[1], -row[3]))


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
    table = rows(students, todo)
    wide = max([len(s.name) for s in students] + [7])
    chapters = todo.chapters
    questions = sum(map(len, todo.quizzes.values()))
    print(f"{'':{wide}}  " + "".join(f"{chapter:>9}" for chapter in chapters) + "      exercises       quiz")
    for row in table:
        cells = (f"{row[f'{c} exercises']} {row[f'{c} quiz']}" for c in chapters)
        totals = f"{row['exercises']:6} of {len(todo.exercises)}  {row['quiz']:4} of {questions}"
        print(f"{row['student']:{wide}}  " + "".join(f"{cell:>9}" for cell in cells) + f"  {totals}")
    print("(each chapter: exercises passed, questions right at the first choice)")
    for id, tried, passed, attempts in stuck(students, todo)[:8]:
        print(f"exercise {id}: {passed} of {tried} who tried have passed, {attempts:g} attempts at the median")
    for file, reason in wrong.items():
        print(f"not read: {file}: {reason}", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if args.csv and table:
        with args.csv.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
