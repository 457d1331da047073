"""SQuAD's nested JSON as flat rows; as no task answers questions yet, their contexts alone are used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bertspace.data import tables
from bertspace.data.reading import AUTO, Reading
from bertspace.data.tables import Table
from bertspace.errors import DataError
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("id", "title", "context", "question", "answers")
_ASKED = {"context", "question", "answers"}  # the columns of questions, however they are written
FORM = 'SQuAD\'s form is {"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"question": …}]}]}]}.'


def is_nested(content: bytes) -> bool:
    """Whether a JSON file looks like SQuAD's own, as far as that can be told without parsing it."""
    return content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" and b'"paragraphs"' in content


def read(content: bytes, name: str, reading: Reading = AUTO) -> Table:
    """A row for each question, its answers as {text: […], answer_start: […]}; a question without has none.

    Raises DataError.
    """
    import pandas as pd

    document = tables.json_document(content, name, reading)
    rows = list(_rows(document, name))
    if not rows:
        raise DataError(f"{name} holds no questions.", hint=FORM)
    note = f"{name} holds questions in SQuAD's form: a row for each, with the columns {', '.join(COLUMNS)}."
    return Table(name, pd.DataFrame(rows, columns=list(COLUMNS)), findings=(note,))


def _rows(document: Any, name: str) -> Iterator[tuple[Any, ...]]:
    """Every context is written once in the file and once a row here: so it is counted what the rows hold."""
    left = tables.MAX_FILE_BYTES
    for article in _listed(document, "data", name):
        for paragraph in _listed(article, "paragraphs", name):
            context, title = _text(paragraph, "context", name), _optional_text(article, "title")
            for asked in _listed(paragraph, "qas", name):
                left -= len(context) + len(title)
                if left < 0:
                    raise tables.too_large(name, "has more in its rows")
                question = _text(asked, "question", name)
                yield _optional_text(asked, "id"), title, context, question, _answers(asked, name)


def _answers(asked: dict[str, Any], name: str) -> dict[str, list[Any]]:
    given = _listed(asked, "answers", name) if "answers" in asked else []
    return {key: [each.get(key) for each in given] for key in ("text", "answer_start")}


def _listed(value: dict[str, Any], key: str, name: str) -> list[dict[str, Any]]:
    items = value.get(key) if isinstance(value, dict) else None
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        raise DataError(f"{name} has no list of objects under {key!r} where there has to be one.", hint=FORM)
    return items


def _optional_text(value: dict[str, Any], key: str) -> str:
    return text if isinstance(text := value.get(key), str) else ""


def _text(value: dict[str, Any], key: str, name: str) -> str:
    if not isinstance(text := value.get(key), str):
        raise DataError(f"{name} has no text under {key!r} where there has to be one.", hint=FORM)
    return text


def for_task(table: Table, config: TrainConfig) -> Table:
    """The rows of questions as the task can take them: one without labels reads each context once.

    Other tables are as they were. Raises DataError where the questions are to be classified by no label.
    """
    if not set(table.frame.columns) >= _ASKED or not table.frame["context"].map(type).eq(str).all():
        return table
    labelled = TASKS[config.task].has_labels
    if not labelled and config.text_column in ("", "context"):
        return _contexts(table)
    if labelled and not config.label_column:
        raise DataError(
            f"{table.name} holds questions and their answers; answering questions is no task here yet.",
            hint="Choose a task that learns from the contexts alone, or name a label_column.",
        )
    return table


def _contexts(table: Table) -> Table:
    frame: pd.DataFrame = table.frame.drop_duplicates("context")[["context"]]
    finding = (
        f"{table.name} holds {len(table.frame):,} questions: their {len(frame):,} contexts are read, each "
        "once. Answering questions is no task here yet."
    )
    return replace(table, frame=frame, findings=(*table.findings, finding))
