"""Old checkpoints: pickles that hold tensors and those that do not, and TensorFlow's original BERT.

TensorFlow is stood in for by a package of two functions that reads what a test has written; with the real
one installed, the last tests write and read checkpoints with it.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertspace import cli, models
from bertspace.errors import ModelError
from bertspace.models.inference import predict
from bertspace.models.legacy import tensorflow as tf_checkpoint
from bertspace.models.legacy.bert import is_cased
from bertspace.models.legacy.checkpoints import default_output, import_checkpoint, unpickled
from tests.support import ROOT

CONFIG = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
CONFIG |= {"intermediate_size": 48, "max_position_embeddings": 40, "type_vocab_size": 2}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "paris", "the", "rome", "capital", "##s"]


def bert(kind: str, **settings: Any) -> Any:
    """A random BERT of one of transformers' classes; every number differs from every other."""
    import torch
    import transformers

    config = transformers.BertConfig(**CONFIG, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = getattr(transformers, kind)(config).eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    return model


def old_folder(folder: Path, model: Any, state: Mapping[str, Any] | None = None, **config: Any) -> Path:
    """A folder as transformers saved it before safetensors."""
    import torch

    folder.mkdir()
    torch.save(state or model.state_dict(), folder / "pytorch_model.bin")
    settings = model.config.to_dict() | {"architectures": [type(model).__name__]} | config
    settings = {key: value for key, value in settings.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(settings))
    write_vocabulary(folder)
    return folder


def write_vocabulary(folder: Path, words: list[str] = WORDS) -> None:
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def same_weights(folder: Path, model: Any) -> bool:
    """Whether the class of the model, loaded from the folder, has all its weights bit for bit."""
    import torch

    with models.quiet():
        found, report = type(model).from_pretrained(folder, output_loading_info=True, dtype="auto")
    assert not report["missing_keys"]
    wanted = model.state_dict()
    loaded = found.state_dict()
    return loaded.keys() == wanted.keys() and all(torch.equal(loaded[name], wanted[name]) for name in wanted)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def refused(folder: Path, **options: Any) -> str:
    """What an import says that makes nothing, and leaves nothing behind."""
    before = files(folder.parent)
    with pytest.raises(ModelError) as caught:
        import_checkpoint(folder, **options)
    assert files(folder.parent) == before
    return str(caught.value)


# pytorch_model.bin


def test_pickled_weights_become_the_same_model_in_safetensors(tmp_path: Path) -> None:
    model = bert("BertForMaskedLM")
    old = old_folder(tmp_path / "old", model)
    done = import_checkpoint(old)
    assert done.folder == default_output(old) == tmp_path / "old-safetensors"
    assert (done.kind, done.architectures, done.left_out) == ("pytorch", ("BertForMaskedLM",), ())
    assert done.parameters == model.num_parameters()
    assert same_weights(done.folder, model)
    assert files(old) == {"config.json", "pytorch_model.bin", "vocab.txt"}
    weights = (done.folder / "model.safetensors").stat().st_size
    assert weights < 4 * model.num_parameters() + 8192  # the tied word embeddings stand in it once
    assert predict(str(done.folder), ["paris [MASK]"], top_k=1)


def test_layer_norms_of_2018_are_renamed(tmp_path: Path) -> None:
    model = bert("BertForMaskedLM")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in model.state_dict().items()
    }
    assert any(name.endswith("gamma") for name in renamed)
    done = import_checkpoint(old_folder(tmp_path / "old", model, renamed))
    assert same_weights(done.folder, model)


def test_a_pickle_that_runs_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    import torch

    marker = tmp_path / "ran"

    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, (f"touch {marker}",))

    model = bert("BertModel")
    old = old_folder(tmp_path / "old", model, {**model.state_dict(), "extra": Planted()})
    assert "holds more than tensors, and nothing of it was run" in refused(old)
    torch.save(
        {**model.state_dict(), "extra": Planted()},
        old / "pytorch_model.bin",
        _use_new_zipfile_serialization=False,
    )
    assert "nothing of it was run" in refused(old)
    assert not marker.exists()
    torch.load(old / "pytorch_model.bin", weights_only=False)  # the trap does work
    assert marker.exists()


def test_a_pickle_of_before_zip_files_is_read(tmp_path: Path) -> None:
    import torch

    model = bert("BertModel")
    old = old_folder(tmp_path / "old", model)
    torch.save(model.state_dict(), old / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert same_weights(import_checkpoint(old).folder, model)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x80\x02}q\x00.", b"no pickle"])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is"):
        unpickled(tmp_path / "pytorch_model.bin")


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    old = old_folder(tmp_path / "old", bert("BertModel"), {"state_dict": {}})
    assert "is no state dict" in refused(old)


