"""A page for one model. Made with bertspace; yours to change."""

import gradio as gr
from transformers import pipeline

# Settings
MODEL = "owner/name"  # its id on the Hub
TITLE = "name"
EXAMPLES = [["The [MASK] was there."]]  # each of them: a text
# End of the settings

fill_mask = pipeline("fill-mask", model=MODEL)


def answer(text: str) -> dict[str, float]:
    """The likeliest words in the place of [MASK], with their probabilities."""
    mask = fill_mask.tokenizer.mask_token
    text = text.replace("[MASK]", mask)
    if text.count(mask) != 1:
        raise gr.Error("Write one [MASK] into the text.")
    return {each["token_str"].strip(): each["score"] for each in fill_mask(text)}


gr.Interface(
    answer,
    gr.Textbox(label="Text with a [MASK]"),
    gr.Label(label="Answer"),
    title=TITLE,
    examples=EXAMPLES,
    cache_examples=False,
    flagging_mode="never",
    api_name="answer",
).launch()
