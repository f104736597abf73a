"""The claim on a WORKDIR in a store: one holds it, others are told who, and the dead hold nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from mocrop_prep.errors import UsageError
from mocrop_prep.remote import Url, store
from mocrop_prep.remote.claim import CLAIM, Claim

pytest.importorskip("fsspec", reason="fsspec is not installed: no stores to claim")


@pytest.fixture
def workdir() -> Url:
    return Url(f"memory://{uuid4().hex}/work")


def test_one_holds_a_workdir_until_he_gives_it_free(workdir: Url) -> None:
    ours, theirs = Claim(workdir, "ours"), Claim(workdir, "theirs")
    ours.take()
    for _ in range(2):
        with pytest.raises(UsageError, match="in use by process"):
            theirs.take()
        ours.renew()
    ours.release()
    theirs.take()
    with pytest.raises(UsageError, match="in use by process"):
        ours.check()


def test_what_the_same_copy_held_before_a_kill_is_its_own(workdir: Url) -> None:
    Claim(workdir, "ours").take()
    Claim(workdir, "ours").take()


def test_a_holder_that_was_silent_for_long_has_lost_it_and_hears_so(workdir: Url) -> None:
    ours, theirs = Claim(workdir, "ours"), Claim(workdir, "theirs")
    ours.take()
    holder = json.loads(store.read(workdir / CLAIM))
    holder["time"] = (datetime.now(UTC) - timedelta(minutes=11)).isoformat()
    store.write(workdir / CLAIM, json.dumps(holder).encode())
    theirs.take()
    for look in (ours.check, ours.renew, ours.take):
        with pytest.raises(UsageError, match="in use by process"):
            look()
    theirs.check()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"owner": 1, "time": "x"}', b"\xff"])
def test_a_claim_that_nobody_can_read_holds_nothing(workdir: Url, content: bytes) -> None:
    store.write(workdir / CLAIM, content)
    Claim(workdir, "ours").take()
    Claim(workdir, "ours").check()
