"""The "as code" fold: what is on the page as a command line, a Python client call and plain transformers.

`code_fold` draws it; each of the other public functions gives the three texts for one playground.
"""

from __future__ import annotations

import shlex

import gradio as gr

from bertspace.runs import LOCAL_OWNER

Code = tuple[str, str, str]
STARTER_LINES = """from bertspace import models

# The starter's masked-LM head is a small adapter that comes with bertspace.
starter = models.locate("starter")
model, tokenizer = models.load_model(starter, "fill-mask"), models.load_tokenizer(starter)
"""


def code_fold() -> list[gr.Code]:
    """A closed fold with the three codes; returns them as a handler's outputs."""
    with gr.Accordion("As code", open=False, elem_classes="bs-card bs-quiet"):
        return [
            gr.Code(
                label=label,
                language=language,
                interactive=False,
                lines=1,
                show_line_numbers=False,
                elem_classes="pg-code",
            )
            for label, language in (
                ("Command line", "shell"),
                ("Python client", "python"),
                ("Plain transformers", "python"),
            )
        ]


def fill_mask_code(model: str, text: str, top_k: int, url: str) -> Code:
    load = f'fill = pipeline("fill-mask", model={source(model)!r})\n'
    if model == "starter":
        load = f'{STARTER_LINES}fill = pipeline("fill-mask", model=model, tokenizer=tokenizer)\n'
    return (
        f"python -m bertspace predict {_words(model, text)} --top-k {top_k}",
        _client(url, "fill_mask", text=text, model=model, top_k=top_k),
        f"from transformers import pipeline\n{load}"
        f'print(fill({text!r}.replace("[MASK]", fill.tokenizer.mask_token), top_k={top_k}))',
    )


def classify_code(model: str, text: str, pair: str, url: str) -> Code:
    pair_flag = f" --pair {shlex.quote(pair)}" if pair else ""
    given = {"text": text, "text_pair": pair} if pair else text
    return (
        f"python -m bertspace predict {_words(model, text)}{pair_flag}",
        _client(url, "classify", text=text, model=model, **({"pair": pair} if pair else {})),
        f"from transformers import pipeline\n"
        f'classify = pipeline("text-classification", model={source(model)!r})\n'
        f"print(classify({given!r}, top_k=None))",
    )


def compare_code(base: str, tuned: str, text: str, pair: str, task: str, url: str) -> Code:
    """The plain transformers lines show the tuned model, and the base where it answers by itself."""
    pair_flag = f" --pair {shlex.quote(pair)}" if pair else ""
    plain = (
        fill_mask_code(tuned, text, 5, url)[2]
        if task == "fill-mask"
        else classify_code(tuned, text, pair, url)[2]
    )
    if task == "fill-mask" and base != "starter":
        name = source(base)
        plain += (
            f'\nbase = pipeline("fill-mask", model={name!r})\n'
            f'print(base({text!r}.replace("[MASK]", base.tokenizer.mask_token), top_k=5))'
        )
    return (
        f"python -m bertspace compare {_words(base, tuned, text)}{pair_flag}",
        _client(url, "compare", text=text, tuned=tuned, base=base, **({"pair": pair} if pair else {})),
        plain,
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


def _words(*values: str) -> str:
    return " ".join(map(shlex.quote, values))


def _client(url: str, api_name: str, **values: object) -> str:
    arguments = "".join(f"    {name}={value!r},\n" for name, value in values.items())
    return (
        "from gradio_client import Client\n\n"
        f'client = Client("{url}")\n'
        f'print(client.predict(\n{arguments}    api_name="/{api_name}",\n))'
    )
