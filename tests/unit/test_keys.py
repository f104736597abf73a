"""The quick way to the keys of a run, and the one by the book."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mocrop_manifests import Clip
from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.journal import fingerprint
from mocrop_prep.workflow.keys import RunKeys, run_constant, run_inputs

CONSTANT = run_constant(TranscodeSettings(), CropSettings(), ShardSettings())
TEXTS = st.text(max_size=12)


@given(TEXTS, TEXTS, st.integers(0, 10**6), TEXTS, TEXTS, TEXTS, st.integers(0, 2**80))
def test_a_key_is_the_fingerprint_of_its_inputs(
    clip_id: str, path: str, label: int, name: str, split: str, group: str, state: int
) -> None:
    clip = Clip(clip_id, path, label, name, split, group)
    source = fingerprint(state)
    inputs = run_inputs(source, clip, CONSTANT)
    assert inputs["clip list"] == fingerprint((clip_id, path, label, name, split, group))
    assert RunKeys(CONSTANT).key(source, clip) == fingerprint(inputs)
