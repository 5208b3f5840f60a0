"""Measurements over HTTP in each format: nothing lost, nothing half stored, nothing misread."""

import csv
import io
import json

import pytest
from litestar.testing import TestClient

from api import formats
from api.app import create_app
from api.client import NotAcceptableError, RowsError, UnsupportedMediaTypeError
from measurements.records import Measurement
from measurements.settings import Settings
from tests.api.test_client import ask, service, settings  # noqa: F401

PROBLEM = "application/problem+json"
PATH = "/v1/measurements"
STUDY = "asr-librispeech-test-other-lora32"
ROW = {
    "study": "mine",
    "dataset": "calls",
    "provenance": "ours",
    "model": "base",
    "wer": 0.2,
    "unit": "fraction",
}
ASKED = {"budget": {"gflops_per_utterance": 200}}


@pytest.fixture
def client(tmp_path):
    with TestClient(create_app(Settings(database_url=f"sqlite:///{tmp_path / 's.db'}"))) as opened:
        yield opened


def get(client, media_type, **params):
    return client.get(PATH, params=params, headers={"Accept": media_type})


def post(client, content, media_type):
    return client.post(PATH, content=content, headers={"Content-Type": media_type})


def table(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("kind", ["application/jsonl", "application/x-ndjson"])
def test_json_lines_hold_all_of_a_measurement(client, kind):
    """Catches a page instead of all, a record that lost a field, and a filter passed over."""
    listed = client.get(PATH, params={"study": STUDY, "limit": 500}).json()["items"]
    answer = get(client, kind, study=STUDY)
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["vary"] == "Accept"
    assert 'filename="measurements.jsonl"' in answer.headers["content-disposition"]
    lines = answer.text.splitlines()
    assert [Measurement.model_validate_json(line) for line in lines] == [
        Measurement.model_validate(one) for one in listed
    ]
    taken = post(client, answer.content, kind)
    assert taken.json() == {"stored": 0, "known": len(listed)}
    renamed = [{**json.loads(line), "key": json.loads(line)["key"][::-1]} for line in lines]
    content = "\n".join(map(json.dumps, renamed))
    assert post(client, content, kind).json() == {"stored": len(listed), "known": 0}
    shown = client.get(f"{PATH}/{renamed[0]['key']}").json()
    assert shown == {**listed[0], "key": renamed[0]["key"]}
    known = {"Accept": kind, "If-None-Match": get(client, kind).headers["etag"]}
    assert client.get(PATH, headers=known).status_code == 304


def test_a_table_comes_and_goes(client):
    """Catches numbers that come as text, and a table that drops a column."""
    taken = post(
        client, table([{**ROW, "window_s": 30}, {**ROW, "window_s": 20}]), "text/csv; charset=utf-8"
    )
    assert taken.json() == {"stored": 2, "known": 0}, taken.text
    written = get(client, "text/csv", study="mine")
    assert written.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(written.text)))
    assert [(row["model"], float(row["window_s"]), row["wer"]) for row in rows] == [
        ("whisper-base", 30, "0.2"),
        ("whisper-base", 20, "0.2"),
    ]
    assert post(client, written.content, "text/csv").json() == {"stored": 0, "known": 2}


@pytest.mark.skipif(formats.PARQUET not in formats.FILES, reason="needs pyarrow")
def test_parquet_comes_and_goes(client):
    """Catches a reader of another format, and a file that holds more than it seems to."""
    import pyarrow
    import pyarrow.parquet

    def parquet(rows):
        content = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), content)
        return content.getvalue()

    assert post(client, parquet([ROW]), formats.PARQUET).json() == {"stored": 1, "known": 0}
    written = get(client, formats.PARQUET, study="mine")
    (row,) = pyarrow.parquet.read_table(io.BytesIO(written.content)).to_pylist()
    assert (row["model"], row["wer"]) == ("whisper-base", 0.2)
    broken = post(client, written.content[:-9], formats.PARQUET)
    assert (broken.status_code, "not Parquet" in broken.text) == (400, True)
    bomb = post(client, parquet([{**ROW, "provenance": "x" * 100_000}] * 9_000), formats.PARQUET)
    assert (bomb.status_code, "MiB of rows" in bomb.text) == (400, True)


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("text/csv", table([ROW, {**ROW, "wer": 20}, {**ROW, "model": "bas"}]) + "a,b\n"),
        (
            "application/jsonl",
            "\n".join([*map(json.dumps, [ROW, {**ROW, "wer": 20}, {**ROW, "model": "bas"}]), "{"]),
        ),
    ],
)
def test_wrong_rows_of_a_file_are_named_and_none_is_stored(client, media_type, content):
    """Catches a file that is stored up to its first mistake."""
    refused = post(client, content, media_type)
    assert (refused.status_code, refused.headers["content-type"]) == (422, PROBLEM)
    assert {error["row"] for error in refused.json()["errors"]} == {2, 3, 4}
    assert client.get("/v1/studies/mine").status_code == 404


@pytest.mark.parametrize(
    ("media_type", "content", "said"),
    [
        ("text/csv", b"study\xe9\n", "not UTF-8"),
        ("text/csv", b"\n", "a header is needed"),
        ("text/csv", b"study;wer,model\n", "commas and semicolons"),
        ("text/csv", b"study,wer\n", "1 to 10000"),
        ("application/jsonl", b"{}\n" * 10_001, "1 to 10000"),
        ("application/jsonl", b"", ""),
        ("application/json", b"{}\n{}", ""),
    ],
)
def test_files_that_are_none_are_refused(client, media_type, content, said):
    """Catches a crash on what is of another format than it says, or endless."""
    refused = post(client, content, media_type)
    assert (refused.status_code, refused.headers["content-type"]) == (400, PROBLEM)
    assert said in refused.json()["detail"]


