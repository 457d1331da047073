"""Compare: base against fine-tuned on one text side by side, and on held-out rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from bertspace import policy
from bertspace.data.archives import ACCEPTED
from bertspace.errors import BertspaceError, DataError
from bertspace.models import comparison, held_out, inference
from bertspace.policy import Person
from bertspace.schema import TrainConfig
from bertspace.tasks import verdict
from bertspace.ui.access import who
from bertspace.ui.access.files import written_csv
from bertspace.ui.access.needs import needs
from bertspace.ui.frame import as_code, html, remedies
from bertspace.ui.frame.as_code import Code
from bertspace.ui.frame.errors import plain_errors, show_errors
from bertspace.ui.frame.events import whenever
from bertspace.ui.frame.html import BASE, TUNED, Side
from bertspace.ui.models import catalogue
from bertspace.ui.models.news import build_news
from bertspace.ui.models.picker import model_picker, page_opens
from bertspace.ui.tasks import page_of, pages
from bertspace.ui.tasks.base import IN_TRAINING, chips_of, example_chips, filled_texts, wire_answer
from bertspace.words import counted

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 100
NO_PIPELINE = "# The lines for transformers come with the fine-tuned model: choose one."
NOTHING_YET = (
    "Nothing to compare yet",
    "Here the base model and your fine-tuned one answer the same text side by side, and held-out rows show "
    "what the training fixed and what it broke. Fine-tune a model first.",
)

BEFORE_ROWS = (
    "Both models on the same rows",
    "Their metrics side by side with the differences, then the rows that the training "
    "fixed and those that it broke.",
)
TITLES = {
    "fixed": "Fixed, where the base was wrong and the fine-tuned model is right",
    "broken": "Broken, where the base was right and the fine-tuned model is wrong",
}
HEADINGS = {
    "text": "Text",
    "pair": "Second text",
    "label": "Label",
    "base": html.swatch(BASE) + " Base says",
    "tuned": html.swatch(TUNED) + " Fine-tuned says",
}


@dataclass(frozen=True)
class CompareTab:
    """What others fill (the base follows the tuned model), and the empty state's way to the Fine-tune tab."""

    base: gr.Dropdown
    tuned: gr.Dropdown
    text: gr.Textbox
    pair: gr.Textbox
    to_fine_tune: gr.Button


def build_compare_tab(news: gr.Textbox) -> CompareTab:
    """The playground; has to be called inside a Tab of the page. news: see `news`."""
    arrived = gr.State("")
    with gr.Row(elem_classes="bs-card"):
        base = model_picker("Base", "", arrived=arrived, min_width=280)
        tuned = model_picker("Fine-tuned", "", "", arrived=arrived, newest=True, min_width=280)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320, elem_classes="bs-card"):
            text = gr.Textbox("", label="Text", lines=3, max_lines=12, placeholder="Write a text")
            pair = gr.Textbox("", label="Second text", lines=2, max_lines=12, visible=False)
            examples = example_chips(text, pair)
        with gr.Column(scale=6, min_width=320, elem_classes="bs-card"):
            panel = gr.HTML(html.note(*NOTHING_YET))
            to_fine_tune = gr.Button("Go to Fine-tune", variant="primary", elem_classes="bs-small")
    again = build_news(news, "", tuned, base)
    _build_file_part(base, tuned, again)
    codes = as_code.code_fold()

    following: dict[str, Any] = {"inputs": [tuned, text, pair], "show_progress": "hidden"}
    following |= {"outputs": [base, text, pair, examples, to_fine_tune], "api_visibility": "private"}
    # Not the texts, nor the base: what is being typed or was chosen would be put back.
    whenever([page_opens(), tuned.change], model_changed, **following)
    arrived.change(model_pulled, **following | {"inputs": [arrived, *following["inputs"]]})
    changes = [each.change for each in (base, tuned, arrived, again, text, pair)]
    wire_answer(changes, answer, [text, tuned, base, pair], [panel, *codes])
    gr.api(compare, api_name="compare")
    return CompareTab(base, tuned, text, pair, to_fine_tune)


