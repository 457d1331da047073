"""The model card of a finished run: described as a frozen dataclass, written by a template.

    card = describe(RunFacts(run), "owner/name", license="apache-2.0", language="en")
    card = run_snippet(card, model_folder)      # what it prints is recorded, or ModelError
    pictures(card, folder)
    (folder / "README.md").write_text(write(card), encoding="utf-8")

`safe_write` does all of it and never stands in a push's way. Nothing is claimed that was not measured.
"""

from bertspace.publish.card.base import base_of, inherited_license
from bertspace.publish.card.content import Base, Card
from bertspace.publish.card.description import describe, shows_rows
from bertspace.publish.card.drawing import pictures
from bertspace.publish.card.front import check_front, metadata
from bertspace.publish.card.render import Written, safe_write, write, write_minimal
from bertspace.publish.card.snippet import run_snippet, usage

__all__ = ["Base", "Card", "Written", "base_of", "check_front", "describe", "inherited_license", "metadata"]
__all__ += ["pictures", "run_snippet", "safe_write", "shows_rows", "usage", "write", "write_minimal"]
