"""The fold "More about this run": name and notes, copies, another run beside it, the code, deleting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace.errors import BertspaceError
from bertspace.jobs import comparison, engine
from bertspace.publish import export
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame.as_code import code_boxes
from bertspace.ui.frame.errors import show_errors
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.frame.html import text
from bertspace.ui.runs import care, render_pair
from bertspace.ui.runs.view import find_run, run_lines, state_of
from bertspace.words import moment, size

# A hidden button holds the file; a click on it, once the file is there, is what makes a browser download it.
DOWNLOAD = "() => { setTimeout(() => document.querySelector('#run-file')?.click(), 300); }"
# The fold of the settings may have to open first.
TO_SETTINGS = """() => { setTimeout(() => {
    document.querySelector('#presets')?.scrollIntoView({behavior: 'smooth', block: 'center'});
}, 500); }"""
LANGUAGES = {
    "Command line": "shell",
    "Settings as YAML": "yaml",
    "Stand-alone Python script (the zip has it with what it reads)": "python",
}
BUSY: dict[str, Any] = {"show_progress": "minimal", "concurrency_limit": 2}


@dataclass(frozen=True)
class MoreFold:
    """The fold and those of its parts that others wire."""

    fold: gr.Accordion
    named: tuple[gr.Textbox, gr.Textbox]
    copy: gr.Button
    save: gr.Button
    sure: gr.Row
    really: gr.Button
    file: gr.DownloadButton


def build_more_fold(run_id: gr.Textbox) -> MoreFold:
    """The fold and the events that stay in it; saving and deleting are wired by the caller as well."""
    with gr.Accordion(
        "More about this run", open=False, visible=False, elem_classes="bs-fold", elem_id="more"
    ) as fold:
        with gr.Row(elem_classes="bs-named"):
            name = gr.Textbox(label="Name", max_lines=1, min_width=200, elem_id="run-name")
            notes = gr.Textbox(
                label="Notes", lines=1, max_lines=6, min_width=200, elem_id="run-notes",
                placeholder="What it is for, what you saw",
            )  # fmt: skip
        with gr.Row(elem_classes="bs-actions"):
            save = gr.Button("Save name and notes", elem_id="save-run")
            copy = gr.Button("Copy settings into the form", elem_id="copy-settings")
            archive = gr.Button("Download as zip", elem_id="download-run")
            delete = gr.Button("Delete", elem_id="delete", elem_classes="bs-last")
        with gr.Row(visible=False, elem_classes="bs-actions bs-confirm") as sure:
            asked = gr.HTML("", apply_default_css=False)
            really = gr.Button("Delete for good", variant="stop", elem_id="delete-for-good")
            keep = gr.Button("Keep it")
        other = gr.Dropdown([("none", "")], value="", label="Compare with another run", elem_id="other-run")
        pair = gr.HTML("", apply_default_css=False, elem_id="pair")
        with gr.Accordion("As code", open=False, elem_classes="bs-fold", elem_id="run-code") as code_fold:
            codes = code_boxes(LANGUAGES, max_lines=20)
    copy.click(show_errors(say_copied), run_id, None, **QUIET).success(None, None, None, js=TO_SETTINGS)
    file = gr.DownloadButton("Run as a file", visible="hidden", elem_id="run-file")

    whenever(run_id.change, name_and_notes, run_id, [name, notes], **QUIET)
    whenever([run_id.change, fold.expand], others, run_id, other, **QUIET)
    code_fold.expand(as_code, run_id, codes, **QUIET)
    whenever(run_id.change, closed_code, None, code_fold, **QUIET)
    whenever([run_id.change, other.change], show_errors(compared), [run_id, other], pair, **QUIET)
    archive.click(show_errors(care.download), run_id, file, api_name="download", **BUSY).success(
        None, None, None, js=DOWNLOAD
    )
    delete.click(show_errors(ask), run_id, [sure, asked], **QUIET)
    whenever([keep.click, run_id.change], closed, None, sure, **QUIET)
    return MoreFold(fold, (name, notes), copy, save, sure, really, file)


@needs("see runs")
def name_and_notes(run_id: str, request: gr.Request | None = None) -> tuple[str, str]:
    """The run's name and notes, to be changed."""
    try:
        run = find_run(run_id, who.person(request).owner)
        return run.name, state_of(run).notes
    except BertspaceError:
        return "", ""


@needs("see runs")
def others(run_id: str, request: gr.Request | None = None) -> Any:
    """The runs that there are to compare with, by name and by when they were made."""
    lines = [line for line in run_lines(who.person(request).owner) if line.id != run_id]
    named = [(f"{line.name} · {moment(line.created)}", line.id) for line in lines]
    return gr.Dropdown(choices=[("none", ""), *named], value="", interactive=bool(lines))


@needs("see runs")
def say_copied(run_id: str, request: gr.Request | None = None) -> None:
    """That the form above has the run's settings now, since the form may be out of sight."""
    run = find_run(run_id, who.allowed(request, "see runs").owner)
    gr.Info(f"The form above has the settings of {text(run.name)} now.", title="Copied")


@needs("see runs")
def as_code(run_id: str, request: gr.Request | None = None) -> list[str]:
    """The command, the YAML and the script of the run; what is wrong, where they cannot be made."""
    owner = who.person(request).owner
    texts = []
    for written in (export.command, export.yaml_text, export.script):
        try:
            texts.append(written(find_run(run_id, owner)))
        except BertspaceError as error:
            texts.append(f"# {error}")
    return texts


@needs("see runs")
def closed_code() -> Any:
    """The fold put away, since it shows another run's."""
    return gr.Accordion(open=False)


@needs("see runs")
def compared(run_id: str, other: str, request: gr.Request | None = None) -> str:
    """The two runs side by side; nothing while none is chosen."""
    if not other or other == run_id:
        return ""
    owner = who.allowed(request, "see runs").owner
    first, second = find_run(run_id, owner), find_run(other, owner)
    return render_pair.draw_pair(comparison.compare(first, second), first.name, second.name)


@needs("manage runs")
def ask(run_id: str, request: gr.Request | None = None) -> tuple[Any, str]:
    """Whether it is meant, and what it frees."""
    run = care.managed(run_id, request)
    ends = " It is at work now, and ends with that." if run.is_locked() else ""
    words = f"Delete this run, its model and its copy of the rows? That frees {size(engine.size(run))}.{ends}"
    return gr.Row(visible=True), f"<p>{text(words)}</p>"


@needs("manage runs")
def closed() -> Any:
    """The question put away."""
    return gr.Row(visible=False)