@needs("try models")
def model_changed(
    tuned: str | None, text: str, pair: str, request: gr.Request | None = None
) -> tuple[Any, ...]:
    """What a chosen run brings with it: its base, a second text, rows to try, a text that fits its task."""
    tuned = catalogue.known_model(tuned, who.person(request))
    fits = bool(tuned) and not catalogue.misfit(tuned, "")
    held_out = catalogue.held_out(tuned) if fits else catalogue.HeldOut()
    pairs = catalogue.takes_pair(tuned)
    suited = text if is_for(text, catalogue.task_of(tuned)) else ""
    own = own_base(tuned, who.person(request)) if fits else ""
    return (
        own or gr.skip(),
        *filled_texts(held_out, suited, pair if pairs else None),
        chips_of(held_out),
        gr.Button(visible=not fits),
    )


def is_for(text: str, task: str) -> bool:
    """Whether a text may be one for the task: it has the task's mark, if any, and no other task's."""
    marked = {each.task.name: bool(each.mark.search(text)) for each in pages() if each.mark}
    return all(found == (name == task) for name, found in marked.items())


@needs("try models")
def model_pulled(
    arrived: str, tuned: str | None, text: str, pair: str, request: gr.Request | None = None
) -> tuple[Any, ...]:
    """What a tuned model brings with it that has just been pulled; another one changes nothing."""
    if arrived != tuned:
        return (gr.skip(),) * 5
    return model_changed(tuned, text, pair, request)


@needs("try models")
def answer(
    text: str, tuned: str | None, base: str | None, pair: str, request: gr.Request | None = None
) -> tuple[str, ...]:
    """The panel and the three codes; what is wrong stands in the panel, as it changes with every key."""
    person = who.person(request)
    known, base = catalogue.known_model(tuned, person), base or ""
    tuned = known or tuned or ""
    pair = pair if catalogue.takes_pair(known) else ""
    url = as_code.page_url(request)
    code = compare_code(
        base or catalogue.STARTER, tuned or "run:…", text, pair, catalogue.task_of(known), url
    )
    if not tuned:
        return nothing_yet(person), *code
    if why := catalogue.misfit(known, ""):
        return html.note(f"{catalogue.model_name(known)}: {why}", "Choose another model."), *code
    if known and not text.strip():
        return html.note("Nothing to compare yet", "Write a text, or press one of the rows."), *code
    try:
        chosen = checked(base, tuned, person)
        if missing := catalogue.first_not_here(chosen):
            return catalogue.not_here_note(missing), *code
        return _panel(*chosen, text, pair), *code
    except BertspaceError as error:
        return html.failed(error.message, error.hint), *code


def checked(base: str | None, tuned: str | None, person: Person) -> tuple[str, str]:
    """Both pickers' values, an empty base being the run's own (which may be a folder)."""
    tuned = catalogue.checked_model(tuned, person)
    own = own_base(tuned, person)
    return own if own and base in (None, "", own) else catalogue.checked_model(base, person), tuned


def own_base(tuned: str, person: Person) -> str:
    """What a run was trained from, also one that came back from the Hub; "" where that is not known.

    A repository may say anything of its base: it is taken as if it had been typed.
    """
    if catalogue.is_tuned(tuned):
        return comparison.base_of(tuned)
    try:
        here = catalogue.is_hub(tuned) and catalogue.is_here(tuned)
        return catalogue.known_model(comparison.base_of(tuned), person) if here else ""
    except BertspaceError:
        return ""


def nothing_yet(person: Person) -> str:
    """The empty panel: a model is being trained, or what will be here."""
    if name := catalogue.first_in_training("", person):
        return html.note("A model is being trained", IN_TRAINING.format(name))
    return html.note(*NOTHING_YET)


