"""The pages over HTTP: addresses, other ways to ask, signing in, and pages without charts."""

import html
import json
import re
import shlex
import subprocess
import sys
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from typer.testing import CliRunner

from api import security
from api.app import create_app
from api.cli.main import app
from api.headers import CONTENT_SECURITY_POLICY
from api.job_schemas import VerificationRequest
from api.web import fields, site
from api.web.snippets import command_line, curl, python, verifying
from api.web.wording import chance, number, quantity
from measurements import verification as verifications
from measurements.datasets import DatasetError
from measurements.settings import Settings
from measurements.store import Store
from measurements.studies import DEFAULT_STUDY
from models_registry import read_plan
from models_registry.weights import available
from planner.question import Budget, Question
from planner.workload import DEFAULT_WORKLOAD, Workload

BASE = "http://127.0.0.1:8000"
STUDY = "asr-librispeech-mini-test-other"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    with TestClient(create_app(Settings(database_url=f"sqlite:///{folder / 'w.db'}"))) as opened:
        yield opened


def ask(query):
    return fields.ask(parse_qsl(query), lambda question: DEFAULT_WORKLOAD)


QUESTIONS = [
    "gflops=200",
    "gflops=200&rtf=0.05&device=local&relax=50%25",
    "gflops=200&memory_gib=2&relax=gflops%3D%2B33.3%25",
    "target_wer=5%25&minimise=memory_gib&gflops=900",
    "task=ser&target_ua=0.7&study=ser-emodb-de&seed=7",
    "rtf=0.1&device=nvidia-l4&audio_s=20&arrivals_per_s=3.5&max_batch_size=8&max_utilisation=80%25",
    "gflops=200&audio_s=4,8.5%2020&tokens_per_audio_s=2.5",
    "gflops=200&arrivals_per_s=2&rtf=1&device=local",
    "usd_per_audio_hour=0.02&device=nvidia-h200&usd_per_device_hour=4&device_watts=500",
    "gflops=200&without_study=asr-a&without_study=asr-b&model=base",
    "gflops=5&model=tiny.en&model=whisper-base&level=80%25&risk=0.2&tolerance=5%25",
    "gflops=40&convention=seed-2606.22790&trials=20&alternatives=2",
    "parameters=240e6&latency_p50_s=1&latency_p95_s=2&joules_per_audio_second=9&device=local"
    "&gflops_per_audio_second=100&device_watts=30",
]


def questions_of_command_line(text, folder, monkeypatch):
    """What a command line asks, as the command itself understands it."""
    seen = []
    monkeypatch.setattr(
        "api.services.planning.PlanningService.recommend",
        lambda self, question, *_: seen.append(question) or 1,
    )
    result = run_lines(text, folder, monkeypatch)
    assert seen, result.output
    return seen


def run_lines(text, folder, monkeypatch):
    """Runs the lines before the last one in a shell, and the last one as our command."""
    monkeypatch.chdir(folder)
    *before, last = text.replace("\\\n", " ").split("\n")
    for line in before:
        subprocess.run(["sh", "-c", line], cwd=folder, check=True)
    words = shlex.split(last)
    assert words[0] == "speechplan"
    return CliRunner().invoke(app, words[1:])


@pytest.mark.parametrize("query", QUESTIONS)
def test_every_way_to_ask_asks_the_same(query, tmp_path, monkeypatch):
    """A snippet that rounds a number or forgets a field would plan for another question."""
    asked = ask(query)
    assert asked.errors == {}
    question = asked.question
    known = DEFAULT_WORKLOAD
    text = command_line(question, known)
    assert questions_of_command_line(text, tmp_path, monkeypatch) == [question]
    body = shlex.split(curl(question, BASE, keyed=False).replace("\\\n", " "))[-1]
    assert Question.model_validate_json(body) == question
    scope = {}
    code = re.search(r"question = .*?\n\)", python(question, BASE), re.DOTALL)[0]
    exec(code, {"Question": Question}, scope)
    assert scope["question"] == question
    again = fields.asked_of(question, known)
    assert ask(urlsplit(again.link()).query).question == question


