"""The Hub on the page: searched in every picker, looked at, pulled, published, against a Hub of our own."""

import json
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from bertspace import hub as client
from bertspace import policy, publish
from bertspace.errors import DataError, ForbiddenError, HubError, HubUnreachable
from bertspace.hub import Facts, Found, pull, quota
from bertspace.hub.credentials import Credentials, using
from bertspace.jobs import queue
from bertspace.jobs.transfers import Transfer, Transfers
from bertspace.models import inference
from bertspace.publish import Destination, Published, pushing
from bertspace.runs import Run
from bertspace.safety import loadable
from bertspace.schema import RunState, TrainConfig
from bertspace.ui import compare
from bertspace.ui.access import who
from bertspace.ui.access.sessions import Login
from bertspace.ui.fine_tune import data_step, publish_choice
from bertspace.ui.fine_tune import form as settings_form
from bertspace.ui.fine_tune import tab as train_tab
from bertspace.ui.hub import card_fold, render_publish, tab
from bertspace.ui.hub import form as hub_form
from bertspace.ui.hub import publish as hub_publish
from bertspace.ui.hub import pull as hub_pull
from bertspace.ui.hub.form import destination, suggested_name
from bertspace.ui.models import catalogue, render_models
from bertspace.ui.models import facts as model_facts
from bertspace.ui.models import picker as model_picker
from bertspace.ui.runs import view
from bertspace.ui.tasks import page_of
from tests.support import until
from tests.support.training import FAST, Trained

CARD = "---\nlicense: mit\nlanguage: en\npipeline_tag: fill-mask\n---\n# Tiny\n\nA **tiny** model.\n"
HOSTILE = '<script>alert("1")</script> {{value}} ${1} `x`'
PAGE: Any = SimpleNamespace(session_hash="page-1", query_params={}, request=None)


@pytest.fixture(autouse=True)
def transfers(monkeypatch: pytest.MonkeyPatch) -> Transfers:
    """Transfers of the test's own."""
    own = Transfers()
    for module in (model_facts, hub_pull, hub_publish):
        monkeypatch.setattr(module, "TRANSFERS", own)
    return own


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_snippet: None) -> Iterator[Path]:
    """A cache of the test's own, and nobody's rights; no snippet is run in a process of its own (4 s)."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(pull.PUBLIC, "_seen", OrderedDict())
    with using(Credentials(token=False)):
        yield folder


@pytest.fixture
def server(hub: Any, tiny_bert: Path) -> Any:
    """A Hub with alice/tiny, which is public."""
    hub.user("alice")
    hub.put("alice/tiny", tiny_bert)
    hub.put("alice/tiny", {"README.md": CARD.encode()})
    return hub


@pytest.fixture
def alice(server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Her token, as the owner's, with whose rights the test acts."""
    token = server.user("alice", orgs=("team",))
    monkeypatch.setattr(who.OWNERS, "_pasted", Login(token))
    with using(Credentials(token=token)):
        yield token


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Run:
    """A finished run of a real, short training."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTSPACE_HOME", str(folder / "home"))
        finished = Trained(folder / "run", TrainConfig(model=str(tiny_bert), epochs=1, **FAST))
    for event in finished.events:
        finished.run.append(event)
    finished.run.write_state(RunState(status="done", name="Tiny on greetings"))
    return finished.run


@pytest.fixture
def run(classified: Run, home: Path) -> Iterator[Run]:
    """That run among the local owner's."""
    (home / "local").mkdir(parents=True)
    link = home / "local" / "20260101-000000-abcdef"
    link.symlink_to(classified.path.resolve())
    yield Run(link)
    (classified.path / pushing.RECORD).unlink(missing_ok=True)


def pulled(transfers: Transfers, name: str = "alice/tiny", task: str = "") -> Transfer:
    """The pull, once it has ended."""
    owner = model_facts.puller(PAGE)
    model_facts.begin_pull(name, task, PAGE)
    found = transfers.wait(owner, "pull", name)
    assert found is not None and not found.works
    return found


def pressed(act: str, model: str = "") -> Any:
    return SimpleNamespace(act=act, model=model)


def handler(make: Callable[[str], Any], task: str = "") -> Any:
    """A picker's handler, as the page calls it for that task."""
    return make(task)


# The picker


def test_what_is_typed_is_searched_for_and_stands_under_what_is_at_hand(server: Any, tiny_bert: Path) -> None:
    typed = handler(model_picker._typed)
    update, said = typed("tin", PAGE)
    words, value = update.choices[-1]
    assert words.startswith("alice/tiny · Fill-mask · ") and (value, said) == ("alice/tiny", "")
    assert typed("ti", PAGE) == typed("starter", PAGE) == (gr.skip(), "")
    assert typed("a run · accuracy 0.9", PAGE) == (gr.skip(), "")
    assert typed("x" * 97, PAGE) == (gr.skip(), "")