def _panel(base: str, tuned: str, text: str, pair: str) -> str:
    names = base_title(base, tuned), catalogue.model_title(tuned)
    found = comparison.compare(base, tuned, [text], pairs=[pair] if pair else None)[0]
    sides = [Side(names[0], BASE, found.base), Side(names[1], TUNED, found.tuned)]
    page = page_of(inference.task_of(tuned))
    return html.comparison(page.sentence(found.base, found.tuned), page.draw(text, sides))


def compare_code(base: str, tuned: str, text: str, pair: str, task: str, url: str) -> Code:
    """The three codes. task: the tuned model's, "" where it is not known yet."""
    given = {"pair": pair} if pair else {}
    return (
        as_code.command("compare", base, tuned, text, **given),
        as_code.client(url, "compare", text=text, tuned=tuned, base=base, **given),
        page_of(task).plain(tuned, text, base=base, **given) if task else NO_PIPELINE,
    )


def base_title(base: str, tuned: str) -> str:
    """How the base answers, in words; a base that is a run itself goes by its name."""
    return comparison.base_words(base, tuned).replace(base, catalogue.model_title(base), 1)


@needs("try models")
@plain_errors
def compare(
    text: str,
    tuned: str,
    base: str = "",
    pair: str = "",
    top_k: int = 5,
    request: gr.Request | None = None,
) -> dict[str, Any]:
    """{"verdict", "changed", "base", "tuned"}; base and tuned hold a {"text", "scores"} an answer.

    base: left empty, the model that the run was trained from.
    """
    base, tuned = checked(base, tuned, who.person(request))
    pairs = [pair] if pair else None
    found = comparison.compare(base, tuned, [text], pairs=pairs, top_k=max(1, min(int(top_k), 100)))[0]
    return {
        "verdict": page_of(inference.task_of(tuned)).sentence(found.base, found.tuned),
        "changed": found.changed,
        "base": [{"text": each.text, "scores": each.scores} for each in found.base],
        "tuned": [{"text": each.text, "scores": each.scores} for each in found.tuned],
    }


# Held-out rows


def _build_file_part(base: gr.Dropdown, tuned: gr.Dropdown, again: gr.Textbox) -> None:
    # What was measured with a model in training: the run's "own" rows, or the "file".
    unfinished = gr.State("")
    file_settings = gr.State({})  # the settings that buttons beside the answers have set for this file
    with gr.Accordion("On held-out rows", open=False, elem_classes="bs-card"):
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                own = gr.Button(
                    "Use the rows that the run held out", variant="primary", elem_classes="bs-small"
                )
                file = gr.File(
                    label="Or a file with texts and labels",
                    file_types=list(ACCEPTED),
                    height=140,
                    elem_classes="pg-file",
                )
                start = gr.Button("Compare on this file", elem_classes="bs-small")
            with gr.Column(scale=6, min_width=320):
                summary = gr.HTML(html.note(*BEFORE_ROWS), js_on_load=remedies.CLICK)
                download = gr.DownloadButton(
                    "Download all rows as csv", visible=False, elem_classes="bs-small"
                )
        rows = gr.HTML(elem_classes="pg-rows", visible=False)
    outputs: dict[str, Any] = {
        "outputs": [summary, rows, download, unfinished],
        "show_progress": "minimal",
        "show_progress_on": summary,
    }
    hidden: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
    emptied = [*outputs["outputs"], file_settings]
    whenever([base.change, tuned.change, file.change], forget_file, None, emptied, **hidden)
    finished: dict[str, Any] = {"api_visibility": "private", **outputs}
    whenever(again.change, renew_rows, [unfinished, file, tuned, base, file_settings], **finished)
    own.click(compare_own_rows, [base, tuned], **outputs, api_visibility="private")
    asked = start.click(forget_file, None, emptied, **hidden).then(
        compare_file, [file, tuned, base], **outputs, api_name="compare_file"
    )
    unseen = {"show_progress": "hidden", "api_visibility": "private"}
    asked.failure(why_refused, [file, tuned], summary, **unseen)
    remedied: dict[str, Any] = outputs | {"outputs": emptied, "api_visibility": "private"}
    summary.click(compare_remedied, [file, tuned, base, file_settings], **remedied)