def test_shards_are_put_together(tmp_path: Path) -> None:
    import torch

    model = bert("BertForSequenceClassification", num_labels=3)
    old = old_folder(tmp_path / "old", model)
    (old / "pytorch_model.bin").unlink()
    names = sorted(model.state_dict())
    shards = {"pytorch_model-1-of-2.bin": names[::2], "pytorch_model-2-of-2.bin": names[1::2]}
    for file, held in shards.items():
        torch.save({name: model.state_dict()[name] for name in held}, old / file)
    places = {name: file for file, held in shards.items() for name in held}
    (old / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    assert same_weights(import_checkpoint(old).folder, model)


@pytest.mark.parametrize("name", ["../secret.bin", "absent.bin", "/etc/passwd"])
def test_an_index_names_files_of_its_folder_only(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.bin").write_bytes(b"")
    old = old_folder(tmp_path / "old", bert("BertModel"))
    (old / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    assert f"names {name}, which is not in the folder" in refused(old)


def test_a_classifier_keeps_its_labels_and_its_precision(tmp_path: Path) -> None:
    model = bert("BertForSequenceClassification", id2label={0: "ham", 1: "spam"}).half()
    done = import_checkpoint(old_folder(tmp_path / "old", model))
    assert same_weights(done.folder, model)
    [[found]] = predict(str(done.folder), ["the capital"])
    assert set(found.scores) == {"ham", "spam"}


def test_another_family_is_imported_by_its_own_class(tmp_path: Path, tiny_bert: Path) -> None:
    import torch
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    sizes = {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 40}
    model = DistilBertForMaskedLM(DistilBertConfig(vocab_size=60, **sizes))
    old = old_folder(tmp_path / "old", model)
    for path in tiny_bert.glob("tokenizer*"):
        (old / path.name).write_bytes(path.read_bytes())
    done = import_checkpoint(old)
    assert same_weights(done.folder, model)
    assert done.lower_case is None  # the folder's own tokenizer
    assert files(done.folder) == {"config.json", "model.safetensors", "vocab.txt"} | {
        path.name for path in tiny_bert.glob("tokenizer*")
    }
    assert torch.equal(model.distilbert.embeddings.word_embeddings.weight, model.vocab_projector.weight)


def test_both_heads_of_the_pretraining_are_kept(tmp_path: Path) -> None:
    """Under the name that says that it fills masks, as on the Hub; the other head loads by its class."""
    model = bert("BertForPreTraining")
    done = import_checkpoint(old_folder(tmp_path / "old", model, architectures=["BertForMaskedLM"]))
    assert done.architectures == ("BertForMaskedLM", "BertForPreTraining")
    assert same_weights(done.folder, model)
    assert predict(str(done.folder), ["paris [MASK]"], top_k=1)


def test_a_folder_of_before_model_types_is_understood(tmp_path: Path) -> None:
    """pytorch_pretrained_bert: bert_config.json alone, which names neither type nor architecture."""
    model = bert("BertForSequenceClassification", num_labels=5)
    old = old_folder(tmp_path / "old", model)
    (old / "config.json").unlink()
    (old / "bert_config.json").write_text(json.dumps(CONFIG))
    done = import_checkpoint(old)
    assert done.architectures == ("BertForSequenceClassification",)
    assert same_weights(done.folder, model)


def test_a_pooler_that_is_not_there_is_not_made_up(tmp_path: Path) -> None:
    from safetensors import safe_open

    model = bert("BertModel")
    state = {name: value for name, value in model.state_dict().items() if "pooler" not in name}
    done = import_checkpoint(old_folder(tmp_path / "old", model, state))
    with safe_open(done.folder / "model.safetensors", "pt") as held:
        assert set(held.keys()) == set(state)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "code of its own": ({"auto_map": {"AutoModel": "x.Y"}}, "needs code of its own"),
    "another size": (
        {"hidden_size": 64},
        r"word_embeddings.weight is (60, 32), and config.json asks for (60",
    ),
    "more layers": ({"num_hidden_layers": 3}, "lacks weights of a BertForMaskedLM: bert.encoder.layer.2"),
    "a billion layers": ({"num_hidden_layers": 10**9}, "says num_hidden_layers: 1,000,000,000"),
    "a word for a number": ({"hidden_size": "many"}, "which is no number"),
    "heads that do not divide": ({"num_attention_heads": 5}, "do not fit config.json"),
    "an unknown function": ({"hidden_act": "nope"}, "do not fit config.json"),
    "a decoder": ({"model_type": "gpt2"}, "is no encoder"),
    "a class of another type": ({"architectures": ["GPT2Model"]}, "names no architecture of the type bert"),
    "no class at all": ({"architectures": ["__import__"]}, "names no architecture of the type bert"),
    "a head that is not there": ({"architectures": ["BertForTokenClassification"]}, "lacks weights of a"),
    "too few words": ({"vocab_size": 5}, "vocab.txt has 11 words, and the model 5"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_configuration_that_does_not_fit_is_told(tmp_path: Path, case: str) -> None:
    changed, said = WRONG[case]
    assert said in refused(old_folder(tmp_path / "old", bert("BertForMaskedLM"), **changed))


def test_a_tokenizer_configuration_that_points_elsewhere_is_not_obeyed(tmp_path: Path) -> None:
    old = old_folder(tmp_path / "old", bert("BertModel"))
    pointing = {"vocab_file": "/etc/passwd", "vocab": "/etc/passwd", "do_lower_case": True}
    (old / "tokenizer_config.json").write_text(json.dumps(pointing))
    made = import_checkpoint(old).folder
    assert json.loads((made / "tokenizer_config.json").read_text()) == {"do_lower_case": True}


# Folders


def test_an_output_that_has_something_is_refused_and_an_empty_one_filled(tmp_path: Path) -> None:
    old = old_folder(tmp_path / "old", bert("BertModel"))
    output = tmp_path / "deep" / "new"
    assert import_checkpoint(old, output).folder == output
    assert "is there already" in refused(old, output=output)
    (tmp_path / "empty").mkdir()
    assert import_checkpoint(old, tmp_path / "empty").folder == tmp_path / "empty"


def test_a_folder_without_an_old_checkpoint_is_told(tmp_path: Path, tiny_bert: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no old checkpoint" in refused(tmp_path / "empty")
    assert "There is no folder" in refused(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="has safetensors weights already"):
        import_checkpoint(tiny_bert, tmp_path / "new")


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = old_folder(tmp_path / "old", bert("BertForMaskedLM"))
    assert cli.main(["import", str(old), "--json", "--no-lower-case"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["folder"] == str(tmp_path / "old-safetensors")
    assert (document["architectures"], document["lower_case"]) == (["BertForMaskedLM"], False)
    assert cli.main(["import", str(old), "--output", str(tmp_path / "again")]) == 0
    assert "The tokenizer lowers capital letters." in capsys.readouterr().out
    assert cli.main(["import", str(old)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_capital_letters_of_a_vocabulary_make_it_cased() -> None:
    lower = [f"word{number}" for number in range(300)]
    assert not is_cased(["[PAD]", "[UNK]", *lower, "A", "B"])  # strays
    assert is_cased(["[PAD]", *lower, *(f"Name{number}" for number in range(30))])
    assert not is_cased(["[PAD]", "[UNK]"])


# TensorFlow

STAND_IN = """
import numpy

class Reader:
    def __init__(self, file):
        self.variables = numpy.load(file)
    def get_variable_to_shape_map(self):
        return {name: list(self.variables[name].shape) for name in self.variables.files}
    def get_tensor(self, name):
        return self.variables[name]

class train:
    def load_checkpoint(prefix):
        if not open(prefix + ".data-00000-of-00001", "rb").read(1):
            raise ValueError("Data loss: not an sstable")
        return Reader(prefix + ".index")
"""
TRANSPOSED = ("dense.weight", "self.query.weight", "self.key.weight", "self.value.weight")
# The other way round from what is tested, as transformers 4 wrote BERT for TensorFlow.
STEPS = (
    ("layer.", "layer_"),
    ("_embeddings.weight", "_embeddings"),
    (".", "/"),
    ("LayerNorm/weight", "LayerNorm/gamma"),
    ("LayerNorm/bias", "LayerNorm/beta"),
    ("seq_relationship/weight", "seq_relationship/output_weights"),
    ("seq_relationship/bias", "seq_relationship/output_bias"),
    ("predictions/bias", "predictions/output_bias"),
    ("classifier/weight", "output_weights"),
    ("classifier/bias", "output_bias"),
    ("qa_outputs/weight", "cls/squad/output_weights"),
    ("qa_outputs/bias", "cls/squad/output_bias"),
    ("weight", "kernel"),
)


def variables(model: Any) -> dict[str, np.ndarray]:
    """The model's weights as the original scripts name and lay them out, with Adam's moments of each."""
    found = {}
    for torch_name, value in model.state_dict().items():
        if "decoder" in torch_name:
            continue  # tied: the original has one matrix and one bias
        name = torch_name
        for old, new in STEPS:
            if not (new == "kernel" and name.endswith("output_weights")):
                name = name.replace(old, new)
        array = value.numpy()
        found[name] = array.T if torch_name.endswith(TRANSPOSED) else array
        found[f"{name}/adam_m"] = found[f"{name}/adam_v"] = np.zeros_like(found[name])
    return found | {"global_step": np.array(1000)}


@pytest.fixture
def tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "stand-in" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


def write_stand_in(prefix: Path, held: Mapping[str, np.ndarray]) -> None:
    with open(f"{prefix}.index", "wb") as file:
        np.savez(file, **held)  # type: ignore[arg-type]
    Path(f"{prefix}.data-00000-of-00001").write_bytes(b"x")


def original(
    folder: Path,
    held: Mapping[str, np.ndarray],
    write: Callable[[Path, Mapping[str, np.ndarray]], None] = write_stand_in,
    words: list[str] = WORDS,
    name: str = "bert_model.ckpt",
) -> Path:
    """A folder as google-research/bert's scripts leave it."""
    folder.mkdir()
    write(folder / name, held)
    (folder / "bert_config.json").write_text(json.dumps(CONFIG | {"directionality": "bidi"}))
    write_vocabulary(folder, words)
    return folder


KINDS = {
    "BertModel": ("BertModel",),
    "BertForMaskedLM": ("BertForMaskedLM",),
    "BertForNextSentencePrediction": ("BertForNextSentencePrediction",),
    "BertForPreTraining": ("BertForMaskedLM", "BertForPreTraining"),
    "BertForSequenceClassification": ("BertForSequenceClassification",),
    "BertForQuestionAnswering": ("BertForQuestionAnswering",),
}


def with_bert(model: Any) -> dict[str, np.ndarray]:
    """The variables, below bert/ also where transformers' bare encoder has no such prefix."""
    bare = type(model).__name__ == "BertModel"
    return {
        f"bert/{name}" if bare and name != "global_step" else name: value
        for name, value in variables(model).items()
    }


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize("kind", KINDS)
def test_every_head_of_an_original_checkpoint_arrives_weight_by_weight(tmp_path: Path, kind: str) -> None:
    model = bert(kind, **({"num_labels": 4} if "Sequence" in kind else {}))
    done = import_checkpoint(original(tmp_path / "old", with_bert(model)))
    assert (done.kind, done.architectures, done.left_out) == ("tensorflow", KINDS[kind], ())
    assert done.lower_case is True
    assert same_weights(done.folder, model)
    config = json.loads((done.folder / "config.json").read_text())
    assert config["model_type"] == "bert" and "directionality" not in config


@pytest.mark.usefixtures("tensorflow")
def test_an_imported_original_answers_in_the_app(tmp_path: Path) -> None:
    done = import_checkpoint(original(tmp_path / "old", with_bert(bert("BertForPreTraining"))))
    [[found]] = predict(str(done.folder), ["Paris [MASK]"], top_k=3)
    assert len(found.scores) == 3


@pytest.mark.usefixtures("tensorflow")
def test_the_tokenizer_lowers_letters_as_the_vocabulary_or_the_flag_says(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    held = with_bert(bert("BertModel"))
    cased = original(tmp_path / "cased", held, words=[*WORDS, "Paris"])
    done = import_checkpoint(cased)
    assert done.lower_case is False
    assert AutoTokenizer.from_pretrained(done.folder).tokenize("Paris paris") == ["Paris", "paris"]
    done = import_checkpoint(cased, tmp_path / "lowered", lower_case=True)
    tokenizer = AutoTokenizer.from_pretrained(done.folder)
    assert tokenizer.tokenize("Paris capitals") == ["paris", "capital", "##s"]
    assert tokenizer.model_max_length == CONFIG["max_position_embeddings"]


@pytest.mark.usefixtures("tensorflow")
def test_variables_that_are_none_of_berts_are_named(tmp_path: Path) -> None:
    held = with_bert(bert("BertModel")) | {"bert/extra/kernel": np.zeros((2, 2), np.float32)}
    assert import_checkpoint(original(tmp_path / "old", held)).left_out == ("bert/extra/kernel",)


@pytest.mark.usefixtures("tensorflow")
def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    held = {"model/layer-0/.ATTRIBUTES/VARIABLE_VALUE": np.zeros(3, np.float32)}
    assert "is no original BERT: it holds model/layer-0" in refused(original(tmp_path / "old", held))


@pytest.mark.usefixtures("tensorflow")
def test_a_checkpoint_that_cannot_be_read_is_told_in_its_readers_words(tmp_path: Path) -> None:
    old = original(tmp_path / "old", with_bert(bert("BertModel")))
    (old / "bert_model.ckpt.data-00000-of-00001").write_bytes(b"")
    assert "TensorFlow cannot read bert_model.ckpt: ValueError: Data loss" in refused(old)


def test_without_tensorflow_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = original(tmp_path / "old", with_bert(bert("BertModel")))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install tensorflow-cpu" in refused(old)


def test_an_original_checkpoint_needs_its_configuration(tmp_path: Path) -> None:
    old = original(tmp_path / "old", {})
    (old / "bert_config.json").write_text(json.dumps({"hidden_size": 32}))
    assert "does not say vocab_size, num_hidden_layers" in refused(old)
    (old / "bert_config.json").unlink()
    assert "has no bert_config.json" in refused(old)


def test_the_checkpoint_of_several_is_the_latest_or_the_named_one(tmp_path: Path) -> None:
    for name in ("model.ckpt-10", "model.ckpt-20"):
        (tmp_path / f"{name}.index").write_bytes(b"")
    assert tf_checkpoint.prefix_of(tmp_path / "model.ckpt-10") == tmp_path / "model.ckpt-10"
    with pytest.raises(ModelError, match="several checkpoints: model.ckpt-10, model.ckpt-20"):
        tf_checkpoint.prefix_of(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/gone/model.ckpt-20"\n')
    assert tf_checkpoint.prefix_of(tmp_path) == tmp_path / "model.ckpt-20"
    (tmp_path / "bert_model.ckpt.index").write_bytes(b"")
    assert tf_checkpoint.prefix_of(tmp_path) == tmp_path / "bert_model.ckpt"


@pytest.mark.parametrize(
    "name",
    ["global_step", "beta1_power", "output_weights/adam_m", "bert/pooler/dense/kernel/adam_v"]
    + ["bert/pooler/dense/bias/AdamWeightDecayOptimizer_1", "cls/squad/output_bias/Adam"],
)
def test_what_training_keeps_beside_the_weights_is_no_weight(name: str) -> None:
    assert tf_checkpoint.is_slot(name) and not tf_checkpoint.torch_name(name)


@pytest.mark.slow
def test_importing_the_modules_imports_no_tensorflow() -> None:
    code = (
        "import sys; from bertspace.models.legacy import checkpoints, tensorflow; "
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


# TensorFlow itself

WRITER = """
import sys
import numpy, tensorflow
tensorflow.compat.v1.disable_eager_execution()
held = numpy.load(sys.argv[1])
with tensorflow.compat.v1.Session() as session:
    for name in held.files:
        tensorflow.compat.v1.get_variable(name, initializer=held[name], use_resource=False)
    session.run(tensorflow.compat.v1.global_variables_initializer())
    tensorflow.compat.v1.train.Saver().save(session, sys.argv[2], write_meta_graph=False)
"""


def write_with_tensorflow(prefix: Path, held: Mapping[str, np.ndarray]) -> None:
    """The checkpoint as Saver writes it, by a process of its own."""
    np.savez(f"{prefix}.npz", **held)  # type: ignore[arg-type]
    command = [sys.executable, "-c", WRITER, f"{prefix}.npz", str(prefix)]
    subprocess.run(command, check=True, timeout=300, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    Path(f"{prefix}.npz").unlink()


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="needs the extra `tensorflow` (tensorflow-cpu)"
)
@pytest.mark.parametrize(
    "kind", ["BertForPreTraining", "BertForSequenceClassification", "BertForQuestionAnswering"]
)
def test_what_tensorflow_wrote_arrives_weight_by_weight(tmp_path: Path, kind: str) -> None:
    model = bert(kind)
    done = import_checkpoint(original(tmp_path / "old", with_bert(model), write_with_tensorflow))
    assert (done.architectures, done.left_out) == (KINDS[kind], ())
    assert same_weights(done.folder, model)
