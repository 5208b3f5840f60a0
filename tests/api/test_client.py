"""The Python client against the real application on a loopback port."""

import ast
import inspect
import json
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest
from pydantic import TypeAdapter

from api import client as clients
from api.app import create_app
from api.client import (
    AsyncClient,
    Client,
    ForbiddenError,
    InvalidRequestError,
    NoFeasibleConfigurationError,
    NotFoundError,
    ProblemError,
    RowsError,
    StaleRevisionError,
    StoreUnavailableError,
    UnauthorisedError,
    UnknownNameError,
    UnreachableError,
)
from api.client.calls import may_pass
from api.client.errors import BY_CODE
from api.client.operations import Download, Ending, Events, Listing, Operation, Upload
from api.client.routes import Routes
from api.job_schemas import VerificationRequest
from api.schemas import ImportRequest, PredictionsRequest
from api.security import create_key
from measurements import verification as verifications
from measurements.settings import Settings
from measurements.store import Store
from measurements.sweeps import Speech, SweepSpec
from models_registry import Configuration
from models_registry.weights import available
from planner.errors import PlannerError
from planner.question import Budget, FrontQuestion, Question
from tests.api.live import live

needs_tiny = pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs offline weights")
DEMO = Question(study="asr-demo", budget=Budget(gflops_per_utterance=50))
TINY = VerificationRequest(question=DEMO, configuration=Configuration(model="tiny.en"), limit=4)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    return Settings(database_url=f"sqlite:///{folder / 'store.db'}")


@pytest.fixture(scope="module")
def service(settings):
    with live(settings) as served:
        yield served


@pytest.fixture(params=[Client, AsyncClient])
def ask(request, service):
    """Calls a method of either client; a method that yields gives a list."""
    url, faults = service
    faults.next.clear()
    faults.seen.clear()

    def sync(name, *given, **named):
        with Client(url, retry_timeout_s=60) as client:
            found = getattr(client, name)(*given, **named)
            return list(found) if inspect.isgenerator(found) else found

    async def waiting(name, given, named):
        async with AsyncClient(url, retry_timeout_s=60) as client:
            found = getattr(client, name)(*given, **named)
            if inspect.isasyncgen(found):
                return [item async for item in found]
            return await found

    def run_async(name, *given, **named):
        return anyio.run(waiting, name, given, named)

    asked = sync if request.param is Client else run_async
    asked.faults = faults
    return asked


# --- the OpenAPI document ---


@pytest.fixture(scope="module")
def document(settings):
    return create_app(settings).openapi_schema.to_schema()