@needs("try models")
def forget_file() -> tuple[Any, ...]:
    """Nothing measured, and nothing told of a file."""
    return *no_rows_yet(), {}


def no_rows_yet() -> tuple[Any, ...]:
    """What was measured of other models, or of another file, would be taken for theirs."""
    return html.note(*BEFORE_ROWS), gr.HTML(visible=False), gr.DownloadButton(visible=False), ""


@needs("try models")
@show_errors
def renew_rows(
    unfinished: str,
    file: str | None,
    tuned: str | None,
    base: str | None,
    file_settings: dict[str, str] | None = None,
    request: gr.Request | None = None,
) -> tuple[Any, ...]:
    """What was measured while the model was in training, once it is finished."""
    person = who.person(request)
    names = [catalogue.known_model(each, person) for each in (base, tuned)]
    if not unfinished or any(map(catalogue.training, names)):
        return (gr.skip(),) * 4
    if unfinished == "own":
        return compare_own_rows(base, tuned, request)
    return _file_compared(file, tuned, base, person, file_settings or {})


@needs("try models")
@show_errors
def compare_own_rows(
    base: str | None, tuned: str | None, request: gr.Request | None = None
) -> tuple[Any, ...]:
    """Both models on the rows that lie in the run's folder and that it was not trained on."""
    base, tuned = checked(base, tuned, who.person(request))
    if not (file := catalogue.held_out_rows(tuned)):
        raise DataError(f"{tuned} holds no rows of its own.", hint="Choose one of the runs, or give a file.")
    return _compared(base, tuned, file, f"the run's {file.stem} rows{overlap_words(tuned)}", "own")


def overlap_words(tuned: str) -> str:
    """What flatters the figures of a run's own rows."""
    held_out = catalogue.held_out(tuned)
    verb = "stands" if held_out.seen == 1 else "stand"
    return f", of which {held_out.seen:,} {verb} among the training rows too" if held_out.seen else ""


@needs("try models")
@show_errors
def compare_file(
    file: str | None, tuned: str | None, base: str | None = None, request: gr.Request | None = None
) -> tuple[Any, ...]:
    """Both models on a file with labels: a summary, the rows fixed and broken, and a csv of all rows."""
    return _file_compared(file, tuned, base, who.person(request), {})


@needs("try models")
def why_refused(file: str | None, tuned: str | None, request: gr.Request | None = None) -> Any:
    """Why the file could not be read, with the ways out as buttons, beside the toast that says it."""
    try:
        model = catalogue.checked_model(tuned, who.person(request))
        policy.check_file(who.person(request), file or "")
        if file:
            held_out.read(model, Path(file), TrainConfig(task=inference.task_of(model)))
    except BertspaceError as error:
        return remedies.refused(error)
    return gr.skip()


@needs("try models")
def compare_remedied(
    file: str | None,
    tuned: str | None,
    base: str | None,
    file_settings: dict[str, str] | None,
    event: gr.EventData,
    request: gr.Request | None = None,
) -> tuple[Any, ...]:
    """Both models on the file with what a pressed button says of it, and all that has been said of it."""
    settings = {**(file_settings or {}), **remedies.chosen(event, remedies.OF_A_FILE)}
    try:
        return *_file_compared(file, tuned, base, who.person(request), settings), settings
    except BertspaceError as error:
        return remedies.refused(error), *no_rows_yet()[1:], settings


