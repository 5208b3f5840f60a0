"""Server-sent events: named by their content, a line that is kept open."""

import asyncio

import pytest

from api import events


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(events, "_POLL_S", 0.001)


def told(documents, **options):
    """What is sent while the document becomes each of some, the last of which stays so."""
    looks = iter(documents)
    left = len(documents)

    def look():
        nonlocal left
        left -= 1
        return next(looks), left == 0

    async def collected():
        return [message async for message in events.changes("work", look, **options)]

    return asyncio.run(collected())


def test_an_event_has_an_id_and_says_when_to_come_back():
    first, second = told(["a", "a", "b"])
    lines = first.encode().decode().split("\r\n")
    assert set(lines) >= {"event: work", "data: a", f"id: {first.id}", "retry: 2000"}
    assert first.id != second.id
    assert told(["b"])[0].id == second.id


def test_what_is_known_already_is_not_told_again():
    """But for the end, without which a stream would be asked for again and again."""
    everything = told(["a", "b", "c"])
    since = told(["a", "b", "c"], known=everything[0].id)
    assert [one.data for one in since] == ["b", "c"]
    assert [one.data for one in told(["c"], known=everything[-1].id)] == ["c"]


def test_silence_is_broken_by_comments(monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.0)
    kinds = [one.comment or one.data for one in told(["a", "a", "a", "b"])]
    assert kinds == ["a", "nothing new", "nothing new", "b"]
    monkeypatch.setattr(events, "HEARTBEAT_S", 60.0)
    assert [one.data for one in told(["a", "a", "a", "b"])] == ["a", "b"]
