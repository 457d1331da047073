"""Strangers' models against the running app: a visitor pulls them from the Hub and asks them, as anybody may.

The app is open to a network and knows secrets. Nothing that a model's files say shows one, holds the app up,
or takes anything from the next visitor.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import until
from tests.support.app import REFUSED, Answer, App, start, wait_for

pytestmark = pytest.mark.slow

KEY = "the-owners-key-of-this-app-0123"
SECRETS = {"HF_TOKEN": "hf_the_tokens_of_the_host", "DATABASE_URL": "postgres://user:the-password@db/x"}
SECONDS = 10  # of a call, in this app
TEXT = "the ship is [MASK]"


@dataclass(frozen=True)
class Open:
    """The app that is open to a network, and the Hub beside it."""

    app: App
    hub: Any
    process: Any

    def ask(self, name: str, *values: Any) -> Answer:
        """An endpoint's answer, as a program without a page asks for it."""
        path = f"/gradio_api/call/{name}"
        page = {"session_hash": "of-the-pulls"} if name in ("pull", "pulling") else {}  # a pull is a page's
        begun = self.app.post(path, {"data": list(values), **page})
        if begun.status != 200:
            return begun
        stream = self.app.send("GET", f"{path}/{json.loads(begun.text)['event_id']}").text
        kind, _, data = stream.strip().rpartition("\n\n")[2].partition("\ndata: ")
        if kind == "event: error":
            return Answer(200, stream, None, REFUSED)
        return Answer(200, stream, json.loads(data))

    def pulled(self, model: str) -> str:
        """Pull it as a visitor; "done", or why it did not come."""
        begun = self.ask("pull", model)
        if begun.title:
            return begun.text

        def ended() -> str:
            told = self.ask("pulling", model).data[0]
            return "" if told["state"] == "working" else str(told["error"] or told["state"])

        return str(until(ended))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    from tests.support.hub import Hub

    folder = tmp_path_factory.mktemp("hostile-models")
    settings = {
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "BERTSPACE_OWNER_KEY": KEY,
        "BERTSPACE_MAX_SECONDS": str(SECONDS),
        "HF_HOME": str(folder / "huggingface"),
    } | SECRETS
    with Hub(folder / "hub", int(os.environ["HF_ENDPOINT"].rpartition(":")[2])) as hub:
        hub.user("evil")
        app, process = start(folder, folder / "home", **settings)
        try:
            wait_for(app, process)
            yield Open(app, hub, process)
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(autouse=True)
def nothing_shows(opened: Open) -> Iterator[None]:
    """After every test the app lives, and has written no traceback."""
    yield
    assert opened.process.poll() is None
    assert "Traceback" not in (log := opened.app.log.read_text()), log[-3000:]


def check(answer: Answer) -> None:
    for secret in (KEY, *SECRETS.values(), "root:x:0", "Traceback", os.environ["PATH"], str(Path.home())):
        assert secret not in answer.text, answer.text[:500]


Change = Callable[[Path], None]


def edited(file: str, **changes: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / file
        before = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps(before | changes))

    return change


def written(file: str, content: bytes) -> Change:
    return lambda folder: (folder / file).write_bytes(content) and None


def without_tokenizer_json(folder: Path) -> None:
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer.json").unlink()


def many_heads(folder: Path) -> None:
    """A small file, whose attention takes gigabytes."""
    from transformers import DebertaV2Config, DebertaV2ForMaskedLM

    DebertaV2ForMaskedLM(
        DebertaV2Config(
            vocab_size=400, hidden_size=64, num_attention_heads=64, num_hidden_layers=2, intermediate_size=8,
            max_position_embeddings=100_000, position_biased_input=False,
        )
    ).save_pretrained(folder)  # fmt: skip
    edited("tokenizer_config.json", model_max_length=100_000)(folder)


def many_layers(folder: Path) -> None:
    """A small file, whose layers are gone through for minutes."""
    from transformers import AlbertConfig, AlbertForMaskedLM

    AlbertForMaskedLM(
        AlbertConfig(
            vocab_size=400, embedding_size=8, hidden_size=256, num_attention_heads=4, num_hidden_layers=9000,
            intermediate_size=512, max_position_embeddings=512,
        )
    ).save_pretrained(folder)  # fmt: skip


