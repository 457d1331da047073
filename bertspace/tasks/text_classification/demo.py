"""A page for one model. Made with bertspace; yours to change."""

import gradio as gr
from transformers import pipeline

# Settings
MODEL = "owner/name"  # its id on the Hub
TITLE = "name"
PAIRS = False  # whether it classifies pairs of texts
EXAMPLES = [["A text of yours."]]  # each of them: a text, or two
# End of the settings

classify = pipeline("text-classification", model=MODEL, truncation=True)


def answer(text: str, pair: str = "") -> dict[str, float]:
    """Every label of the text, or of the pair of texts, with its probability."""
    inputs = {"text": text, "text_pair": pair} if PAIRS else text
    return {each["label"]: each["score"] for each in classify(inputs, top_k=None)}


gr.Interface(
    answer,
    [gr.Textbox(label="Text"), gr.Textbox(label="Second text")][: 1 + PAIRS],
    gr.Label(label="Answer"),
    title=TITLE,
    examples=EXAMPLES,
    cache_examples=False,
    flagging_mode="never",
    api_name="answer",
).launch()