@pytest.fixture(scope="module")
def operations(document):
    return {
        re.sub(r"([A-Z])", lambda m: "_" + m[1].lower(), operation["operationId"]): (
            method.upper(),
            path,
            operation,
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def described():
    return {
        name: found for name, found in vars(Routes).items() if isinstance(found, Operation | Events)
    }


def test_every_operation_has_a_method_and_the_other_way_round(operations):
    assert set(described()) == set(operations)


@pytest.mark.parametrize("name", sorted(described()))
def test_methods_are_as_the_document_says(operations, document, name):
    """Catches a parameter that is renamed, dropped, given another default or another choice."""
    route = described()[name].route
    method, path, operation = operations[name]
    assert (route.method, route.path) == (method, path)
    parameters = dict(route.signature.parameters)
    body = operation.get("requestBody")
    assert (route.body is None) == (body is None)
    if body is not None:
        content = body["content"]["application/json"]
        kind = parameters.pop(route.body).annotation
        assert content["schema"]["$ref"].rpartition("/")[2] == kind.__name__
    said = {(one["in"], one["name"]): one for one in operation.get("parameters", ())}
    for header in [*route.headers.values(), *(["If-None-Match"] if route.kept else [])]:
        assert said.pop(("header", header))
    assert {p for p in parameters if p not in route.headers} == {n for _, n in said}
    for (place, parameter), one in said.items():
        own = parameters[parameter]
        assert (f"{{{parameter}}}" in path) == (place == "path")
        assert (own.default is inspect.Parameter.empty) == bool(one.get("required"))
        if own.default is not inspect.Parameter.empty:
            assert own.default == one["schema"].get("default")
        assert _kinds(TypeAdapter(own.annotation).json_schema()) == _kinds(one["schema"])
    answered = next(r for status, r in operation["responses"].items() if status < "300")
    content = next(iter(answered["content"].values()))
    if isinstance(described()[name], Operation):
        result = route.signature.return_annotation
        if result is str:
            assert content["schema"]["type"] == "string"
            return
        assert content["schema"]["$ref"].rpartition("/")[2] == result.__name__
    else:
        assert "text/event-stream" in answered["content"]


def _kinds(schema):
    """Types and choices that a JSON schema allows, whichever way it is spelt."""
    branches = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
    if branches:
        return set().union(*map(_kinds, branches))
    if "enum" in schema:
        return {"null" if value is None else value for value in schema["enum"]}
    kinds = schema["type"]
    return set(kinds) if isinstance(kinds, list) else {kinds}


def test_both_clients_have_every_method_and_explain_it():
    both = Client("http://x"), AsyncClient("http://x")
    for name, found in vars(Routes).items():
        if isinstance(found, Operation | Events | Listing | Ending | Download | Upload):
            for client in both:
                bound = getattr(client, name)
                assert bound.__name__ == name
                assert bound.__doc__
                assert "self" not in inspect.signature(bound).parameters
    with pytest.raises(TypeError, match="colour"):
        both[0].get_cost("base", colour="red")


def test_every_kind_of_problem_has_its_exception():
    """Catches a problem type that is new in the service and unknown to its client."""
    codes = {kind.code for kind in _below(PlannerError)}
    for file in Path(clients.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "problem":
                named = node.args[1:2]
            elif (
                isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]).strip("()") == "code, title"
            ):
                named = getattr(node.value, "elts", [])[:1]
            else:
                continue
            codes |= {one.value for one in named if isinstance(one, ast.Constant)}
    from api.problems import _NAMES

    codes |= {code for code, _ in _NAMES.values()}
    assert codes == set(BY_CODE)


def _below(kind):
    return {one for sub in kind.__subclasses__() for one in {sub, *_below(sub)}}


def test_importing_it_brings_no_web_framework_and_no_database():
    heavy = ("litestar", "torch", "dbos", "sqlalchemy", "alembic", "uvicorn", "scipy.stats")
    code = f"import sys, api.client; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


# --- asking ---


def test_asking(ask):
    answer = ask("recommend", Question(budget=Budget(gflops_per_utterance=200)))
    assert answer.recommendation.costs.gflops_per_utterance <= 200
    front = ask("draw_front", FrontQuestion(y="memory_gib"))
    assert front.front.points
    request = PredictionsRequest(configurations=[Configuration(model="base", window_s=17.5)])
    (item,) = ask("predict", request).items
    assert 0 < item.predictions["wer"].lower < item.predictions["wer"].upper
    cost = ask("get_cost", "large-v3", convention="seed-2606.22790")
    assert cost.gflops == pytest.approx(5228.0, abs=0.1)
    curves = ask("get_scaling", "ser-emodb-de", level=0.5)
    assert (curves.study, curves.level) == ("ser-emodb-de", 0.5)
    assert ask("list_models").items
    assert ask("list_devices").local
    assert ask("get_coverage").items == []
    assert ask("get_readiness").status == "ok"
    assert "speechplan_" in ask("get_metrics")
    assert "asr-demo" in [study.id for study in ask("list_studies").items]


def test_pages_are_walked(ask):
    study = "asr-librispeech-test-other-lora32"
    assert len(ask("measurements", study, limit=4)) == 11
    requests = [path for _, path, _ in ask.faults.seen]
    assert requests == [f"/v1/studies/{study}/measurements"] * 3
    assert ask("list_measurements", study, limit=4).next_cursor == "4"
    found = ask("all_measurements", study=study, source="published", limit=4)
    assert [one.key for one in found] == [one.key for one in ask("measurements", study)]
    assert ask("get_measurement", found[0].key) == found[0]


def test_problems_are_raised_as_what_they_are(ask):
    with pytest.raises(NoFeasibleConfigurationError) as none:
        ask("recommend", Question(budget=Budget(gflops_per_utterance=0.5)))
    assert none.value.binding == "gflops_per_utterance"
    assert none.value.needed["gflops_per_utterance"] > 0.5
    assert none.value.nearest["configuration"]["model"]
    with pytest.raises(UnknownNameError) as unknown:
        ask("recommend", Question(models=("whisper-bse",), budget=Budget(memory_gib=1)))
    assert "whisper-base" in unknown.value.suggestions
    with pytest.raises(NotFoundError, match="there is no sweep 'b\\?c d'"):
        ask("get_sweep", "b?c d")
    with pytest.raises(InvalidRequestError) as invalid:
        ask("list_sweeps", limit=0)
    assert invalid.value.errors[0]["field"] == "limit"
    with pytest.raises(RowsError) as rows:
        ask("import_measurements", ImportRequest(rows=[{"study": "x", "wer": 20}]))
    assert {error["row"] for error in rows.value.errors} == {1}


def test_a_name_with_a_slash_stays_one_segment(ask):
    with pytest.raises(NotFoundError):
        ask("list_curves", "../../health")


# --- faults on the wire ---


def test_it_asks_again_when_the_service_says_so(ask):
    ask.faults.next = [(429, {"retry-after": "0"}), (503, {"retry-after": "0.1"}), "cut"]
    assert ask("list_models").items
    assert len(ask.faults.seen) == 4


def test_it_gives_up_where_the_wait_is_longer_than_its_patience(ask):
    ask.faults.next = [(503, {"retry-after": "3600"})]
    with pytest.raises(StoreUnavailableError) as problem:
        ask("list_models")
    assert problem.value.retry_after_s == 3600
    assert len(ask.faults.seen) == 1


@needs_tiny
def test_a_lost_answer_to_a_question_begins_one_verification(ask):
    before = {found.id for found in ask("verifications")}
    ask.faults.next = ["cut"]
    answer = ask("recommend", DEMO, verify="always", limit=4)
    assert {found.id for found in ask("verifications")} - before == {answer.id}


def test_what_still_holds_is_not_sent_again(service, settings):
    """304 for what is known, new figures for what is not."""
    url, faults = service
    ours = {"study": "later", "dataset": "d", "provenance": "p"}
    # Of the other task, so that the curves behind the question stay as they are.
    row = {**ours, "task": "ser", "model": "base", "ua": 0.7, "unit": "fraction"}
    with Client(url) as client:
        first = client.list_studies()
        faults.seen.clear()
        assert client.list_studies() == first
        (_, _, headers) = faults.seen[0]
        assert headers[b"if-none-match"].decode() == client.revision
        old = client.revision
        client.import_measurements(ImportRequest(rows=[row]))
        assert "later" in [study.id for study in client.list_studies().items]
        assert client.revision != old
        asked = Question(budget=Budget(gflops_per_utterance=200))
        with pytest.raises(StaleRevisionError) as stale:
            client.recommend(asked, revision=old)
        assert client.recommend(asked, revision=stale.value.revision).recommendation


@needs_tiny
def test_a_lost_answer_starts_one_verification(ask, request):
    """The key that the client makes is the same at every try."""
    before = {found.id for found in ask("verifications")}
    ask.faults.seen.clear()
    ask.faults.next = ["cut", "cut"]
    started = ask("start_verification", TINY).verification
    keys = {headers[b"idempotency-key"] for _, _, headers in ask.faults.seen}
    assert (len(ask.faults.seen), len(keys)) == (3, 1)
    assert {found.id for found in ask("verifications", limit=2)} - before == {started.id}
    other = ask("start_verification", TINY).verification
    assert other.id != started.id
    same = [ask("start_verification", TINY, idempotency_key=request.node.name) for _ in range(2)]
    assert same[0] == same[1]
    for found in (started, other, same[0].verification, started):
        assert ask("cancel_verification", found.id).verification.status == "cancelled"


def test_nothing_listens(unused_port):
    address = f"http://127.0.0.1:{unused_port}"

    async def waiting():
        async with AsyncClient(address, attempts=2) as client:
            await client.list_models()

    with Client(address, attempts=2) as client, pytest.raises(UnreachableError, match=address):
        client.list_models()
    with pytest.raises(UnreachableError, match=address):
        anyio.run(waiting)


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- following work ---


@needs_tiny
def test_a_verification_is_followed_to_its_end(ask, settings, monkeypatch):
    """Told of each change once, though the stream is cut; catches an end taken for a cut.

    Between changes it is told nothing: comments are no documents.
    """
    monkeypatch.setattr("api.events.HEARTBEAT_S", 0.0)
    started = ask("start_verification", TINY).verification
    ask.faults.seen.clear()
    ask.faults.next = ["cut-stream"]

    def work():
        store = Store.open(settings.database_url)
        found = verifications.find(started.id, store)
        while not ask.faults.seen:
            time.sleep(0.1)
        for done in (1, 2, 3):
            time.sleep(2)  # by then the one before was told
            found = found.model_copy(update={"status": "running", "done": done})
            verifications.save(found, store)
        verifications.cancel(found, store)
        store.close()

    worker = threading.Thread(target=work)
    worker.start()
    followed = [event.verification for event in ask("follow_verification", started.id)]
    worker.join()
    assert followed[0].status == "queued"
    assert followed[-1].status == "cancelled"
    assert [f.done for f in followed] == sorted(f.done for f in followed)
    assert len({f.model_dump_json() for f in followed}) == len(followed) > 2
    assert len(ask.faults.seen) == 2
    assert ask("wait_for_verification", started.id).verification == followed[-1]


@needs_tiny
def test_an_answer_is_exported(ask):
    """As a plan that can be written and loaded, not as text; the card as text."""
    begun = ask("start_verification", TINY).verification
    plan = ask("get_plan", begun.id)
    assert plan.configuration == begun.recommendation.configuration
    assert plan.question["study"] == "asr-demo"
    assert ask("get_model_card", begun.id).startswith("---")
    ask("cancel_verification", begun.id)


def test_waiting_for_a_sweep_has_an_end(ask):
    spec = SweepSpec(
        models=("tiny.en",), speech=(Speech(dataset="demo", limit=3),), axes={"window_s": (10, 20)}
    )
    sweep = ask("start_sweep", spec)
    assert (sweep.total, sweep.status) == (3, "running")
    with pytest.raises(TimeoutError, match="not over after"):
        ask("wait_for_sweep", sweep.id, timeout_s=0.2, poll_s=0.1)
    assert ask("cancel_sweep", sweep.id).status == "cancelled"
    assert [event.status for event in ask("follow_sweep", sweep.id)] == ["cancelled"]
    assert ask("wait_for_sweep", sweep.id).status == "cancelled"
    assert sweep.id in [found.id for found in ask("sweeps", limit=1)]


# --- keys and addresses ---


def test_keys_and_the_address_come_from_the_environment(tmp_path, monkeypatch):
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'store.db'}", api_key="correct horse battery"
    )
    store = Store.open(settings.database_url)
    plan = create_key(store, name="a", scope="plan")
    store.close()
    row = {
        "study": "m",
        "dataset": "d",
        "provenance": "p",
        "model": "base",
        "wer": 0.2,
        "unit": "fraction",
    }
    with live(settings) as (url, _):
        monkeypatch.setenv("SPEECHPLAN_URL", url)
        with Client() as client, pytest.raises(UnauthorisedError, match="Bearer"):
            client.list_models()
        with Client(api_key=plan) as client:
            assert client.list_models().items
            with pytest.raises(ForbiddenError, match="scope measure"):
                client.import_measurements(ImportRequest(rows=[row]))
        monkeypatch.setenv("SPEECHPLAN_API_KEY", "correct horse battery")
        with Client() as client:
            assert client.import_measurements(ImportRequest(rows=[row])).stored == 1


def test_what_a_later_service_adds_is_let_be(tmp_path):
    """Catches a client that breaks on a field it does not know."""
    route = described()["get_health"].route
    document = json.dumps({"status": "ok", "version": "9", "colour": "blue"})
    assert route.call().parsed(document).version == "9"
    with pytest.raises(clients.UnexpectedAnswerError, match="version"):
        route.call().parsed('{"status": "ok"}')


def test_a_proxy_s_page_is_a_problem_too():
    import httpx

    page = httpx.Response(502, content=b"<html>Bad gateway</html>")
    route = described()["list_models"].route
    with pytest.raises(ProblemError, match="502 Bad Gateway") as problem:
        route.call().read(page)
    assert may_pass(problem.value)
