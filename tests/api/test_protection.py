"""What the service lets through: headers, limits, other sites' pages, addresses without a key."""

import pytest
from litestar.testing import TestClient

from api import security
from api.app import create_app
from api.headers import CONTENT_SECURITY_POLICY
from measurements.settings import Settings
from measurements.store import Store

PROBLEM = "application/problem+json"
KEY = "correct horse battery"


def settings(folder, **fields):
    return Settings(database_url=f"sqlite:///{folder / 'store.db'}", **fields)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return create_app(settings(tmp_path_factory.mktemp("protection")))


class At:
    """Passes requests on as a socket would have them: from an address, to an address."""

    def __init__(self, app, *, server=("testserver", 80), client=("testclient", 1), scheme="http"):
        self.app = app
        self.state = app.state
        self.fields = {"server": server, "client": client, "scheme": scheme}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            scope = {**scope, **self.fields}
        await self.app(scope, receive, send)


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/models", 200), ("/no/such", 404), ("/v1/sweeps/none", 404)]
)
def test_every_answer_tells_the_browser_what_it_may_do(app, path, status):
    with TestClient(app) as client:
        response = client.get(path)
    assert response.status_code == status
    assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "'unsafe" not in CONTENT_SECURITY_POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    kept = "private, no-cache" if "etag" in response.headers else "no-store"
    assert response.headers.get("cache-control") == (kept if path.startswith("/v1") else None)
    assert "strict-transport-security" not in response.headers


def test_only_https_is_told_to_stay_https(app):
    with TestClient(At(app, scheme="https")) as client:
        assert "max-age" in client.get("/v1/models").headers["strict-transport-security"]


def test_the_api_page_needs_no_script_and_no_other_host(app):
    """Catches a viewer from a CDN: it shows nothing under the policy, or offline."""
    with TestClient(app) as client:
        page = client.get("/schema/docs")
        document = client.get("/schema/openapi.json").json()
        assert client.get("/schema/docs.css").headers["content-type"].startswith("text/css")
    assert "//" not in page.text.replace("https://speechplan.dev/problems/", "")
    assert "<script" not in page.text and "style=" not in page.text
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert all(f"id='{one['operationId']}'" in page.text for one in operations)
    for name in document["components"]["schemas"]:
        assert f"id='schema-{name}'" in page.text