@pytest.mark.parametrize("query", QUESTIONS)
def test_every_way_to_verify_verifies_the_same(query, tmp_path, monkeypatch):
    """A snippet that forgets a target or a study would check the answer to another question."""
    question = ask(query).question
    study = question.study or DEFAULT_STUDY[question.task]
    texts = {
        one.id: one.text
        for one in verifying(
            question,
            BASE,
            keyed=False,
            study=study,
            study_workload=DEFAULT_WORKLOAD,
            dataset="librispeech:/data",
        )
    }
    asked = question.model_copy(update={"study": study})
    body = shlex.split(texts["curl"].replace("\\\n", " "))[-1]
    request = VerificationRequest.model_validate_json(body)
    assert (request.question, request.dataset) == (asked, "librispeech:/data")
    scope = {}
    code = texts["python"].split("with Client", 1)[0]
    exec(code, scope)
    assert scope["question"] == asked
    assert "question=question, dataset='librispeech:/data'" in texts["python"]

    seen = []

    def create(question, store, **options):
        seen.append((question, options["dataset"]))
        raise DatasetError("seen")

    monkeypatch.setattr(verifications, "create", create)
    assert "speechplan verify" in texts["cli"]
    result = run_lines(texts["cli"], tmp_path, monkeypatch)
    assert seen, result.output
    beside = {"alternatives": Question.model_fields["alternatives"].default}
    assert seen == [(asked.model_copy(update=beside), "librispeech:/data")]


def test_a_workload_that_no_field_can_say_goes_into_a_file(tmp_path, monkeypatch):
    workload = Workload(
        durations_s=(5, 60), weights=(3, 1), arrivals_per_s=2, source='it\'s "ours" & $HOME'
    )
    question = Question(budget=Budget(gflops_per_utterance=99.5), workload=workload)
    assert fields.asked_of(question) is None
    text = command_line(question)
    assert questions_of_command_line(text, tmp_path, monkeypatch) == [question]


def test_the_command_line_is_not_given_what_it_refuses(tmp_path, monkeypatch):
    """What changes nothing is left out of the snippet, not printed for a usage error."""
    asked = Question(
        budget=Budget(gflops_per_utterance=200),
        minimise="rtf",
        max_utilisation=0.5,
        usd_per_device_hour=3,
    )
    (found,) = questions_of_command_line(command_line(asked), tmp_path, monkeypatch)
    assert found == Question(budget=asked.budget)


def test_python_asks_the_service(client):
    """The snippet's own lines, run against the service."""
    pytest.importorskip("api.client")
    import io
    from contextlib import redirect_stdout

    import api.client as made

    question = Question(budget=Budget(gflops_per_utterance=200))
    code = python(question, BASE)

    class Here(made.Client):
        def recommend(self, asked):
            from api.schemas import RecommendationResponse

            answer = client.post("/v1/recommendations", json=asked.model_dump(mode="json")).json()
            return RecommendationResponse.model_validate(
                {name: answer[name] for name in ("recommendation", "study")}
            )

    said = io.StringIO()
    with redirect_stdout(said), pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "Client", Here)
        exec(code, {})
    assert said.getvalue().startswith("whisper-")


