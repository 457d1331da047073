"""The "as code" fold: what is on the page as a command line, a Python client call and plain transformers.

`code_fold` draws it; the tasks' pages and Compare fill it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import gradio as gr

from bertspace.runs import LOCAL_OWNER

Code = tuple[str, str, str]


def code_fold() -> list[gr.Code]:
    """A closed fold with the three codes; returns them as a handler's outputs."""
    with gr.Accordion("As code", open=False, elem_classes="bs-card bs-quiet"):
        languages = {"Command line": "shell", "Python client": "python", "Plain transformers": "python"}
        return code_boxes(languages)


def code_boxes(languages: Mapping[str, Any], **options: Any) -> list[gr.Code]:
    """Codes to be read and copied, by their labels."""
    return [
        gr.Code(
            label=label,
            language=language,
            interactive=False,
            lines=1,
            show_line_numbers=False,
            elem_classes="pg-code",
            **options,
        )
        for label, language in languages.items()
    ]


def command(verb: str, *words: str, **flags: object) -> str:
    """A line for the shell."""
    given = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in flags.items()]
    return " ".join(["python -m bertspace", verb, *map(shlex.quote, words), *given])


def client(url: str, api_name: str, **values: object) -> str:
    """A call of the page's API."""
    arguments = "".join(f"    {name}={value!r},\n" for name, value in values.items())
    return (
        "from gradio_client import Client\n\n"
        f'client = Client("{url}")\n'
        f'print(client.predict(\n{arguments}    api_name="/{api_name}",\n))'
    )


def source(model: str) -> str:
    """What transformers is to load: a run's folder under BERTSPACE_HOME's default, or the Hub id."""
    if model.startswith("run:"):
        owned = model.removeprefix("run:")
        return f"runs/{owned if '/' in owned else f'{LOCAL_OWNER}/{owned}'}/model"
    return model.partition("@")[0]


def page_url(request: gr.Request | None) -> str:
    """The address that the visitor's browser has the page under."""
    origin = request.headers.get("origin") if request else None
    return origin or "http://127.0.0.1:7860"
