"""Classify: one text, or a pair, with every label's score as a bar; and a file in, a table and a file out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from bertspace import policy
from bertspace.data.archives import ACCEPTED
from bertspace.errors import BertspaceError, DataError
from bertspace.models import held_out, inference
from bertspace.policy import Person
from bertspace.schema import TrainConfig
from bertspace.ui.access import who
from bertspace.ui.access.files import written_csv
from bertspace.ui.access.needs import needs
from bertspace.ui.frame import as_code, html, remedies
from bertspace.ui.frame.errors import show_errors
from bertspace.ui.frame.events import whenever
from bertspace.ui.frame.html import BASE, TUNED
from bertspace.ui.models import catalogue
from bertspace.ui.tasks.base import TaskPage
from bertspace.words import counted, number

if TYPE_CHECKING:
    import pandas as pd

TASK = "text-classification"
SHOWN_ROWS = 100
AT_ONCE = 1000  # rows between two looks at the progress bar; sorted by length within
BEFORE_A_FILE = (
    "A label for every row",
    "The text column is found by its name. The first rows are shown here; the file that comes back has all "
    "of them, with the label and every score.",
)


class ClassifyPage(TaskPage):
    tab = "classify"
    title = "Classify"
    noun = "classifier"
    nothing_to = "classify"

    def build_more(self, model: gr.Dropdown) -> None:
        _build_file_part(model)

    def lines(self, name: str, model: str, text: str, pair: str = "", top_k: int = 5) -> str:
        given = {"text": text, "text_pair": pair} if pair else text
        return (
            f"{name} = pipeline({self.task.name!r}, model={as_code.source(model)!r})\n"
            f"print({name}({given!r}, top_k=None))"
        )


# A whole file


def _build_file_part(model: gr.Dropdown) -> None:
    with gr.Accordion("A whole file", open=False, elem_classes="bs-card"):
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                file = gr.File(
                    label="csv, tsv, jsonl, parquet or txt",
                    file_types=list(ACCEPTED),
                    height=140,
                    elem_classes="pg-file",
                )
                start = gr.Button("Classify every row", variant="primary", elem_classes="bs-small")
            with gr.Column(scale=6, min_width=320):
                summary = gr.HTML(html.note(*BEFORE_A_FILE), js_on_load=remedies.CLICK)
                download = gr.DownloadButton(
                    "Download all rows as csv", visible=False, elem_classes="bs-small"
                )
        table = gr.HTML(elem_classes="pg-rows", visible=False)
    file_settings = gr.State({})  # the settings that buttons beside the answers have set for this file
    answers: dict[str, Any] = {"outputs": [summary, table, download], "show_progress": "minimal"}
    answers |= {"show_progress_on": summary}
    unseen: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    emptying = {"fn": forget_file, "outputs": [*answers["outputs"], file_settings], "queue": False, **unseen}
    whenever([model.change, file.change], **emptying)
    asked = start.click(**emptying).then(
        classify_file, inputs=[file, model], api_name="classify_file", **answers
    )
    asked.failure(why_refused, [file, model], summary, **unseen)
    summary.click(
        classify_remedied,
        inputs=[file, model, file_settings],
        api_visibility="private",
        **answers | {"outputs": [*answers["outputs"], file_settings]},
    )


@needs("try models")
def forget_file() -> tuple[Any, ...]:
    """No answers, and nothing told of a file."""
    return *no_file_yet(), {}


def no_file_yet() -> tuple[Any, ...]:
    """The answers to a file taken away: those to another one, or of another model, would be taken for its."""
    return html.note(*BEFORE_A_FILE), gr.HTML(visible=False), gr.DownloadButton(visible=False)


@needs("try models")
def why_refused(file: str | None, model: str | None, request: gr.Request | None = None) -> Any:
    """Why the file could not be read, with the ways out as buttons, beside the toast that says it."""
    try:
        _read(file, model, who.person(request), {})
    except BertspaceError as error:
        return remedies.refused(error)
    return gr.skip()


@needs("try models")
def classify_remedied(
    file: str | None,
    model: str | None,
    file_settings: dict[str, str] | None,
    event: gr.EventData,
    request: gr.Request | None = None,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 gradio finds it by this default
) -> tuple[Any, ...]:
    """The answers with what a pressed button says of the file, and all that has been said of it."""
    settings = {**(file_settings or {}), **remedies.chosen(event, remedies.OF_A_FILE)}
    try:
        return *_classified(file, model, who.person(request), progress, settings), settings
    except BertspaceError as error:
        return remedies.refused(error), *no_file_yet()[1:], settings


@needs("try models")
@show_errors
def classify_file(
    file: str | None,
    model: str | None,
    request: gr.Request | None = None,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 gradio finds it by this default
) -> tuple[Any, ...]:
    """A summary, the first 100 rows, and a csv of all: the file's columns, predicted_label, score_<label>."""
    return _classified(file, model, who.person(request), progress, {})


