"""The note of a merge in ``journal/merge.json``: what was joined, and what it looked like when it was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mocrop_manifests.files import publish_text
from mocrop_manifests.records import parse_json, typed_fields

from mocrop_prep.parts import merge_file

_FORMAT = "mocrop-merge"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class MergeNote:
    """A merge of these `names`: the fingerprints of its `parts` and the SHA-256 of its `files`.

    failed: how many clips failed in it. Files go by their path below WORKDIR; there are none while the merge
    goes on.
    """

    names: list[str]
    parts: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    failed: int = 0


def write_merge_note(root: Path, note: MergeNote) -> None:
    """Publish the note of a merge."""
    body = {"format": _FORMAT, "version": _VERSION, **dataclasses.asdict(note)}
    publish_text(merge_file(root), json.dumps(body, indent=2, sort_keys=True) + "\n")


def read_merge_note(root: Path) -> MergeNote | None:
    """Return the note of the last merge; None if there was none or the note is damaged."""
    try:
        body = parse_json(merge_file(root).read_bytes())
        fields = typed_fields(MergeNote, body)
        return MergeNote(**fields) if (body["format"], body["version"]) == (_FORMAT, _VERSION) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
