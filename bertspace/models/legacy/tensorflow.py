"""An original TensorFlow BERT checkpoint, read in a process of its own and given the names of transformers.

TensorFlow is only ever imported by that process (`python -m bertspace.models.legacy.tensorflow`, PREFIX and
FILE): what it takes of memory goes with it. It copies the weights, one at a time, to a .npz file; nothing is
unpickled.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bertspace import processes
from bertspace.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

INSTALL = "pip install tensorflow-cpu"
# What training keeps beside the weights: Adam's two moments of each, under either name, and counters.
_SLOTS = re.compile(
    r"(.*/)?(adam_[mv]|AdamWeightDecayOptimizer(_1)?|Adam(_1)?|global_step|beta[12]_power|good_steps|loss_scale)"
)
_HEADS = {  # of run_pretraining.py, run_classifier.py and run_squad.py
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
    "cls/squad/output_weights": "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
}
_BODY = re.compile(
    r"bert/embeddings/((word|position|token_type)_embeddings|LayerNorm/(gamma|beta))"
    r"|bert/encoder/layer_\d+/(attention/self/(query|key|value)|attention/output/dense|intermediate/dense"
    r"|output/dense)/(kernel|bias)"
    r"|bert/encoder/layer_\d+/(attention/)?output/LayerNorm/(gamma|beta)"
    r"|bert/pooler/dense/(kernel|bias)"
    r"|cls/predictions/transform/(dense/(kernel|bias)|LayerNorm/(gamma|beta))"
)
_ENDS = {"kernel": "weight", "gamma": "weight", "beta": "bias"}


class Reader(Protocol):
    """What is asked of tf.train.load_checkpoint's answer."""

    def get_variable_to_shape_map(self) -> Mapping[str, Any]: ...

    def get_tensor(self, name: str) -> np.ndarray: ...


def prefix_of(folder: Path) -> Path | None:
    """What the checkpoint's files in a folder are called up to .index; None where there is none.

    bert_model.ckpt, or the one that the file `checkpoint` calls the latest, or the only one. A path up to
    .index is its own answer. Raises ModelError where several could be meant.
    """
    if Path(f"{folder}.index").is_file():
        return folder
    found = {path.name.removesuffix(".index") for path in folder.glob("*.index")}
    for name in ("bert_model.ckpt", _latest(folder / "checkpoint")):
        if name in found:
            return folder / name
    if len(found) > 1:
        raise ModelError(
            f"{folder.name} holds several checkpoints: {', '.join(sorted(found))}.",
            hint=f"Name one: {folder.name}/{min(found)}",
        )
    return folder / found.pop() if found else None


def _latest(file: Path) -> str:
    if not file.is_file():
        return ""
    line = re.search(r'^model_checkpoint_path: "([^"]+)"', file.read_text(errors="replace"), re.M)
    return Path(line[1]).name if line else ""


def is_slot(name: str) -> bool:
    """Whether a variable is the optimizer's, and no weight of the model."""
    return _SLOTS.fullmatch(name) is not None


def torch_name(name: str) -> str:
    """What transformers calls a variable of the original BERT; "" for one that is none of its."""
    if name in _HEADS:
        return _HEADS[name]
    if not _BODY.fullmatch(name):
        return ""
    *parts, last = re.sub(r"/layer_(\d+)/", r"/layer/\1/", name).split("/")
    last = f"{last}.weight" if last.endswith("_embeddings") else _ENDS.get(last, last)
    return ".".join([*parts, last])


def read(prefix: Path, file: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """(the weights by transformers' names, the variables that are no part of BERT); raises ModelError.

    file: where the weights are put for as long as they are read, a .npz.
    """
    import numpy as np

    copy_in_child(prefix, file)
    with np.load(file, allow_pickle=False) as variables:
        return translated(variables)


def translated(variables: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """`read`'s answer for variables at hand: dense kernels are (in, out) there and (out, in) here."""
    import numpy as np

    weights, others = {}, []
    for name in variables:
        if called := torch_name(name):
            array = variables[name]
            weights[called] = np.ascontiguousarray(array.T if name.endswith("/kernel") else array)
        else:
            others.append(name)
    if "bert.embeddings.word_embeddings.weight" not in weights:
        some = ", ".join(sorted(others)[:3]) or "nothing"
        raise ModelError(
            f"The checkpoint is no original BERT: it holds {some}, and no bert/embeddings/word_embeddings.",
            hint="Only checkpoints of google-research/bert's scripts can be read.",
        )
    return weights, sorted(others)


def copy_in_child(prefix: Path, file: Path) -> None:
    """The checkpoint's weights as a .npz file, by a process that imports TensorFlow; raises ModelError."""
    if importlib.util.find_spec("tensorflow") is None:
        raise ModelError(
            "Reading a TensorFlow checkpoint needs TensorFlow, which is not installed.",
            hint=f"Run: {INSTALL}",
        )
    environment = processes.child_environment(CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3")
    done = subprocess.run(
        [sys.executable, "-m", "bertspace.models.legacy.tensorflow", str(prefix), str(file)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1][:300]
        raise ModelError(
            f"TensorFlow cannot read {prefix.name}: {why}", hint="Are all of its .data files there, in full?"
        )


def copy(reader: Reader, file: Path) -> None:
    """Write every variable but the optimizer's to a .npz file, with one at a time in memory."""
    import numpy as np

    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(reader.get_variable_to_shape_map()):
            if is_slot(name):
                continue
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(reader.get_tensor(name)), allow_pickle=False)


def main(prefix: str, file: str) -> None:
    tensorflow = importlib.import_module("tensorflow")  # an extra: no part of what is declared
    copy(tensorflow.train.load_checkpoint(prefix), Path(file))


if __name__ == "__main__":
    main(*sys.argv[1:])