def _file_compared(
    file: str | None, tuned: str | None, base: str | None, person: Person, settings: Mapping[str, Any]
) -> tuple[Any, ...]:
    if not file:
        raise DataError("No file is chosen.", hint="Pick a csv, tsv, jsonl, parquet or txt file first.")
    base, tuned = checked(base, tuned, person)
    policy.check_file(person, file)
    task = inference.task_of(tuned)
    config = TrainConfig(task=task, **settings)
    check_rows(
        person,
        Path(file),
        tuned,
        config,
        max(catalogue.label_count(tuned, task), catalogue.label_count(base, "")),
    )
    return _compared(base, tuned, Path(file), Path(file).name, "file", settings)


def check_rows(person: Person, file: Path, tuned: str, config: TrainConfig, labels: int) -> None:
    """Raises ForbiddenError where the file has more rows, or longer ones, than the person may send."""
    if not policy.limits(person).rows and not policy.limits(person).characters:
        return
    found = held_out.read(tuned, file, config, labelled=False)
    policy.check_rows(person, len(found.table.frame))
    policy.check_scores(person, len(found.table.frame), labels)
    read = [found.frame[name].tolist() for name in ("text", "pair") if name in found.frame]
    policy.check_texts(person, found.frame.index, *read)


def _compared(
    base: str, tuned: str, file: Path, source: str, kind: str, settings: Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    settings = settings or {}
    title, name = base_title(base, tuned), catalogue.model_title(tuned)  # as they are now
    unfinished = kind if catalogue.training(base) or catalogue.training(tuned) else ""
    found = comparison.compare_file(base, tuned, file, **settings)
    measured = " ".join([f"{rows_words(found)}, {source}.", *found.findings]).removesuffix(".")
    clear = found.verdict.outcome in (verdict.BETTER, verdict.WORSE)
    metrics = html.metric_table(title, name, found.base_metrics, found.tuned_metrics, measured, clear)
    metrics += remedies.draw(remedies.open_to(found.remedies, TrainConfig(**settings)))
    tables = changed_rows(found)
    return (
        html.comparison(file_verdict(found), metrics),
        gr.HTML(tables, visible=bool(tables)),
        gr.DownloadButton(value=written_csv(found.table, "comparison.csv"), visible=True),
        unfinished,
    )


def file_verdict(found: comparison.FileComparison) -> str:
    """The sentences that come first."""
    if "verdict" not in found.table:
        return found.verdict.words
    same = int((found.table["verdict"] == "same right").sum())
    said = right_words(found.rows, same + found.broken, same + found.fixed, found.fixed, found.broken)
    return f"{found.verdict.words} {said}"


def right_words(rows: int, base_right: int, tuned_right: int, fixed: int, broken: int) -> str:
    """One plain sentence on the rows that two models get right."""
    measured = counted(rows, "row")
    start = f"Of {measured} the fine-tuned model gets {tuned_right:,} right, the base {base_right:,}"
    if not fixed and not broken:
        return f"{start}; it fixed none and broke none."
    return f"{start}: {fixed:,} fixed, {broken:,} broken."


def rows_words(found: comparison.FileComparison) -> str:
    """How many rows, or chunks, were measured."""
    return counted(found.rows, found.verdict.unit.removesuffix("s"))


def changed_rows(found: comparison.FileComparison) -> str:
    """The rows that were fixed and those that were broken, each as a table; "" where there are none."""
    counts = {"fixed": found.fixed, "broken": found.broken}
    return "".join(_rows(found.table, verdict, count) for verdict, count in counts.items() if count)


def _rows(table: pd.DataFrame, verdict: str, count: int) -> str:
    rows = table[table["verdict"] == verdict].head(SHOWN_ROWS).drop(columns="verdict")
    first = f", the first {SHOWN_ROWS} of them" if count > SHOWN_ROWS else ""
    return html.rows_table(
        f"{TITLES[verdict]}: {counted(count, 'row')}{first}",
        [HEADINGS[name] for name in rows.columns],
        rows.values.tolist(),
    )