def _read(
    file: str | None, model: str | None, person: Person, settings: Mapping[str, Any]
) -> tuple[str, held_out.FileRows]:
    """The model, and the file's rows as it is to read them under these settings; raises BertspaceError."""
    if not file:
        raise DataError("No file is chosen.", hint="Pick a csv, tsv, jsonl, parquet or txt file first.")
    model = catalogue.checked_model(model, person)
    path = Path(file)
    policy.check_file(person, path.name)
    return model, held_out.read(model, path, TrainConfig(task=TASK, **settings), labelled=False)


def _classified(
    file: str | None,
    model: str | None,
    person: Person,
    progress: gr.Progress,
    settings: Mapping[str, Any],
) -> tuple[Any, ...]:
    model, found = _read(file, model, person, settings)
    chosen = found.frame["text"].tolist()
    pairs = found.frame["pair"].tolist() if "pair" in found.frame else None
    policy.check_rows(person, len(found.table.frame))
    policy.check_texts(person, found.frame.index, *filter(None, (chosen, pairs)))
    policy.check_scores(person, len(chosen), catalogue.label_count(model, TASK))
    title = catalogue.model_title(model)
    scores: list[dict[str, float]] = []
    limit, begin = policy.limits(person).seconds, time.monotonic()
    for start in range(0, len(chosen), AT_ONCE):
        progress((start, len(chosen)), desc="Classifying", unit="rows")
        part = slice(start, start + AT_ONCE)
        answers = inference.predict(
            model,
            chosen[part],
            task=TASK,
            pairs=pairs[part] if pairs else None,
            seconds=max(0.01, limit - (time.monotonic() - begin)) if limit else 0,
        )
        scores.extend(each[0].scores for each in answers)
    whole = scored(found, scores)
    counts = whole["predicted_label"].value_counts()  # blank rows have none
    shares = html.bars(
        {label: count / len(chosen) for label, count in counts.items()},
        TUNED if catalogue.is_tuned(model) else BASE,
    )
    by = f" by {title}" if title != catalogue.model_name(model) else ""
    words = " ".join([f"{counted(len(chosen), 'row')} of {found.table.name}{by}.", *found.findings])
    if said := answers[0][0].note:
        words, shares = f"{words} {said}", Markup()
    else:
        words = f"{words} The share of each label:"
    name = f"{found.table.name.split('.')[0]}-classified.csv"
    ways = remedies.open_to(found.table.remedies, TrainConfig(**settings))
    return (
        html.comparison(words, shares + remedies.draw(ways)),
        gr.HTML(shown_rows(chosen, pairs, scores), visible=True),
        gr.DownloadButton(value=written_csv(whole, name), visible=True),
    )


def scored(found: held_out.FileRows, scores: list[dict[str, float]]) -> pd.DataFrame:
    """The file's table with each row's number, predicted_label and, in a fixed order, score_<label> of every
    label; a blank row has no answer.
    """
    labels, placed = sorted(scores[0]), found.placed(scores)
    frame = found.table.frame
    added: dict[str, Any] = {"row": frame.index + 1} if "row" not in frame else {}
    added |= {"predicted_label": [next(iter(each)) if each else None for each in placed]}
    added |= {f"score_{label}": [each[label] if each else None for each in placed] for label in labels}
    return frame.assign(**added)


def shown_rows(chosen: list[str], pairs: list[str] | None, scores: list[dict[str, float]]) -> str:
    """The first rows as the page shows them: the texts, the label and its score."""
    texts_of = zip(chosen, pairs, strict=True) if pairs else zip(chosen, strict=True)
    rows = [
        (*own, label := next(iter(each)), number(each[label]))
        for own, each in zip(list(texts_of)[:SHOWN_ROWS], scores, strict=False)
    ]
    first = f"The first {SHOWN_ROWS} of {len(chosen):,} rows" if len(chosen) > SHOWN_ROWS else "All rows"
    return html.rows_table(first, ["Text", *(["Second text"] if pairs else []), "Label", "Score"], rows)