@given(
    st.floats(min_value=1.0001, max_value=1000),
    st.floats(min_value=1e-3, max_value=1e6),
)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_numbers_survive_an_address(factor, bound):
    """Relaxations to a billionth, bounds exactly."""
    question = Question(
        budget=Budget(gflops_per_utterance=bound), relax={"gflops_per_utterance": factor}
    )
    found = ask(urlsplit(fields.asked_of(question).link()).query).question
    assert found.budget == question.budget
    assert found.relax["gflops_per_utterance"] == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("gflops=many", "gflops", "valid number"),
        ("gflops=-1", "gflops", "greater than"),
        ("gflops=nan", "gflops", "finite"),
        ("gflop=200", "gflop", "did you mean gflops?"),
        ("target_wer=5", "target_wer", "less than"),
        ("target_wer=x%25", "target_wer", "valid number"),
        ("rtf=0.1", "", "belongs to a device"),
        ("task=asr", "", "name at least one budget"),
        ("task=sing&gflops=1", "task", "'asr' or 'ser'"),
        ("gflops=200&relax=50", "relax", "say 50%"),
        ("gflops=200&relax=rtf%3D50%25", "", "which has no budget"),
        ("gflops=200&audio_s=4,x", "audio_s", "valid number"),
        ("gflops=200&audio_s=0", "audio_s", "greater than"),
        ("gflops=200&tokens_per_audio_s=3", "tokens_per_audio_s", "durations"),
        ("gflops=200&max_batch_size=1.5", "max_batch_size", "integer"),
        ("gflops=200&seed=-1", "seed", "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(client, query, field, said):
    errors = ask(query).errors
    assert said in errors[field], errors
    response = client.get(f"/?{query}")
    assert response.status_code == 400
    assert html.escape(errors[field], quote=True).replace("&#x27;", "&#39;") in response.text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/", 200, "For example"),
        ("/?gflops=200", 200, "Best within the budget"),
        ("/?target_wer=8%25", 200, "Cheapest that reaches the target"),
        ("/?gflops=60&arrivals_per_s=9&rtf=1&device=nvidia-l4", 200, "recordings a second"),
        ("/?task=ser&gflops=20&study=ser-emodb-de", 200, "UA"),
        ("/?gflops=0.1&memory_gib=0.01", 422, "Allow what it needs"),
        ("/?target_wer=0.1%25", 422, "Ask for WER"),
        ("/?gflops=200&device=nvidia-h1000", 422, "Did you mean"),
        ("/?gflops=200&study=ser-crema-d", 422, "Too little data"),
        ("/?task=ser&gflops=20&study=asr-demo", 422, "about asr, not ser"),
        ("/?gflops=200&model=hubert-base", 422, "do asr"),
        ("/studies", 200, STUDY),
        (f"/studies/{STUDY}", 200, "Against the centre"),
        ("/studies/asr-demo", 200, "Nothing was measured in it yet"),
        ("/studies/none", 404, "There is no study"),
        ("/sweeps", 200, "There is none yet"),
        ("/sweeps/none", 404, "There is no sweep"),
        ("/verifications", 200, "There is none yet"),
        ("/verifications/none", 404, "There is no verification"),
        ("/verifications?cursor=!", 400, "not valid"),
        ("/calibration", 200, "Nothing was verified yet"),
        ("/models", 200, "whisper-large-v3"),
        ("/devices", 200, "this machine"),
    ],
)
def test_every_page_with_its_status_and_policy(client, path, status, said):
    """No page without the policy, none that a style attribute or script of its own would break."""
    response = client.get(path)
    assert response.status_code == status
    assert said in response.text
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", response.text)
    assert set(re.findall(r"<script([^>]*)>", response.text)) <= {
        f' type="module" src="{site.ASSETS.path("app.js")}"',
        ' type="application/json"',
    }
    assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", response.text)


def test_what_needs_it_is_offered_and_leads_to_an_answer(client):
    """The way out of an impossible question has to be possible."""
    for query in (
        "gflops=0.1&memory_gib=0.01",
        "target_wer=0.1%25",
        "task=ser&target_ua=99%25",
        "task=ser&gflops=200&study=asr-demo",
        "task=ser&gflops=200&model=tiny",
        "gflops=200&model=hubert-base",
    ):
        refused = client.get(f"/?{query}")
        assert refused.status_code == 422
        for text in ("curl -sS", "speechplan recommend", "client.recommend(question)"):
            assert text in html.unescape(refused.text)
        ways = re.search(r'<ul class="ways">(.*?)</ul>', refused.text, re.DOTALL)[1]
        link = html.unescape(re.search(r'href="([^"]+)"', ways)[1])
        assert client.get(link).status_code == 200, link


def test_an_answer_says_how_to_verify_it_elsewhere(client):
    text = html.unescape(client.get("/?gflops=200&study=asr-demo").text)
    assert "speechplan verify --gflops 200.0" in text
    assert "/v1/verifications" in text
    assert "--dataset" not in text
    text = html.unescape(client.get("/?task=ser&gflops=20&study=ser-emodb-de").text)
    assert "--dataset emodb:" in text
    unknown = html.unescape(client.get("/?gflops=200&study=x").text)
    assert "speechplan recommend --gflops 200.0 --study x" in re.sub(r" \\\n +", " ", unknown)


def test_names_are_shown_as_text(client):
    """Whatever an address says comes back escaped."""
    attack = "%3Cscript%3Ealert(1)%3C/script%3E%22%27"
    for query in (
        f"gflops=1&study={attack}",
        f"gflops={attack}",
        f"{attack}=1",
        f"gflops=1&model={attack}",
    ):
        text = client.get(f"/?{query}").text
        assert "<script>alert" not in text
        assert "&lt;script&gt;" in text
    assert "<script>alert" not in client.get(f"/studies/{attack.replace('/', '%2F')}").text