def test_a_key_has_its_own_limit_and_is_told_when_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(security, "_LOOK_AGAIN_S", -1.0)
    chosen = settings(tmp_path, ask_rate="3/minute")
    with TestClient(create_app(chosen)) as client:
        store = Store(chosen.database_url)
        first, second = (security.create_key(store, name=n, scope="plan") for n in "ab")

        def ask(key):
            return client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})

        answers = [ask(first) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == list("2100")
        refused = answers[-1]
        assert refused.headers["content-type"] == PROBLEM
        assert refused.json()["type"].endswith("/too-many-requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert ask(second).status_code == 200
        assert client.get("/health").status_code == 200


def test_starting_work_has_a_limit_of_its_own(tmp_path):
    chosen = settings(tmp_path, work_rate="1/minute", api_key=KEY)
    with TestClient(create_app(chosen)) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        body = {"items": []}
        started = [client.post("/v1/measurements", json=body).status_code for _ in range(2)]
        assert started[1] == 429 != started[0]
        question = {"budget": {"gflops_per_utterance": 200}}
        wait = client.post("/v1/recommendations?verify=wait", json=question)
        assert wait.status_code == 429
        assert client.post("/v1/recommendations", json=question).status_code == 200


def test_addresses_are_limited_where_there_are_no_keys_but_loopback_is_not(tmp_path):
    """Behind a proxy the client's address counts; a thousand requests from loopback pass."""
    app = create_app(settings(tmp_path, ask_rate="2/minute"))
    server = ("127.0.0.1", 8000)

    def statuses(address, times):
        with TestClient(At(app, server=server, client=(address, 1))) as client:
            client.headers["Host"] = "localhost:8000"
            return [client.get("/v1/models").status_code for _ in range(times)]

    assert statuses("192.0.2.7", 3) == [200, 200, 429]
    assert statuses("192.0.2.8", 1) == [200]
    assert set(statuses("127.0.0.1", 20) + statuses("::1", 5)) == {200}


def test_guessing_keys_is_limited(tmp_path):
    app = create_app(settings(tmp_path, ask_rate="2/minute", api_key=KEY))
    with TestClient(At(app, client=("192.0.2.9", 1))) as client:
        headers = {"Authorization": "Bearer sp_0_0"}
        tried = [client.get("/v1/models", headers=headers).status_code for _ in range(3)]
        assert tried == [401, 401, 429]
        right = client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"})
        assert right.status_code == 200


@pytest.mark.parametrize(("rate", "said"), [("many", "no rate"), ("", "no rate"), ("5", "no rate")])
def test_a_rate_that_is_none_is_refused(rate, said):
    with pytest.raises(ValueError, match=said):
        Settings(ask_rate=rate)


def test_rates_can_be_off(tmp_path):
    chosen = settings(tmp_path, ask_rate="off", work_rate="off", api_key=KEY)
    with TestClient(create_app(chosen)) as client:
        answer = client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    assert "ratelimit-limit" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://testserver.local"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver.local"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[broken"}, 403),
        ({"Cookie": "speechplan_key=x"}, 403),
        ({"Cookie": "speechplan_key=x", "Origin": "http://testserver.local"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_another_sites_page_can_t_start_anything(app, headers, status):
    """A form of any page can post to localhost; catches work that a visited page starts."""
    with TestClient(app) as client:
        body = {"budget": {"gflops_per_utterance": 200}}
        answer = client.post("/v1/recommendations", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert client.get("/v1/models", headers=headers).status_code == 200


def test_a_key_in_the_cookie_counts_as_the_key(tmp_path):
    with TestClient(create_app(settings(tmp_path, api_key=KEY))) as client:
        client.cookies["speechplan_key"] = KEY
        assert client.get("/v1/models").status_code == 200
        client.cookies["speechplan_key"] = "sp_0_0"
        assert client.get("/v1/models").status_code == 401


@pytest.mark.parametrize(
    ("server", "host", "status"),
    [
        ("127.0.0.1", "localhost:8000", 200),
        ("127.0.0.1", "127.0.0.1:8000", 200),
        ("::1", "[::1]:8000", 200),
        ("::ffff:127.0.0.1", "speechplan.localhost", 200),
        ("192.0.2.1", "192.0.2.1:8000", 403),
        ("127.0.0.1", "evil.example:8000", 403),
        ("127.0.0.1", "127.0.0.1.evil.example", 403),
        ("127.0.0.1", "[broken", 403),
    ],
)
def test_without_keys_only_loopback_is_answered(app, server, host, status):
    """Whatever server runs it, by whatever name it is asked; catches DNS rebinding."""
    with TestClient(At(app, server=(server, 8000))) as client:
        assert client.get("/v1/models", headers={"Host": host}).status_code == status
        assert client.get("/health", headers={"Host": host}).status_code == 200


def test_revoking_the_last_key_opens_nothing(tmp_path, monkeypatch):
    """Catches a service on the network that anybody may use once its keys are revoked."""
    monkeypatch.setattr(security, "_LOOK_AGAIN_S", -1.0)
    chosen = settings(tmp_path)
    with TestClient(At(create_app(chosen), server=("192.0.2.1", 8000))) as client:
        store = Store(chosen.database_url)
        key = security.create_key(store, name="the last", scope="admin")
        headers = {"Authorization": f"Bearer {key}"}
        assert client.get("/v1/models", headers=headers).status_code == 200
        assert store.revoke_api_key(key.split("_")[1])
        assert client.get("/v1/models", headers=headers).status_code == 403
        assert client.get("/v1/models").status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_what_is_loopback(host):
    assert security.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "", "localhost.evil", "127.evil.example"]
)
def test_what_is_not(host):
    assert not security.is_loopback(host)
