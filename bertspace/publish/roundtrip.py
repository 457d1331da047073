"""Pull what was pushed to a fresh folder, and check that it predicts as the run's own model does."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertspace import models
from bertspace.errors import BertspaceError, Cancelled, HubError, without_paths
from bertspace.hub import pulled_fresh as pulled_again
from bertspace.models import apart, tuning
from bertspace.models.inference import checked_answers, predict_by, texts_at_once
from bertspace.publish.run_facts import RunFacts
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, Answer

_log = logging.getLogger(__name__)
ROWS, LONGEST = 20, 2000  # of at most so many characters
CLOSE = 1e-5  # between two probabilities: the same weights give less, a merged adapter about 1e-7


@dataclass(frozen=True)
class Checked:
    """same: every answer; None where it could not be looked at, for the reason in message.

    difference: the largest between two probabilities.
    """

    same: bool | None
    rows: int = 0
    difference: float = 0.0
    message: str = ""


def check(facts: RunFacts, repo_id: str, commit: str, adapter: bool, stopped: Callable[[], bool]) -> Checked:
    """Pull the commit to a folder of its own and predict held-out rows with it.

    Never raises: the push has succeeded, and whatever goes wrong in checking it is said beside that.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="bertspace-check-") as name:
            folder = pulled_again(repo_id, commit, Path(name), stopped)
            return _compared(facts, folder, adapter)
    except Cancelled:
        return Checked(None, message="It was not pulled again: that was cancelled.")
    except HubError as error:
        return Checked(None, message=f"It could not be pulled again: {error.message}")
    except BertspaceError as error:
        return Checked(False, message=f"What was pulled again cannot be used: {error.message}")
    except Exception as error:
        _log.exception("What was pushed could not be checked")
        why = " ".join(without_paths(str(error)).split())[:300]
        return Checked(
            None, message=f"It could not be compared ({type(error).__name__}{f': {why}' if why else ''})."
        )


def _compared(facts: RunFacts, folder: Path, adapter: bool) -> Checked:
    texts, pairs = _inputs(facts)
    own, task = models.of_run(facts.run, facts.config), facts.config.task
    before = predict_by(own, texts, task, pairs)
    # A guest's is as foreign as the run that it was made of.
    kind = "folder" if own.is_trusted else "guest's"
    found = models.Located("what was pushed", folder, kind, max_length=own.max_length)
    after = (
        _adapted(facts.config, own, found, texts, pairs) if adapter else predict_by(found, texts, task, pairs)
    )
    difference = max(_difference(a, b) for a, b in zip(before, after, strict=True))
    if difference <= CLOSE:
        return Checked(True, len(texts), difference)
    return Checked(
        False,
        len(texts),
        difference,
        f"What was pulled again differs from the run's model by up to {difference:.2g} in a probability.",
    )


def _adapted(
    config: TrainConfig,
    own: models.Located,
    pushed: models.Located,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
) -> list[list[Answer]]:
    """What the base says with the adapter that was pushed."""
    named = own.config.get("id2label") or {}
    asked = {
        "task": config.task,
        "labels": [str(named[key]) for key in sorted(named, key=int)],
        "adapter": str(pushed.path),
        "own": own.to_dict(),
        "texts": list(texts),
        "pairs": list(pairs) if pairs else None,
    }
    base = models.locate(config.model)
    found = apart.compute(base, "adapted_answers", asked, reads=(pushed.path, own.path))
    return checked_answers(found, len(texts), config.task)


def adapted_answers(
    located: models.Located,
    *,
    task: str,
    labels: list[str],
    adapter: str,
    own: dict[str, str],
    texts: list[str],
    pairs: list[str] | None,
    seconds: float,
) -> list[list[list[Any]]]:
    """The answers of a base with an adapter, as peft loads it, merged; as `inference.answers` writes them."""
    import torch
    from peft import PeftModel

    model = tuning.load_for_training(located, TASKS[task], tuple(labels))
    with models.quiet():
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload().eval()
    tokenizer = models.load_tokenizer(models.Located.from_dict(own))
    found: list[Sequence[Answer]] = []
    size = texts_at_once(model)
    with torch.inference_mode():
        for part in (slice(start, start + size) for start in range(0, len(texts), size)):
            others = pairs[part] if pairs else None
            found += TASKS[task].predict(model, tokenizer, texts[part], others, 5)
    return [[each.to_list() for each in result] for result in found]


def _difference(before: list[Answer], after: list[Answer]) -> float:
    """1 where the best answers differ, else the largest difference between two scores."""
    return max(a.difference(b) for a, b in zip(before, after, strict=True))


def _inputs(facts: RunFacts) -> tuple[list[str], list[str] | None]:
    """Texts that the run was not trained on, and their second texts."""
    found = held_out_inputs(facts, ROWS, LONGEST) or [(facts.task.placeholder, "")]
    texts, pairs = map(list, zip(*found, strict=True))
    return texts, pairs if any(pairs) else None


def held_out_inputs(facts: RunFacts, most: int, longest: int) -> list[tuple[str, str]]:
    """(text, second text) of rows that the run was not trained on, as a model can be asked them."""
    import pandas as pd

    return facts.task.examples(pd.read_parquet(facts.run.held_out()), most, longest)
