"""The command line, on a tiny BERT: its commands, its exit codes, and the one JSON document."""

import argparse
import errno
import io
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bertspace import __version__, cli, files, recipes, runs
from bertspace.cli import words
from bertspace.cli.outcome import SETTINGS, add_settings, given_settings, model_name
from bertspace.cli.train import exit_code, settings, summary
from bertspace.cli.watch import Watch, step_words
from bertspace.errors import BertspaceError, OutOfMemory, RunError
from bertspace.jobs import queue, worker
from bertspace.runs import Run
from bertspace.schema import FIELD_TYPES, RunState, TrainConfig, TrainEvent, as_command
from bertspace.tasks import Answer
from tests.support import ROOT, until

COMMAND = [sys.executable, "-m", "bertspace"]


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"BERTSPACE_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def write_rows(path: Path) -> Path:
    """Forty rows of which a word or two give the label away."""
    good, bad = (
        ("I love this good book", "a happy day by the sea"),
        ("I hate this bad movie", "a sad cold night"),
    )
    lines = [
        f"{text} {number},{label}"
        for number in range(10)
        for texts, label in ((good, "yes"), (bad, "no"))
        for text in texts
    ]
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A folder with rows.csv and the tiny model, to name relatively."""
    folder = tmp_path_factory.mktemp("cli")
    write_rows(folder / "rows.csv")
    (folder / "tiny").symlink_to(tiny_bert)
    return folder


@pytest.fixture(scope="module")
def trained(place: Path) -> subprocess.CompletedProcess[str]:
    """`train --output run` as its own process, all of it named relatively."""
    flags = [
        "--model",
        "tiny",
        "--data-dir",
        ".",
        "--train-file",
        "rows.csv",
        "--epochs",
        "2",
        "--batch-size",
        "8",
    ]
    command = [*COMMAND, "train", *flags, "--learning-rate", "0.01", "--output", "run", "--json"]
    return subprocess.run(
        command,
        cwd=place,
        env=environment(place / "home"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def run(trained: subprocess.CompletedProcess[str], place: Path, home: Path) -> Run:
    """The trained run, known by its id in this test's home."""
    assert trained.returncode == 0, trained.stderr
    link = home / "local" / json.loads(trained.stdout)["run"]
    link.parent.mkdir(parents=True)
    link.symlink_to(place / "run")
    return Run(link)


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    """What stands on stdout, which is one JSON document and nothing else."""
    return json.loads(capsys.readouterr().out)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command says about bad input."""
    try:
        code: Any = cli.main(arguments)
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    return said.err.strip()


# Flags and recipes


def test_every_setting_is_a_flag() -> None:
    wanted: dict[str, Any] = {}
    flags = []
    for name, setting in SETTINGS.items():
        kind, choices = FIELD_TYPES[name], setting.metadata["choices"]
        value = {str: choices[-1] if choices else "x", int: 9, bool: True}.get(kind, 0.2)
        wanted[name] = value
        flag = f"--{name.replace('_', '-')}"
        flags += [flag] if kind is bool else [flag, str(value)]
    assert parsed(flags) == wanted | {name: str(value) for name, value in wanted.items() if value is not True}
    assert parsed(shlex.split(as_command(TrainConfig(**wanted)))[4:]) == parsed(flags)
    assert parsed(["--no-whole-words"]) == {"whole_words": False}


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(task="fill-mask", whole_words=True, learning_rate=None, dropout=0.0, epochs=1.5),
        TrainConfig(label_names="-1,1", train_file="a b's.csv", text_column='"text"', seed=0),
    ],
)
def test_a_config_as_a_command_is_read_again(config: TrainConfig) -> None:
    words = shlex.split(as_command(config))
    assert words[:4] == ["python", "-m", "bertspace", "train"]
    assert TrainConfig.from_dict(parsed(words[4:])) == config
    defaults = TrainConfig().to_dict()
    changed = [name for name, value in config.to_dict().items() if value != defaults[name]]
    assert len([word for word in words[4:] if word.startswith("--")]) == len(changed)


def parsed(flags: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_settings(parser, SETTINGS)
    return given_settings(parser.parse_args(flags))


def test_flags_go_before_the_recipe() -> None:
    values = settings(
        "cola", {"model": "starter", "data_dir": "rows", "epochs": "1", "learning_rate": "0.001"}
    )
    config = TrainConfig.from_dict(values)
    assert (config.model, config.epochs, config.learning_rate) == ("starter", 1.0, 1e-3)
    assert (config.train_file, config.label_names) == ("in_domain_train.tsv", "unacceptable,acceptable")


def test_rows_of_ones_own_take_the_place_of_the_recipes() -> None:
    config = TrainConfig.from_dict(settings("mrpc", {"train_file": "mine.csv"}))
    assert (config.dataset, config.pair_column, config.label_names) == ("", "", "")
    assert config.batch_size == recipes.load("mrpc")["batch_size"]


@pytest.mark.slow
def test_the_help_is_there_at_once() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([*COMMAND, "train", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2
    )  # seconds of computing: torch takes more
    assert all(f"--{name.replace('_', '-')}" in done.stdout for name in SETTINGS)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"bertspace {__version__}\n"


# Bad input


@pytest.mark.parametrize(
    "command", [["train"], ["evaluate", "starter"], ["predict", "starter"], ["compare", "starter", "starter"]]
)
def test_every_command_that_reads_a_file_can_be_told_how(command: list[str]) -> None:
    said = {"header": "no", "encoding": "windows-1252", "separator": "bar", "quoting": "none"}
    file = [] if command == ["train"] else ["--file", "rows.csv"]
    flags = [word for name, value in said.items() for word in (f"--{name}", value)]
    assert given_settings(cli._parse([*command, *file, *flags])) == said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["train", "--nope"], "unrecognized arguments: --nope"),
        (["train"], "No data is named"),
        (["train", "--recipe", "colla"], "The recipes: cola, cola-128"),
        (["train", "--dataset", "sample:office", "--epochs", "many"], "epochs is 'many'. Give a number"),
        (
            ["train", "--dataset", "sample:office", "--task", "sing"],
            "Choose from: text-classification, fill-mask",
        ),
        (["train", "--train-file", "none.csv"], "none.csv"),
        (["runs", "show", "nope"], "There is no run 'nope'"),
        (["predict", "20260101-000000-abcdef", "hello"], "There is no run '20260101-000000-abcdef'"),
        (["predict", "starter", "hello", "--top-k", "0"], "'0' is no whole number from 1 on"),
        (["predict", "starter", "hello", "--file", "none.csv"], "Both texts and --file are given"),
        (["predict", "./nowhere", "hello"], "There is no folder ./nowhere"),
    ],
)
def test_bad_input_is_said_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bertspace.models.inference.task_of", lambda name: "fill-mask"
    ) if "starter" in arguments else None
    assert says in refused(arguments, capsys)


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["predict", "./nowhere", "hello"], "There is no folder ./nowhere.", "config.json"),
        (["runs", "show", "20260101-000000-abcdef"], "There is no run '20260101-000000-abcdef'", ""),
        (["train", "--train-file", "none.csv"], "none.csv", ""),
        (["train", "--recipe", "x"], "'x'", "cola"),
    ],
)
def test_also_what_is_refused_is_one_json_document_where_that_is_asked_for(
    arguments: list[str], error: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert list(told) == ["error", "hint"] and error in told["error"] and hint in told["hint"]
    assert err == f"error: {told['error']} {told['hint']}".strip() + "\n"


def test_a_model_without_a_classifier_or_a_text_without_a_mask_is_bad_input(
    tiny_bert: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No [MASK] in 'the sea'" in refused(["predict", str(tiny_bert), "the sea"], capsys)
    assert "does not classify" in refused(
        ["predict", str(tiny_bert), "the sea", "--task", "text-classification"], capsys
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("\n \n"))
    assert "There is no text" in refused(["predict", str(tiny_bert)], capsys)


# train


def test_train_prints_one_document_and_makes_the_folder_the_run(
    trained: subprocess.CompletedProcess[str], place: Path
) -> None:
    assert trained.returncode == 0, trained.stderr
    found = json.loads(trained.stdout)
    assert (found["status"], found["folder"]) == ("done", str(place / "run"))
    assert found["validation"].keys() == found["base"]["validation"].keys()
    assert [epoch["step"] for epoch in found["epochs"]] == [5, 10]
    assert found["config"]["learning_rate"] == 0.01
    assert found["source"]["source"] == "rows.csv"
    assert (place / "run" / "model" / "config.json").is_file()
    assert Run(place / "run").state().status == "done"
    said = summary(Run(place / "run"))
    assert found["verdict"]["words"] in said and found["kept"] in said


def test_train_says_on_stderr_what_happens(trained: subprocess.CompletedProcess[str]) -> None:
    said = trained.stderr.splitlines()
    assert said[0].startswith(f"Run {json.loads(trained.stdout)['run']}: ")
    assert [line.partition(":")[0] for line in said if line.startswith(("base", "epoch", "at the end"))] == [
        *("base", "epoch 1", "epoch 2", "at the end")
    ]


@pytest.mark.slow
def test_ctrl_c_stops_a_run_that_keeps_its_model(place: Path, tmp_path: Path) -> None:
    flags = ["--model", "tiny", "--train-file", "rows.csv", "--epochs", "1000", "--batch-size", "1"]
    command = [*COMMAND, "train", *flags, "--output", str(tmp_path / "run"), "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=place, env=environment(tmp_path / "home"), **pipes)
    run = Run(tmp_path / "run")
    until(lambda: process.poll() is not None or any(event.kind == "step" for event in run.events()[0]))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert (found["status"], found["stopped"]) == ("stopped", True)
    assert "Stopping" in err
    assert (tmp_path / "run" / "model" / "config.json").is_file()


def test_a_run_waits_in_the_queue_and_can_be_given_up_there(
    busy: Run, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bertspace.cli.watch.time.sleep", interrupt)
    assert cli.main(["train", "--train-file", str(place / "rows.csv"), "--json"]) == 1  # there is no model
    said = capsys.readouterr()
    assert "number 1 in the queue" in said.err
    assert json.loads(said.out)["status"] == "stopped"


def test_a_second_ctrl_c_leaves_the_run_to_itself(busy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bertspace.cli.watch.time.sleep", interrupt)
    said = io.StringIO()
    assert Watch(busy, said).to_the_end() is False
    assert busy.stop_requested()
    assert f"python -m bertspace runs stop {busy.id}" in said.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_steps_are_one_line_that_is_written_over(run: Run) -> None:
    said = Terminal()
    assert Watch(run, said).to_the_end()
    assert "\r\x1b[Kepoch 1.00  step 5 of 10  loss " in said.getvalue()
    assert [line for line in said.getvalue().split("\n") if "step" in line.rpartition("\r")[2]] == []
    assert said.getvalue().endswith("\r\x1b[K")


def test_a_step_tells_the_time_left() -> None:
    first = TrainEvent("step", 1, 101, 0.1, seconds=10.0, loss=1.0)
    event = TrainEvent("step", 11, 101, 0.11, seconds=20.0, loss=0.51234)
    assert step_words(event, first) == "epoch 0.11  step 11 of 101  loss 0.512  1 min 30 s left"
    assert step_words(first, first) == "epoch 0.10  step 1 of 101  loss 1.000"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (BertspaceError("No column 'text' in rows.csv.", hint="Pick one."), 2),
        (OutOfMemory("Memory ran out at the longest batch.", advice={"batch_size": 4}), 1),
        (MemoryError(), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (KeyError("rows"), 1),
    ],
)
def test_a_failed_run_is_bad_input_or_a_failure(fault: Exception, code: int) -> None:
    state = RunState(**worker.failure(fault, Run.create(TrainConfig())))
    assert state.status == "failed"
    assert exit_code(state, has_result=True) == code


def test_a_paused_run_is_no_failure_and_a_run_without_a_model_is_one() -> None:
    assert exit_code(RunState(status="paused"), has_result=False) == 0
    assert exit_code(RunState(status="stopped"), has_result=True) == 0
    assert exit_code(RunState(status="stopped"), has_result=False) == 1
    assert exit_code(RunState(status="interrupted"), has_result=True) == 1


def test_without_waiting_train_prints_the_id_of_the_run(
    busy: Run, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--train-file", str(place / "rows.csv"), "--no-wait"]) == 0
    run = runs.find(capsys.readouterr().out.strip())
    assert (run.state().status, queue.position(run)) == ("queued", 1)


def test_settings_come_from_a_file_and_what_it_names_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    file = tmp_path / "settings.yaml"
    file.write_text("model: base\ntrain_file: data/train.parquet\nepochs: 2\nseed: 7\n", encoding="utf-8")
    config = TrainConfig.from_dict(settings("", {"epochs": "5"}, str(file)))
    assert (config.model, config.data_dir) == (str(tmp_path / "base"), str(tmp_path))
    assert (config.epochs, config.seed, config.train_file) == (5.0, 7, "data/train.parquet")
    config = TrainConfig.from_dict(settings("", {"dataset": "sample:office"}, str(file)))
    assert (config.train_file, config.data_dir, config.seed) == ("", "", 7)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("[1, 2]", "holds no settings"),
        ("a: [", "cannot be read"),
        (None, "cannot be read"),
        ("[" * 5000, "cannot be read"),
        (f"epochs: {'59:' * 9000}59", "epochs is "),
        (f"seed: 0x{'f' * 9000}", "seed is "),
    ],
)
def test_a_settings_file_that_is_none_is_bad_input(
    written: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    if written:
        file.write_text(written, encoding="utf-8")
    assert says in refused(["train", "--settings", str(file)], capsys)
    assert "Both --recipe and --settings" in refused(
        ["train", "--settings", str(file), "--recipe", "cola"], capsys
    )


# evaluate, predict, compare


def test_a_run_is_named_by_its_id_or_its_folder(
    run: Run, place: Path, tiny_bert: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    known = f"run:{run.id}"
    assert [model_name(name) for name in (run.id, known, "run", str(place / "run"))] == [known] * 4
    assert model_name("starter") == "starter"
    assert model_name("tiny") == str(tiny_bert)
    assert model_name("google-bert/bert-base-uncased@main") == "google-bert/bert-base-uncased@main"
    run.path.unlink()
    assert model_name("run") == f"run:{place / 'run'}"  # copied here from another machine, say
    with pytest.raises(RunError):
        model_name(run.id)


def test_evaluate_scores_a_file(run: Run, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(["evaluate", run.id, "--file", str(place / "rows.csv"), "--max-rows", "30", "--json"]) == 0
    )
    found = document(capsys)
    assert (found["model"], found["task"], found["file"], found["rows"]) == (
        *(f"run:{run.id}", "text-classification", "rows.csv", 30),
    )
    assert 0 <= found["metrics"]["accuracy"] <= 1
    assert cli.main(["evaluate", run.id, "--file", str(place / "rows.csv"), "--label-column", "label"]) == 0
    said = capsys.readouterr().out
    assert f"run:{run.id} on rows.csv (text-classification, 40 rows, texts cut to " in said
    assert "matthews_correlation" in said


def test_evaluate_agrees_with_the_training(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", run.id, "--file", str(run.path / "data/validation.parquet"), "--json"]) == 0
    result = run.result()
    assert result and document(capsys)["metrics"] == pytest.approx(result["validation"], rel=1e-3)


def test_train_prints_what_was_found_in_the_data_and_the_flags_before_the_first_step(
    busy: Run, tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new.csv"
    rows = [f"a good day {number},{number % 2},{('bad', 'good')[number % 2]}" for number in range(40)]
    path.write_text("\n".join(["text,label,label_text", *rows]) + "\n")
    assert cli.main(["train", "--model", str(tiny_bert), "--train-file", str(path), "--no-wait"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("note: The column 'label_text' names the numbers in 'label'")
    assert said[1] == "note: Name the labels by 'label_text': --label-names bad,good"
    path.write_text("\n".join(["text,label,label_text", *rows, "another day,,"]) + "\n")
    assert cli.main(["train", "--model", str(tiny_bert), "--train-file", str(path), "--no-wait"]) == 2
    assert "note: Leave these rows out: --unlabelled-rows 'leave out'" in capsys.readouterr().err


def test_a_finding_of_the_training_is_a_line_of_its_own(run: Run) -> None:
    stream = io.StringIO()
    Watch(run, stream)._show(TrainEvent("finding", message="80% of the tokens are unknown."))
    assert stream.getvalue() == "note: 80% of the tokens are unknown.\n"


def test_predict_names_the_rows_of_a_file_and_the_blank_ones(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new.csv"
    path.write_text("id,text\n1,a good day\n2,\n3,a bad day\n")
    assert cli.main(["predict", run.id, "--file", str(path), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)["predictions"]
    assert [(each["row"], each["text"]) for each in found] == [(1, "a good day"), (2, ""), (3, "a bad day")]
    assert (found[1]["label"], found[1]["scores"]) == (None, {})
    assert "note: Text: column 'text', as in the training." in said.err
    assert "note: 1 blank row of new.csv was left out." in said.err
    assert cli.main(["predict", run.id, "--file", str(path)]) == 0
    assert "\n\n(row 2 is blank)\n\na bad day\n" in capsys.readouterr().out


def test_evaluate_names_the_column_that_is_missing(
    run: Run, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", run.id, "--file", str(place / "rows.csv"), "--text-column", "review"]
    assert "No column 'review' in rows.csv; found: text, label." in refused(arguments, capsys)


def test_predict_gives_every_label_of_every_text(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", run.id, "I love this", "--json", "–ä sad night"]) == 0
    said = capsys.readouterr().out
    assert "–ä sad night" in said  # as it was written, not as \u escapes
    found = json.loads(said)
    assert (found["model"], found["task"]) == (f"run:{run.id}", "text-classification")
    assert [each["text"] for each in found["predictions"]] == ["I love this", "–ä sad night"]
    for each in found["predictions"]:
        assert set(each["scores"]) == {"yes", "no"} and each["label"] == max(
            each["scores"], key=each["scores"].get
        )
        assert sum(each["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_predict_reads_lines_of_stdin(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a good day\n\na bad day\n"))
    assert cli.main(["predict", run.id]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line and not line.startswith("  ")] == ["a good day", "a bad day"]
    monkeypatch.setattr("sys.stdin", io.StringIO("a good day\n\na bad day\n"))
    assert cli.main(["predict", run.id, "--json"]) == 0
    assert [each["row"] for each in document(capsys)["predictions"]] == [1, 3]


def test_predict_takes_the_texts_of_a_file(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new.csv"
    path.write_text("id,text\n1,a good day\n2,a bad day\n", encoding="utf-8")
    assert cli.main(["predict", run.id, "--file", str(path), "--json"]) == 0
    assert [each["text"] for each in document(capsys)["predictions"]] == ["a good day", "a bad day"]


def test_predict_takes_pairs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", run.id, "a day", "a night", "--pair", "good", "--pair", "bad", "--json"]) == 0
    assert [each["pair"] for each in document(capsys)["predictions"]] == ["good", "bad"]
    assert "2 texts and 1 second texts" in refused(["predict", run.id, "a", "b", "--pair", "c"], capsys)


def test_predict_fills_every_mask(tiny_bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", str(tiny_bert), "the [MASK] of the [MASK].", "--top-k", "3"]
    assert cli.main([*arguments, "--json"]) == 0
    (found,) = document(capsys)["predictions"]
    assert found["text"] == "the [MASK] of the [MASK]." and "[MASK]" not in found["filled"]
    assert [len(scores) for scores in found["masks"]] == [3, 3]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == found["filled"]
    assert (said[1], said[5], len(said)) == ("  mask 1", "  mask 2", 9)


@pytest.mark.needs_starter
def test_the_starter_fills_masks_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", "starter", "Paris is the [MASK] of France.", "--json"]) == 0
    (found,) = document(capsys)["predictions"]
    assert len(found["masks"][0]) == 5


def test_compare_puts_the_base_beside_the_run(
    run: Run, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", str(tiny_bert), run.id, "I love this good book"]
    assert cli.main([*arguments, "--json"]) == 0
    found = document(capsys)
    assert found["base"] == f"{tiny_bert}, frozen, with a logistic-regression probe"
    (row,) = found["rows"]
    assert row["changed"] == (row["base"]["label"] != row["tuned"]["label"])
    assert set(row["base"]["scores"]) == set(row["tuned"]["scores"]) == {"yes", "no"}
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert said.startswith("I love this good book\n") and f"run:{run.id}" in said


def test_compare_scores_both_on_a_file(
    run: Run, place: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", str(tiny_bert), run.id, "--file", str(place / "rows.csv")]
    assert cli.main([*arguments, "--json"]) == 0
    found = document(capsys)
    assert (found["rows"], len(found["table"])) == (40, 40)
    verdicts = [row["verdict"] for row in found["table"]]
    assert (verdicts.count("fixed"), verdicts.count("broken")) == (found["fixed"], found["broken"])
    assert found["base_metrics"].keys() == found["tuned_metrics"].keys()
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "rows.csv, 40 rows" in said and found["verdict"]["words"] in said


def test_fill_mask_models_are_evaluated_and_compared_by_perplexity(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("the old keeper walked to the sea at night\n" * 60, encoding="utf-8")
    assert cli.main(["evaluate", str(tiny_bert), "--file", str(path), "--json"]) == 0
    metrics = document(capsys)["metrics"]
    assert metrics["perplexity"] > 1
    assert cli.main(["compare", str(tiny_bert), str(tiny_bert), "--file", str(path), "--json"]) == 0
    found = document(capsys)
    assert found["base_metrics"] == found["tuned_metrics"] == metrics


# runs


def test_runs_are_listed_newest_first(run: Run, busy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", "list", "--json"]) == 0
    found = document(capsys)
    assert {each["run"]: each["status"] for each in found} == {busy.id: "running", run.id: "done"}
    (done,) = (each for each in found if each["run"] == run.id)
    assert done["headline"]["metric"] == "accuracy" and "words" not in done
    assert cli.main(["runs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "the one ahead" in "".join(lines)


def test_a_run_that_cannot_be_read_does_not_hide_the_others(
    run: Run, busy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (busy.path / "config.yaml").write_text("epochs: [", encoding="utf-8")
    assert cli.main(["runs", "list", "--json"]) == 0
    assert {each["status"] for each in document(capsys)} == {"unreadable", "done"}


def test_no_runs_are_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", "list"]) == 0
    assert capsys.readouterr().out == "There are no runs yet.\n"
    assert cli.main(["runs", "list", "--json"]) == 0
    assert document(capsys) == []


def test_runs_show_tells_all_of_a_run(run: Run, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", "show", str(place / "run"), "--json"]) == 0
    found = document(capsys)
    assert (found["run"], found["config"]["epochs"], found["source"]["rows"]) == (
        *(run.id, 2.0, {"train": 36, "validation": 4}),
    )
    assert cli.main(["runs", "show", run.id]) == 0
    said = capsys.readouterr().out
    assert "Status    done" in said and "Data      rows.csv: 36 train, 4 validation" in said
    assert "majority class" in said and "epoch 2 *" in said


def test_runs_stop_asks_and_says_when_there_is_nothing_to_stop(
    run: Run, busy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["runs", "stop", busy.id, "--json"]) == 0
    assert document(capsys) == {"run": busy.id, "status": "running", "stop": True}
    assert busy.stop_requested()
    assert "has ended already (done)" in refused(["runs", "stop", run.id], capsys)


def test_runs_delete_asks_on_a_terminal(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(TrainConfig())
    run.write_state(RunState(status="stopped"))
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert cli.main(["runs", "delete", run.id]) == 0
    said = capsys.readouterr()
    assert "[y/N]" in said.err and said.out == "Nothing was deleted.\n" and run.path.is_dir()
    assert cli.main(["runs", "delete", run.id, "--yes", "--json"]) == 0
    assert document(capsys)["deleted"] is True
    assert runs.list_runs() == []


# Output


def test_numbers_that_json_does_not_know_are_null(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.create(TrainConfig())
    run.write_state(RunState(status="stopped"))
    metrics = {"loss": float("nan"), "accuracy": 0.5}
    result = {
        "base": {"kind": "model", "validation": metrics}, "epochs": [], "best_step": 0, "validation": metrics,
        "test": None, "headline": "loss", "seconds": 1.0, "examples_per_second": 1.0,
    }  # fmt: skip
    files.write_atomically(run.path / "result.json", json.dumps(result))
    assert cli.main(["runs", "show", run.id, "--json"]) == 0
    assert document(capsys)["validation"] == {"loss": None, "accuracy": 0.5}


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_fault(home: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "runs", "list"],
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert (process.stderr.read(), process.wait(timeout=300)) == (b"", 0)
    process.stderr.close()


def test_tables_line_up() -> None:
    assert words.table(("", "loss"), [("base", "0.5"), ("epoch 1", "0.25")]) == (
        "         loss\nbase      0.5\nepoch 1  0.25"
    )


def test_published_figures_are_grouped() -> None:
    figures = [
        {"metric": "loss", "split": "train", "value": 0.5, "source": "a paper"},
        {"metric": "loss", "split": "train", "value": 0.25, "source": "a paper"},
        {"metric": "accuracy", "split": "test", "value": 0.84, "to": 0.88, "source": "a page"},
    ]
    assert words.figures_words(figures) == (
        "Published:\n  train loss: 0.5, 0.25  (a paper)\n  test accuracy: 0.84 to 0.88  (a page)"
    )
    assert words.figures_words([]) == ""


def test_of_many_labels_the_first_hundred_are_printed() -> None:
    many = {f"label {number} {'x' * 10_000 * (number == 0)}": 0.1 for number in range(100_000)}
    lines = words.prediction_words([Answer("a text", many)])
    assert len(lines) == 101 and lines[-1] == "  and 99,900 more (--json has them all)"
    assert max(map(len, lines)) < 120