def panicking(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"] = {"type": "Unigram", "vocab": [["[UNK]", -1.0], ["[MASK]", -1.0]], "unk_id": None}
    content["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(?<=a+)b"}, "behavior": "Isolated"}
    path.write_text(json.dumps(content))


def endless_text(folder: Path) -> None:
    """A normalizer that makes ten billion characters of a text."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    grow = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1900}
    content["normalizer"] = {"type": "Sequence", "normalizers": [grow] * 4}
    path.write_text(json.dumps(content))
    edited("tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")(folder)


MODELS: dict[str, tuple[Change, ...]] = {
    "vocab": (without_tokenizer_json, edited("tokenizer_config.json", vocab="/proc/self/environ")),
    "init-inputs": (
        without_tokenizer_json,
        edited("tokenizer_config.json", init_inputs=["/proc/self/environ"]),
    ),
    "map-vocab-file": (edited("special_tokens_map.json", vocab_file="/proc/self/environ"),),
    "map-vocab": (without_tokenizer_json, edited("special_tokens_map.json", vocab="/proc/self/environ")),
    "inner-vocab": (edited("tokenizer.json", model={"type": "WordPiece", "vocab": "/proc/self/environ"}),),
    "parents-environment": (
        without_tokenizer_json,
        edited("tokenizer_config.json", vocab=f"/proc/{os.getppid()}/environ"),
    ),
    "brackets": (written("tokenizer.json", b'{"a": [' + b"[]," * 8_000_000 + b"[]]}"),),
    "deep": (written("tokenizer_config.json", b'{"a":' * 200_000),),
    "labels": (edited("config.json", id2label={str(each): "x" * 400 for each in range(9000)}),),
    "panic": (panicking,),
    "growing-text": (endless_text,),
    "layers": (many_layers,),
    "heads": (many_heads,),
}
LONG = {"heads": "a " * 4500, "growing-text": "a " * 200, "layers": "the " * 100}


@pytest.mark.parametrize("name", MODELS)
def test_a_strangers_model_shows_nothing_and_holds_nobody_up(
    opened: Open, tiny_bert: Path, tmp_path: Path, name: str
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / name))
    for change in MODELS[name]:
        change(folder)
    opened.hub.put(f"evil/{name}", folder)
    said = opened.pulled(f"evil/{name}")
    check(Answer(200, said))
    begin = time.monotonic()
    answer = opened.ask("fill_mask", f"{LONG.get(name, '')}{TEXT}", f"evil/{name}", 20)
    assert time.monotonic() - begin < 12 * SECONDS, answer.text[:500]
    check(answer)
    assert answer.refused or answer.data[0][0]["scores"]
    assert opened.app.send("GET", "/config").status == 200


def test_a_weights_index_that_leads_outside_brings_nothing(
    opened: Open, tiny_bert: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "shards"))
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    for place, shard in enumerate(
        ("../../../models--evil--vocab/snapshots/x/model.safetensors", "/etc/passwd")
    ):
        edited("model.safetensors.index.json", metadata={}, weight_map={"a": shard})(folder)
        opened.hub.put(f"evil/shards-{place}", folder)
        said = opened.pulled(f"evil/shards-{place}")
        assert "names other files than it has" in said
        check(opened.ask("fill_mask", TEXT, f"evil/shards-{place}", 5))


def test_while_a_strangers_model_computes_others_are_answered(
    opened: Open, tiny_bert: Path, tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    slow = Path(shutil.copytree(tiny_bert, tmp_path / "slow"))
    many_layers(slow)
    opened.hub.put("evil/slow", slow)
    opened.hub.put("evil/good", tiny_bert)
    assert opened.pulled("evil/slow") == opened.pulled("evil/good") == "done"
    assert opened.ask("fill_mask", TEXT, "evil/good", 5).data[0][0]["scores"]
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(opened.ask, "fill_mask", "the " * 100 + TEXT, "evil/slow", 5)
        time.sleep(0.5)
        begin = time.monotonic()
        assert opened.ask("fill_mask", TEXT, "evil/good", 5).data[0][0]["scores"]
        assert time.monotonic() - begin < SECONDS
        assert waiting.result(60).refused