def test_a_plan_can_be_downloaded(client, tmp_path):
    """What comes down is read as a plan again, with the answer's configuration."""
    response = client.get("/plan.yaml?gflops=200")
    assert response.status_code == 200
    assert "attachment" in response.headers["content-disposition"]
    (tmp_path / "plan.yaml").write_text(response.text)
    plan = read_plan(tmp_path / "plan.yaml")
    assert plan.question["budget"] == {"gflops_per_utterance": 200}
    assert plan.configuration.label() in client.get("/?gflops=200").text
    assert client.get("/plan.yaml").status_code == 400
    assert client.get("/plan.yaml?gflops=x").status_code == 400
    assert client.get("/plan.yaml?gflops=0.1").status_code == 422


def test_static_files_are_kept_for_ever_and_nothing_else_is_served(client):
    style = client.get(site.ASSETS.path("style.css"))
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]
    for name in ("style.css", "app.js"):
        assert client.get(f"/static/none/{name}").status_code == 404
    for name in ("..%2Fsite.py", "site.py", "none.js"):
        assert client.get(site.ASSETS.path(name)).status_code == 404


def test_the_bundle_draws_without_compiling_expressions(client):
    """The page's policy forbids it: vega-embed has to carry the interpreter."""
    pytest.importorskip("vl_convert")
    bundle = client.get(site.ASSETS.path("vega.js"))
    assert bundle.status_code == 200
    assert "vegaEmbed" in bundle.text
    assert "expressionInterpreter??" in bundle.text
    assert client.get(site.ASSETS.path("vega.js")).content == bundle.content


def test_pages_without_charts_show_tables(client, monkeypatch):
    monkeypatch.setattr(site.ASSETS, "charts", False)
    for path in ("/?gflops=200", f"/studies/{STUDY}"):
        text = client.get(path).text
        assert "<figure" not in text
        assert "<details open>" in text
        assert text.count("speechplan[plots]") == 1
    assert client.get(site.ASSETS.path("vega.js")).status_code in (200, 404)


def test_starting_the_service_loads_no_chart_library():
    """They would cost the API's start most of a second and tens of megabytes."""
    code = (
        "import sys, api.app; sys.exit(bool({'altair', 'vl_convert', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_a_form_sent_twice_is_one_verification(tmp_path):
    settings_ = Settings(database_url=f"sqlite:///{tmp_path / 'w.db'}")
    with TestClient(create_app(settings_)) as opened:
        path = "/verifications?gflops=50&study=asr-demo"
        form = {"nonce": "0" * 32, "limit": "5", "dataset": "", "max_runs": "2"}
        own = {"Origin": "http://testserver.local"}
        sent = [opened.post(path, data=form, headers=own, follow_redirects=False) for _ in "ab"]
        assert [response.status_code for response in sent] == [303, 303]
        assert len({response.headers["location"] for response in sent}) == 1
        store = Store.open(settings_.database_url)
        (kept,) = verifications.find_all(store)
        assert (kept.total, kept.max_runs) == (5, 2)
        shown = opened.get(sent[0].headers["location"])
        assert f"/v1/verifications/{kept.id}/events" in shown.text
        ended = opened.post(f"/verifications/{kept.id}/cancel", headers=own)
        assert "It was cancelled" in ended.text
        for change, status, said in (
            ({"nonce": "x"}, 400, "match pattern"),
            ({"limit": "0"}, 400, "greater than or equal to 1"),
            ({"dataset": "librispeech:/etc"}, 422, "allowed folder"),
            ({"configuration": json.dumps({"model": "medium"})}, 422, "medium are not on this"),
        ):
            refused = opened.post(path, data=form | {"nonce": "1" * 32} | change, headers=own)
            assert (refused.status_code, said in refused.text) == (status, True), refused.text
        assert opened.post("/verifications", data=form, headers=own).status_code == 400
        assert len(verifications.find_all(store)) == 1
        store.close()


@pytest.fixture
def keyed(tmp_path, monkeypatch):
    """A service with keys: a client and a key of each scope."""
    monkeypatch.setattr(security, "_LOOK_AGAIN_S", -1.0)
    settings_ = Settings(database_url=f"sqlite:///{tmp_path / 'keys.db'}")
    store = Store.open(settings_.database_url)
    keys = {s: security.create_key(store, name=s, scope=s) for s in ("plan", "measure")}
    with TestClient(create_app(settings_), base_url="https://speech.example") as opened:
        yield opened, keys
    store.close()


SAME = {"Origin": "https://speech.example", "Sec-Fetch-Site": "same-origin"}


def sign_in(client, key, to="/"):
    return client.post(
        "/sign-in", data={"key": key, "to": to}, headers=SAME, follow_redirects=False
    )


def test_pages_ask_for_a_key_where_there_are_keys(keyed):
    client, keys = keyed
    refused = client.get("/?gflops=200")
    assert refused.status_code == 401
    assert 'value="/?gflops=200"' in refused.text
    assert client.get(site.ASSETS.path("style.css")).status_code == 200
    wrong = sign_in(client, keys["plan"][:-1])
    assert (wrong.status_code, "no key of this service" in wrong.text) == (401, True)
    assert "set-cookie" not in wrong.headers
    entered = sign_in(client, keys["plan"], "/?gflops=200")
    assert (entered.status_code, entered.headers["location"]) == (303, "/?gflops=200")
    cookie = entered.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "secure", "path=/"))
    answered = client.get("/?gflops=200")
    assert answered.status_code == 200
    assert "Sign out" in answered.text
    assert "Authorization: Bearer $SPEECHPLAN_API_KEY" in html.unescape(answered.text)
    assert keys["plan"] not in answered.text
    assert client.get("/v1/models").status_code == 200
    left = client.post("/sign-out", headers=SAME, follow_redirects=False)
    assert left.headers["location"] == "/sign-in"
    assert client.get("/").status_code == 401