def test_a_search_is_kept_to_the_task_and_to_what_may_be_an_encoder(
    server: Any, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [each.repo_id for each in model_picker.searched("tiny", "fill-mask")] == ["alice/tiny"]
    assert model_picker.searched("tiny", "text-classification") == []
    found = [
        Found("a/tiny-llm", "text-generation", 9, "", False, False),
        Found("a/tiny", "", 1, "", False, False),
    ]
    monkeypatch.setattr(client, "search", lambda *_: found)
    assert model_picker.searched("tiny", "") == found[1:]


def test_a_result_that_not_everybody_may_have_carries_a_sign() -> None:
    private, gated = (Found("a/b", "fill-mask", 4200, "", *each) for each in ((True, False), (False, True)))
    assert model_picker.choice_words(private) == "a/b · Fill-mask · 4.2 k downloads · 🔒 private"
    assert model_picker.choice_words(gated).endswith("🔒 gated")


def test_without_the_hub_what_is_here_is_listed_and_used(server: Any, transfers: Transfers) -> None:
    assert pulled(transfers).state == "done"
    server.fail(503, times=0)
    known = model_picker.choices("fill-mask", policy.LOCAL)
    assert ("alice/tiny", "alice/tiny") in known
    update, said = handler(model_picker._typed)("tiny", PAGE)
    assert "The Hub is not reachable. The models on this machine can be used." in said
    panel = page_of("fill-mask").answer_beside("The [MASK].", "alice/tiny", 3, False, None)[0]
    assert "pg-bars" in panel and "alice/tiny" in panel


def test_a_model_on_this_machine_that_does_not_fit_says_why(server: Any, transfers: Transfers) -> None:
    pulled(transfers)
    words = {value: words for words, value in catalogue.hub_choices("text-classification")}
    assert words["alice/tiny"] == "alice/tiny — is a BertForMaskedLM and does not classify"
    listed = {each["value"]: each["misfit"] for each in catalogue.listed_models("text-classification")}
    assert listed["alice/tiny"] == "is a BertForMaskedLM and does not classify"


def test_the_page_as_it_is_sent_holds_nothing_of_this_machine(server: Any, transfers: Transfers) -> None:
    pulled(transfers)
    with gr.Blocks() as page:
        model_picker.model_picker("Model", "")
    assert "alice/tiny" not in str(page.get_config_file())


# What is known of a model, and its pull


def look(name: str | None, task: str = "") -> list[tuple[Any, ...]]:
    return list(model_facts._show_facts(task)(name, PAGE))


def test_a_chosen_model_is_told_before_its_weights_come(server: Any, cache: Path) -> None:
    first, last = look("alice/tiny", "fill-mask")
    assert "Looking at alice/tiny" in first[0]
    shown, pull, clock, known, _ = last
    for words in ("A tiny model.", "Fill-mask", "mit", "en"):
        assert words in shown
    assert 'data-act="pull"' in pull and "Pull " in pull
    assert (clock.active, known) == (False, ("alice/tiny", "fill-mask", True))
    assert not list(cache.rglob("*.safetensors"))


@pytest.mark.parametrize("name", ["starter", "", None, "run:none", "/etc", "../x"])
def test_nothing_is_told_of_what_is_no_model_of_the_hub(name: str | None) -> None:
    ((shown, pull, clock, known, _),) = look(name)
    assert (shown, pull, clock.active, known) == ("", "", False, model_facts.NOTHING)


def test_a_pasted_address_is_its_model_and_one_that_is_none_says_so(server: Any) -> None:
    pasted = look("https://huggingface.co/alice/tiny/tree/main?library=transformers")
    assert pasted[-1][0] == look("alice/tiny")[-1][0]
    assert "is a data set by its address" in look("https://huggingface.co/datasets/alice/rows")[0][0]
    assert "the folder sub of alice/tiny" in look("https://huggingface.co/alice/tiny/tree/main/sub")[0][0]


def test_a_model_that_does_not_fit_says_why_and_cannot_be_pulled(server: Any) -> None:
    server.put("alice/pickled", {"config.json": b'{"model_type": "bert"}', "pytorch_model.bin": b"x"})
    shown, pull, _, known, _ = look("alice/pickled")[-1]
    assert "no safetensors weights" in shown and pull == "" and known[2] is False
    shown, pull, *_ = look("alice/tiny", "text-classification")[-1]
    assert "does not classify" in shown and pull == ""
    assert "Choose another model." in shown


def test_a_model_that_is_not_there_or_a_hub_that_is_not_is_told_calmly(server: Any) -> None:
    assert "The Hub has no model alice/none" in look("alice/none")[-1][0]
    server.fail(503, times=0)
    assert "bs-problem" in look("alice/tiny")[-1][0]


def test_a_pull_is_begun_followed_and_brings_an_answer(server: Any, transfers: Transfers) -> None:
    assert (
        "is not on this machine yet"
        in page_of("fill-mask").answer_beside("A [MASK].", "alice/tiny", 3, False, None)[0]
    )
    drawn, clock = model_facts._act("fill-mask")("alice/tiny", pressed("pull"), PAGE)
    assert clock.active and 'role="progressbar"' in drawn
    transfers.wait(model_facts.puller(PAGE), "pull", "alice/tiny")
    drawn, clock, came = model_facts.follow("alice/tiny", PAGE)
    assert "On this machine" in drawn and clock.active is False and came.startswith("alice/tiny")
    assert "pg-bars" in page_of("fill-mask").answer_beside("A [MASK].", "alice/tiny", 3, False, None)[0]
    assert "On this machine" in look("alice/tiny")[-1][1]


def test_the_owners_pull_makes_what_a_guest_brought_theirs(server: Any, transfers: Transfers) -> None:
    with using(Credentials(token=False, guest=True)):
        folder = client.snapshot("alice/tiny")
        assert pulled(transfers).state == "done" and not quota.is_trusted(folder)
    assert pulled(transfers).state == "done" and quota.is_trusted(folder)


CALLING = Credentials(token=False, guest=True, in_calls=False)  # as who.credentials_of gives them to a guest


@pytest.mark.slow
def test_a_guests_call_says_how_a_model_gets_here_and_brings_none(
    server: Any, transfers: Transfers, cache: Path
) -> None:
    with using(CALLING):
        for call in (
            lambda: page_of("fill-mask").fill("The [MASK].", "alice/tiny"),
            lambda: page_of("text-classification").ask("A text.", "alice/tiny"),
            lambda: compare.compare("The [MASK].", "alice/tiny", "starter"),
        ):
            with pytest.raises(gr.Error, match="alice/tiny is not on this machine yet. Pull it first"):
                call()
        assert not list(cache.rglob("*.safetensors"))
        assert hub_pull.pull("alice/tiny", PAGE)["about"] == "alice/tiny"
        transfers.wait(model_facts.puller(PAGE), "pull", "alice/tiny")
        assert hub_pull.pulling("alice/tiny", PAGE)["state"] == "done"
        pull.PUBLIC.forget("alice/tiny")  # as after a restart: what is here is used
        assert len(page_of("fill-mask").fill("The [MASK].", "alice/tiny", 3)[0]["scores"]) == 3


def test_the_owners_call_brings_a_model(server: Any) -> None:
    assert len(page_of("fill-mask").fill("The [MASK].", "alice/tiny", 3)[0]["scores"]) == 3


def test_pulls_are_counted_by_the_address_and_looked_at_by_the_page(
    server: Any, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(number: int, host: str) -> Any:
        below = SimpleNamespace(cookies={}, scope={"client": (host, 1), "headers": []})
        return SimpleNamespace(session_hash=f"page-{number}", query_params={}, request=below)

    monkeypatch.setattr(who, "_owner_access", who.OwnerAccess("a-key-for-the-tests-0123456789"))
    server.fail("hang", path="/model.safetensors", times=0)
    with using(CALLING):
        model_facts.begin_pull("alice/tiny", "", page(1, "10.0.0.1"))
        for number in (2, 3):
            with pytest.raises(ForbiddenError, match="at your address"):
                model_facts.begin_pull("alice/tiny", "", page(number, "10.0.0.1"))
        other = page(4, "10.0.0.2")
        assert model_facts.begin_pull("alice/tiny", "", other).works
        assert hub_pull.pulling("alice/tiny", page(2, "10.0.0.1"))["state"] == "none"
        for each in (page(1, "10.0.0.1"), other):
            transfers.cancel(model_facts.puller(each), "pull")
    server.calm()


def test_whether_a_folder_is_there_is_no_visitors_to_know(
    server: Any, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_bert, tmp_path / "data" / "tiny")
    monkeypatch.chdir(tmp_path)
    said = {}
    with using(CALLING):
        for name in ("data/tiny", "data/none"):
            assert catalogue.checked_model(name, policy.VISITOR) == name
            with pytest.raises(HubError) as caught:
                inference.predict(name, ["The [MASK]."])
            said[name] = str(caught.value).replace(name, "")
            with pytest.raises(HubError):
                client.facts(name)
    assert said["data/tiny"] == said["data/none"]


def test_a_configuration_on_disk_may_say_anything_and_takes_a_line(server: Any, cache: Path) -> None:
    server.put("alice/odd", server.files("alice/tiny"))
    place = client.snapshot("alice/odd") / "config.json"
    place.unlink()
    for heads in (5, {"a": 1}, ["x" * 10_000], [[]], "BertForMaskedLM"):
        place.write_text(json.dumps({"architectures": heads}))
        [(words, _)] = catalogue.hub_choices("text-classification")
        assert len(words) < 400 and "classify" in words
    for broken in ("[" * 100_000, "[1]", '{"a": ' * 500 + "1" + "}" * 500, " " * 2**21):
        place.write_text(broken)
        [(words, _)] = catalogue.hub_choices("text-classification")
        assert words.endswith(loadable.UNREADABLE)


def test_a_pull_is_cancelled_and_goes_on_from_there(server: Any, transfers: Transfers) -> None:
    server.fail("hang", path="/model.safetensors", times=1)
    model_facts.begin_pull("alice/tiny", "", PAGE)
    drawn, clock = model_facts._act("")("alice/tiny", pressed("cancel"), PAGE)
    server.calm()
    found = transfers.wait(model_facts.puller(PAGE), "pull", "alice/tiny")
    assert found and found.state == "cancelled" and clock.active and "Cancel" in drawn
    drawn, clock, came = model_facts.follow("alice/tiny", PAGE)
    assert "Cancelled." in drawn and "Go on with the pull" in drawn
    assert (clock.active, came) == (False, gr.skip())
    assert pulled(transfers).state == "done"


def test_a_failed_pull_keeps_its_error_and_hint(server: Any, transfers: Transfers) -> None:
    server.fail(403, path="resolve/", times=0)
    found = pulled(transfers)
    assert found.state == "failed" and found.error is not None and found.error.hint
    drawn, *_ = model_facts.follow("alice/tiny", PAGE)
    assert "bs-problem" in drawn and 'data-act="pull"' in drawn
    server.calm()
    assert pulled(transfers).state == "done"


def test_a_visitors_limit_is_told_instead_of_the_button(server: Any, transfers: Transfers) -> None:
    with using(Credentials(token=False, guest=True, max_bytes=1000)):
        pull = look("alice/tiny")[-1][1]
        assert "may take 1 kB here" in pull and "data-act" not in pull
        assert pulled(transfers).state == "failed"


def test_pages_of_visitors_have_pulls_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_facts.puller(PAGE) == "local"
    monkeypatch.setattr(who, "person", lambda request: policy.VISITOR)
    other: Any = SimpleNamespace(session_hash="page-2")
    assert model_facts.puller(PAGE) != model_facts.puller(other)


def test_what_a_run_waits_for_is_told_beside_its_rows(server: Any) -> None:
    assert "pulled when the run starts" in data_step.NOT_HERE
    assert catalogue.first_not_here(["starter", "alice/tiny"]) == "alice/tiny"


def test_a_hostile_repository_is_shown_as_it_is_written() -> None:
    facts = Facts(
        "a/b", "c" * 40, 10, 0, HOSTILE, ("config.json",), {}, (HOSTILE,),
        HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, True, False,
    )  # fmt: skip
    drawn = render_models.draw_facts("a/b", facts, HOSTILE)
    found = [Found(HOSTILE, HOSTILE, 1, HOSTILE, True, True)]
    drawn += render_models.draw_results(found, [], HOSTILE) + render_models.no_results(HOSTILE)
    drawn += render_models.no_facts(HubError(HOSTILE, hint=HOSTILE)) + render_models.looking(HOSTILE)
    done = Published(HOSTILE, HOSTILE, "javascript:alert(1)", message=HOSTILE, verified=None)
    drawn += render_publish.draw_published(done) + render_publish.draw_earlier([done])
    drawn += render_publish.draw_account(HOSTILE, [HOSTILE], True) + render_publish.closed(HOSTILE)
    for sign in ("<script", "{{", "${", "`", "javascript:"):
        assert sign not in drawn


# The Hub tab: pull and look


def test_the_tab_begins_with_what_is_here_and_what_is_well_known(server: Any, transfers: Transfers) -> None:
    assert "google-bert/<wbr>" in hub_pull.first_list() and "On this machine" not in hub_pull.first_list()
    pulled(transfers)
    assert "On this machine" in hub_pull.first_list()


def test_results_are_drawn_marked_and_chosen(server: Any) -> None:
    drawn, found = hub_pull.look_for("tiny", "", "")
    assert 'data-model="alice/tiny"' in drawn and "aria-current" not in drawn
    assert hub_pull.shown_model(pressed("show", "alice/tiny"), PAGE) == "alice/tiny"
    assert hub_pull.shown_model(pressed("show", "/etc/passwd"), PAGE) == ""
    marked, empty = hub_pull.mark(found, "tiny", "alice/tiny@main")
    assert 'aria-current="true"' in marked and empty.visible is False
    assert hub_pull.named_model("alice/tiny@main", "", PAGE) == "alice/tiny@main"
    assert hub_pull.named_model("tiny", "a/b", PAGE) == "a/b"
    assert "has no model with “nothing”" in hub_pull.look_for("nothing", "", "")[0]


def test_an_unreachable_hub_leaves_the_list_of_what_is_here(
    server: Any, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise HubUnreachable("The Hub cannot be reached.")

    pulled(transfers)
    monkeypatch.setattr(client, "search", refused)
    drawn, _ = hub_pull.look_for("tin", "", "")
    assert "not reachable" in drawn and "alice/<wbr>" in drawn and "To begin with" not in drawn


def test_the_buttons_that_lead_on_come_with_the_model_and_the_right(
    server: Any, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ("alice/tiny", "fill-mask", True)
    assert [each.visible for each in hub_pull.offer(known)] == [False, True, False]
    pulled(transfers)
    assert [each.visible for each in hub_pull.offer(known)] == [True, True, True]
    assert [each.visible for each in hub_pull.offer(("a/b", "", False))] == [False, False, False]
    monkeypatch.setattr(who, "person", lambda request: policy.VISITOR)
    assert [each.visible for each in hub_pull.offer(known)] == [True, False, True]


def test_programs_search_look_pull_and_follow(server: Any, transfers: Transfers) -> None:
    assert [each["repo_id"] for each in hub_pull.search("tiny")] == ["alice/tiny"]
    told = hub_pull.facts("alice/tiny")
    assert (told["license"], told["misfit"]) == ("mit", "")
    assert hub_pull.pulling("alice/tiny")["state"] == "none"
    assert hub_pull.pull("alice/tiny")["about"] == "alice/tiny"
    transfers.wait("local", "pull", "alice/tiny")
    assert hub_pull.pulling("alice/tiny")["state"] == "done"


# The Hub tab: publish


def form(**changed: Any) -> dict[str, Any]:
    values = {"namespace": "alice", "name": "greetings", "private": True, "where": "main", "branch": ""}
    values |= {"adapter": False, "license": "mit", "language": "en", "examples": False, "message": ""}
    return values | changed


def test_a_form_becomes_a_destination() -> None:
    assert destination(form()) == Destination("alice/greetings", private=True, license="mit", language="en")
    assert destination(form(where="branch", branch="two", private=False)).branch == "two"
    assert destination(form(where="pr", branch="left over")) == Destination(
        "alice/greetings", private=True, pull_request=True, license="mit", language="en"
    )
    for wrong in ({"namespace": ""}, {"name": " "}, {"where": "branch"}, {"name": "../x"}):
        with pytest.raises(HubError):
            destination(form(**wrong))
    assert suggested_name("Tiny on Größe / 2.csv") == "tiny-on-gr-e-2-csv"
    assert suggested_name("ß") == "model"
    assert hub_form.show_branch("branch").visible and not hub_form.show_branch("pr").visible


def test_a_visitor_finds_why_and_how_to_get_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(who, "person", lambda request: policy.VISITOR)
    instead, *_ = hub_publish.opened(None, None, PAGE)
    assert "checked by pulling them again" in instead.value and "owner" in instead.value
    assert hub_publish.chosen("x", None, PAGE) == [gr.skip()] * hub_publish.FILLED
    assert hub_publish.follow("x", PAGE)[2].active is False


def test_who_has_no_run_is_led_to_one(home: Path) -> None:
    instead, button, part, *_ = hub_publish.opened(None, None, PAGE)
    assert "fine-tune a model first" in instead.value and button.visible and not part.visible


def test_the_form_is_filled_for_the_run(alice: str, run: Run) -> None:
    *_, choice, account, said = hub_publish.opened(None, None, PAGE)
    assert choice.value == run.id and account.name == "alice"
    assert "You are alice on the Hub. It may write to team too." in said
    about, owner, name, *_, panel, button, clock = hub_publish.chosen(run.id, account, PAGE)
    assert "done" in about and (owner.choices, owner.value, name) == (
        [("alice", "alice"), ("team", "team")],
        "alice",
        "tiny-on-greetings",
    )
    assert "What goes up" in panel and button.value == "Publish" and clock.active is False


def test_without_an_account_the_page_says_so(server: Any, run: Run) -> None:
    *_, account, said = hub_publish.opened(None, None, PAGE)
    assert account is None and "hub-line" in said
    with pytest.raises(HubError):
        hub_publish.start(run.id, "end", "", PAGE, **form())


def published_run(transfers: Transfers, run: Run, **changed: Any) -> Transfer:
    hub_publish.start(run.id, "end", "", PAGE, **form(**changed))
    found = transfers.wait("local", "push", run.id)
    assert found is not None and not found.works
    return found


def test_a_run_is_published_verified_and_the_second_time_nothing_has_changed(
    server: Any, alice: str, run: Run, transfers: Transfers
) -> None:
    found = published_run(transfers, run)
    assert found.state == "done", found.error
    panel, button, clock = hub_publish.follow(run.id, PAGE)
    assert "Published: " in panel and "alice/greetings" in panel and ", private." in panel
    assert "Verified: pulled again, it predicts the same on" in panel
    assert (button.value, clock.active) == ("Publish again", False)
    assert "README.md" in server.files("alice/greetings")
    again = published_run(transfers, run)
    assert isinstance(again.result, Published) and again.result.changed is False
    assert "Nothing has changed" in hub_publish.follow(run.id, PAGE)[0]
    told = hub_publish.publications(run.id)
    assert [each["repo_id"] for each in told["published"]] == ["alice/greetings"]
    assert tab.look_at("", pressed("look", "alice/greetings"), PAGE) == "alice/greetings"
    assert tab.look_at("a/b", pressed("cancel"), PAGE) == "a/b"


def test_another_account_is_refused_and_pulls_what_is_shared_to_compare(
    server: Any, alice: str, run: Run, transfers: Transfers, tiny_bert: Path
) -> None:
    assert published_run(transfers, run).state == "done"
    bob = server.user("bob")
    with using(Credentials(token=bob)):
        with pytest.raises(HubError, match="bob may not write to alice"):
            hub_publish.begin_push(run, policy.LOCAL, Destination("alice/greetings"))
        assert "The Hub has no model alice/greetings" in look("alice/greetings")[-1][0]
        server.repo("alice/greetings").private = False
        assert "good" in look("alice/greetings")[-1][0]
        assert pulled(transfers, "alice/greetings").state == "done"
        panel = compare.answer("good morning", "alice/greetings", "alice/greetings", "")[0]
        assert "Both say" in panel
    inference.predict("alice/greetings", ["good"])


def test_a_published_model_gets_a_small_space(
    server: Any, alice: str, run: Run, transfers: Transfers
) -> None:
    with pytest.raises(HubError, match="was not published as"):
        hub_publish.act(run.id, pressed("space", "alice/greetings"), PAGE)
    published_run(transfers, run)
    hub_publish.act(run.id, pressed("space", "alice/greetings"), PAGE)
    made = transfers.wait("local", "push", hub_publish.space_of(run))
    assert made is not None and made.state == "done", made
    assert "app.py" in server.files("alice/greetings-space", kind="space")
    panel, _, clock = hub_publish.follow(run.id, PAGE)
    assert "The model has " in panel and "Published: " in panel and clock.active is False
    hub_publish.TRANSFERS.forget("local", "push", run.id)  # as after a restart
    assert "Publish again" in hub_publish.follow(run.id, PAGE)[1].value


def test_what_may_not_be_written_to_is_told_before_anything_is_sent(
    server: Any, run: Run, transfers: Transfers
) -> None:
    reader = server.user("carol", role="read")
    with using(Credentials(token=reader)), pytest.raises(HubError, match="may read only"):
        hub_publish.start(run.id, "end", "", PAGE, **form(namespace="carol"))
    assert transfers.find("local", "push", run.id) is None


def test_a_failed_push_is_told_with_its_steps_and_is_made_up_for(
    server: Any, alice: str, run: Run, transfers: Transfers
) -> None:
    server.fail(403, method="POST", path="/commit/", times=0)
    found = published_run(transfers, run, namespace="team", name="second")
    assert found.state == "failed"
    panel, button, _ = hub_publish.follow(run.id, PAGE)
    assert "bs-problem" in panel and "hub-no" in panel and button.interactive
    _, owner, name, *_ = hub_publish.chosen(run.id, None, PAGE)  # what has to be asked for again
    assert (owner.value, name) == ("team", "second")
    server.calm()
    assert published_run(transfers, run).state == "done"


def test_a_run_that_waits_is_published_when_it_is_done_or_not_at_all(
    alice: str, run: Run, transfers: Transfers
) -> None:
    before = run.state()
    run.write_state(RunState(status="queued", name=before.name))
    try:
        *_, when, panel, button, _ = hub_publish.chosen(run.id, None, PAGE)
        assert when.visible and "The run has not ended" in panel
        assert button.value == "Publish when it is done"
        hub_publish.start(run.id, "end", "", PAGE, **form())
        found = transfers.find("local", "push", run.id)
        assert found is not None and found.works
        panel, button, clock = hub_publish.act(run.id, pressed("cancel"), PAGE)
        assert "Cancelling" in panel or "being cancelled" in panel or "Cancelled" in panel
        found = transfers.wait("local", "push", run.id)
        assert found is not None and found.state == "cancelled"
        assert "Cancelled. The run keeps its model." in hub_publish.follow(run.id, PAGE)[0]
    finally:
        run.write_state(before)


def test_a_push_goes_on_when_the_page_is_gone_and_ends_when_the_run_does(
    alice: str, run: Run, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, waiting = run.state(), threading.Event()
    run.write_state(RunState(status="queued", name=before.name))
    monkeypatch.setattr(pushing, "LOOK_SECONDS", 0.01)
    try:
        first = hub_publish.begin_push(run, policy.LOCAL, Destination("alice/greetings", private=True))
        assert first.works and not waiting.is_set()
        assert until(lambda: publish.wanted(run) != "")
        with pytest.raises(ForbiddenError, match=r"published otherwise at the moment.*as alice/greetings"):
            hub_publish.begin_push(run, policy.LOCAL, Destination("alice/other"))
    finally:
        run.write_state(before)
    found = transfers.wait("local", "push", run.id)
    assert found is not None and found.state == "done", found
    assert found.steps[0] == "Waiting for the run to end, to publish it as alice/greetings"
    assert publish.wanted(run) == ""


def test_a_push_whose_token_is_forgotten_is_still_wanted_and_the_panels_say_so(
    alice: str, run: Run, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run.state()
    run.write_state(RunState(status="queued", name=before.name))
    monkeypatch.setattr(pushing, "LOOK_SECONDS", 0.01)
    try:
        hub_publish.begin_push(run, policy.LOCAL, Destination("alice/greetings", private=True))
        assert until(lambda: publish.wanted(run) == "alice/greetings")
        transfers.revoke(alice)
        found = transfers.wait("local", "push", run.id)
        assert found is not None and found.state == "failed"
        assert publish.wanted(run) == "alice/greetings"
        for drawn in (
            hub_publish.follow(run.id, PAGE)[0],
            hub_publish.told_briefly(view.view(run.id, "local"), policy.LOCAL),
        ):
            assert "Sign in or give a token, and begin it again." in drawn
    finally:
        run.write_state(before)
        publish.note_wanted(run, "")


# From the run's own panel


def choice(**values: Any) -> dict[str, Any]:
    """The controls under Start, ticked."""
    ticked = {"publish": True, "publish_namespace": "alice", "publish_name": "", "publish_private": True}
    return ticked | {"publish_when": "end"} | values


def test_a_run_that_is_to_be_published_is_named_like_the_run_or_as_asked(alice: str) -> None:
    assert publish_choice.asked({"publish": False}, "Tiny on greetings") is None
    assert publish_choice.asked({}, "Tiny on greetings") is None
    where = publish_choice.asked(choice(), "Tiny on greetings")
    assert where == Destination("alice/tiny-on-greetings", private=True)
    where = publish_choice.asked(
        choice(publish_namespace="team", publish_name="x", publish_private=False), ""
    )
    assert where == Destination("team/x", private=False)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"publish_namespace": ""}, "there is no owner"),
        ({"publish_namespace": None}, "there is no owner"),
        ({"publish_namespace": "bob"}, "alice may not write to bob"),
        ({"publish_name": "../x"}, "is no repository name"),
        ({"publish_name": "a/b"}, "is no repository name"),
    ],
)
def test_where_a_run_cannot_go_is_said_before_it_is_queued(
    values: dict[str, Any], why: str, alice: str, home: Path, transfers: Transfers
) -> None:
    shown, problem = started(**choice(**values))
    assert why in problem and shown == gr.skip()
    assert not list(home.rglob("state.json")) and transfers.find("local", "push") is None


def started(**values: Any) -> tuple[Any, str]:
    """What a start on a sample says."""
    settings = {name: settings_form.shown(name, each.default) for name, each in settings_form.FIELDS.items()}
    return train_tab.start("sample", "office", PAGE, **settings | values)


def test_a_run_that_is_to_be_published_waits_for_its_end_and_says_so(
    alice: str, home: Path, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "start_next", lambda: None)
    monkeypatch.setattr(pushing, "LOOK_SECONDS", 0.01)
    run_id, problem = started(**choice(publish_name="greetings"))
    assert problem == ""
    words = "Waiting for the run to end, to publish it as alice/greetings – it can be cancelled"
    assert until(lambda: words in hub_publish.told_briefly(view.view(run_id, "local"), policy.LOCAL))
    assert until(lambda: publish.wanted(Run(home / "local" / run_id)) == "alice/greetings")
    monkeypatch.setattr(hub_publish, "TRANSFERS", Transfers())  # as after a restart
    said = hub_publish.told_briefly(view.view(run_id, "local"), policy.LOCAL)
    assert "It was to be published as alice/greetings, and the app was restarted since" in said
    assert not any(alice.encode() in path.read_bytes() for path in home.rglob("*") if path.is_file())
    monkeypatch.setattr(hub_publish, "TRANSFERS", transfers)
    transfers.cancel("local", "push", run_id)
    transfers.wait("local", "push", run_id)
    assert hub_publish.told_briefly(view.view(run_id, "local"), policy.LOCAL) == ""


def test_the_choice_shows_who_one_is_once_it_is_ticked(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    column, said, owner = publish_choice.wanted(True, None, PAGE)
    assert column.visible and "No account of the Hub is in use." in said and owner.value is None
    monkeypatch.setattr(who.OWNERS, "_pasted", Login(server.user("alice", orgs=("team",))))
    column, said, owner = publish_choice.wanted(True, None, PAGE)
    assert "You are alice" in said and owner.value == "alice"
    assert [value for _, value in owner.choices] == ["alice", "team"]
    assert publish_choice.wanted(True, "team", PAGE)[2].value == "team"
    assert not publish_choice.wanted(False, None, PAGE)[0].visible


def test_the_runs_panel_tells_a_push_in_a_line() -> None:
    done = Published("alice/x", "0123456789", "https://hub/alice/x", private=True, verified=True, rows=9)
    line = render_publish.draw_line(None, [done])
    assert "Published: " in line and "https://hub/alice/x" in line and "verified" in line
    failed = Transfer(1, "local", "push", "run", "failed", error=HubError("Away.", hint="Later."))
    assert "bs-problem" in render_publish.draw_line(failed, [done])
    working = Transfer(1, "local", "push", "run", "working", ("Sending <b>",), stopping=True)
    assert "Sending &lt;b&gt; – being cancelled" in render_publish.draw_line(working, [])
    assert render_publish.draw_line(None, []) == ""


def test_programs_publish_too(alice: str, run: Run, transfers: Transfers) -> None:
    told = hub_publish.publish_run(run.id, "team/greetings", message="First")
    assert told["about"] == run.id
    transfers.wait("local", "push", run.id)
    assert hub_publish.publications(run.id)["push"]["state"] == "done"


# The card


def test_the_card_is_shown_with_its_pictures_and_may_be_changed(
    run: Run, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    source, drawn, notes, made, folder, given = card_fold.make(run.id, PAGE, **form())
    assert source == made and given == "" and source.startswith("---\n") and "license: mit" in source
    assert not drawn.lstrip().startswith("---") and "data:image/svg+xml;base64," in drawn
    assert (Path(folder) / "learning_curve.svg").is_file()
    assert card_fold.changed(source, made, folder)[1] == ""
    shown, given = card_fold.changed(source + "\nMore.", made, folder)
    assert given.endswith("More.") and "More." in shown
    assert "base64" not in card_fold.rendered("![x](../../secret.svg) ![y](secret.svg)", folder)
    with pytest.raises(DataError, match="characters"):
        card_fold.check_length("x" * (card_fold.MAX_CHARACTERS + 1))


def test_there_is_no_card_before_there_is_a_result(home: Path) -> None:
    waiting = Run.create(TrainConfig())
    assert "when the run has ended" in card_fold.make(waiting.id, PAGE, **form())[2]


def test_a_card_that_was_changed_goes_up_as_it_is(
    server: Any, alice: str, run: Run, transfers: Transfers
) -> None:
    card = "---\nlicense: mit\n---\n# Mine\n\nMy own words.\n"
    hub_publish.start(run.id, "end", card, PAGE, **form())
    found = transfers.wait("local", "push", run.id)
    assert found is not None and found.state == "done"
    assert "My own words." in server.files("alice/greetings")["README.md"].decode()


def test_the_states_of_a_publication_are_drawn() -> None:
    done = Published("a/b", "c" * 40, "https://hub/a/b", private=True, time=1.0, verified=True, rows=20)
    worse = Published("a/b", "d" * 40, "https://hub/a/b", verified=False, rows=20, difference=0.25)
    asked = Published("a/b", "e" * 40, "https://hub/a/b", "https://hub/a/b/discussions/1", verified=None)
    assert "Make a Space for it" in render_publish.draw_published(done)
    assert "predicts otherwise on 20 rows" in render_publish.draw_published(worse)
    drawn = render_publish.draw_published(asked)
    assert "a pull request to" in drawn and "discussions/1" in drawn and "Not verified" in drawn
    assert "verified" in render_publish.draw_earlier([done]) and render_publish.draw_earlier([]) == ""
    going = Transfer(1, "local", "push", "run", "working", ("Sending", "The line broke. Trying again in 4 s"))
    assert 'class="hub-now"' in render_publish.draw_push(going, [])


def test_an_unreachable_hub_is_another_thing_than_a_refusal() -> None:
    assert "not reachable" in model_picker.unreachable(HubUnreachable("x"))
    assert "Too often." in model_picker.unreachable(HubError("Too often."))