def test_a_fault_of_a_file_is_placed(client):
    """A spreadsheet's user looks for a line and a column."""
    header = "study,dataset,provenance,model,wer,unit\n"
    refused = post(client, "\n" + header.replace("wer", "werr"), "text/csv")
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["field"], error["line"]) == (400, "werr", 2)
    row = 'a,b,"two\r\nlines",base,{},fraction\n'
    for wrong, field in (
        (row.format("0,2"), "unit"),
        (row.format("x" * 200_000), "wer"),
        ('a,b,"c,base,0.2,fraction\n', "provenance"),
    ):
        content = header + row.format("0.1") + "\n" + wrong
        refused = post(client, content, "text/csv")
        (error,) = refused.json()["errors"]
        assert (refused.status_code, refused.headers["content-type"]) == (422, PROBLEM)
        assert (error["row"], error["line"], error["field"]) == (2, 5, field)
    refused = post(
        client, json.dumps(ROW) + '\n\n{"study": "a", "study": "b"}\n', "application/jsonl"
    )
    (error,) = refused.json()["errors"]
    assert (error["row"], error["line"], error["field"]) == (2, 3, "study")


def test_a_unit_is_asked_for_and_taken(client):
    """4.66 % was stored as 466 %."""
    row = {k: v for k, v in ROW.items() if k != "unit"} | {"wer": 4.66}
    content = table([row])
    refused = post(client, content, "text/csv")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "unit")
    wrong = client.post(PATH, params={"unit": "%"}, json={"rows": [row]})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "unit")
    taken = client.post(PATH, params={"unit": "percent"}, json={"rows": [row]})
    assert taken.json() == {"stored": 1, "known": 0}
    assert (
        client.get(PATH, params={"study": "mine"}).json()["items"][0]["metric"]["value"] == 0.0466
    )
    options = {"params": {"unit": "percent"}, "headers": {"Content-Type": "text/csv"}}
    assert client.post(PATH, content=content, **options).json() == {"stored": 0, "known": 1}
    high = client.post(PATH, params={"unit": "fraction"}, json={"rows": [row]}).json()
    assert high["stored"] == 1 and "466 %" in high["remarks"][0]


def test_numbers_without_end_are_not_stored(client):
    """A line may hold 1e999, which no answer could be written with."""
    record = json.loads(get(client, "application/jsonl", study=STUDY).text.splitlines()[0])
    line = json.dumps({**record, "key": record["key"][::-1], "rtf": {"total": 0}})
    refused = post(client, line.replace('"total": 0', '"total": 1e999'), "application/jsonl")
    assert refused.status_code == 422, refused.text


def test_formats_that_are_not_there_are_told_with_those_that_are(client):
    """Catches a body that is read as another format than it says, and JSON for a spreadsheet."""
    none = get(client, "application/vnd.ms-excel")
    assert (none.status_code, none.headers["content-type"]) == (406, PROBLEM)
    assert {"application/json", "text/csv"} <= set(none.json()["offered"])
    for accept in ("*/*", "text/html, */*;q=0.1", "application/json, text/csv;q=0.5"):
        assert get(client, accept).headers["content-type"].startswith("application/json")
    for name in ("cursor", "limit"):
        refused = get(client, "text/csv", **{name: "1"})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, name)
    wrong = post(client, json.dumps({"rows": [ROW]}), "text/plain")
    assert (wrong.status_code, wrong.headers["content-type"]) == (415, PROBLEM)
    assert {"application/json", "application/jsonl", "text/csv"} <= set(wrong.json()["taken"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/recommendations", ASKED),
        ("/v1/plans", ASKED),
        ("/v1/pareto-fronts", {}),
        ("/v1/predictions", {"configurations": [{"model": "base"}]}),
        ("/v1/verifications", {"question": ASKED}),
        ("/v1/sweeps", {"models": ["tiny.en"], "speech": [{"dataset": "demo"}]}),
    ],
)
def test_only_json_is_read_as_json(client, path, body):
    """Catches a page of another site that sends JSON as text, which browsers let it."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "text/csv"):
        refused = client.post(path, content=json.dumps(body), headers={"Content-Type": kind})
        assert (refused.status_code, refused.json()["taken"]) == (415, ["application/json"])
    if path == "/v1/pareto-fronts":
        kind = {"Content-Type": "Application/JSON; charset=utf-8"}
        assert client.post(path, content=json.dumps(body), headers=kind).status_code == 200
        assert client.post(path, content=json.dumps(body)).status_code == 200


def test_files_from_python(ask):  # noqa: F811
    """Both clients; catches one that sends what it was given as a document."""
    content = ask("export_measurements", study=STUDY)
    assert len(content.splitlines()) == 11
    assert ask("import_file", content).known == 11
    rows = table([{k: v for k, v in ROW.items() if k != "unit"} | {"wer": 20}]).encode()
    with pytest.raises(RowsError) as asked:
        ask("import_file", rows, media_type="text/csv")
    assert (asked.value.errors[0]["field"], asked.value.errors[0]["line"]) == ("unit", 2)
    found = ask("import_file", rows, unit="percent", media_type="text/csv")
    assert found.stored + found.known == 1
    assert ask("export_measurements", study=STUDY, media_type="text/csv").startswith(b"key,study")
    with pytest.raises(NotAcceptableError) as none:
        ask("export_measurements", media_type="image/png")
    assert "text/csv" in none.value.offered
    with pytest.raises(UnsupportedMediaTypeError) as other:
        ask("import_file", content, media_type="image/png")
    assert "text/csv" in other.value.taken