def test_a_cookie_reaches_as_far_as_its_key(keyed):
    client, keys = keyed
    form = {"nonce": "0" * 32}
    sign_in(client, keys["plan"])
    assert client.post("/verifications?gflops=9", data=form, headers=SAME).status_code == 403
    sign_in(client, keys["measure"])
    refused = client.post(
        "/verifications?gflops=9&study=asr-demo&model=medium", data=form, headers=SAME
    )
    assert refused.status_code == 422


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://speech.example"},
        {"Origin": "https://speech.example.evil.example"},
    ],
)
def test_another_sites_page_can_t_use_a_cookie(keyed, headers):
    client, keys = keyed
    sign_in(client, keys["measure"])
    body = {
        "rows": [
            {
                "study": "s",
                "dataset": "d",
                "provenance": "p",
                "model": "base",
                "wer": 0.2,
                "unit": "fraction",
            }
        ]
    }
    assert client.post("/v1/measurements", json=body, headers=headers).status_code == 403
    assert client.post("/sign-out", headers=headers).status_code == 403
    assert client.post("/v1/measurements", json=body, headers=SAME).status_code == 200


def test_another_sites_page_can_t_use_a_service_without_keys(client):
    """Loopback is no protection: a browser on this machine sends what any page asks it to."""
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    body = {"budget": {"gflops_per_utterance": 200}}
    assert client.post("/v1/recommendations", json=body, headers=evil).status_code == 403
    assert client.post("/v1/recommendations", json=body).status_code == 200


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil",
    ],
)
def test_signing_in_leads_nowhere_else(keyed, to):
    client, keys = keyed
    assert sign_in(client, keys["plan"], to).headers["location"] == "/"


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (number(126.4), "126"),
        (number(0.0000123), "1.23e-05"),
        (number(12345.6), "12,346"),
        (number(None), "\N{EN DASH}"),
        (chance(0.999), ">\u202f99\u202f%"),
        (chance(1.0), "100\u202f%"),
        (chance(0.001), "<\u202f1\u202f%"),
        (chance(0.0), "0\u202f%"),
        (quantity(241.7e6, "parameters"), "241.7\u202fM"),
        (quantity(0.0668, "wer"), "6.68\u202f%"),
        (quantity(0.05, "rtf"), "0.05"),
    ],
)
def test_numbers_are_said_as_precisely_as_they_are_known(said, value):
    assert said == value
