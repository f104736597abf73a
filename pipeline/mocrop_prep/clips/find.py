"""From a source to its clip list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mocrop_manifests import Clip
from mocrop_manifests.clips import SPLITS

from mocrop_prep.clips.folders import read_folder
from mocrop_prep.clips.ids import clip_ids
from mocrop_prep.clips.match import read_listed
from mocrop_prep.clips.paths import cell, escape, remark, unescape
from mocrop_prep.clips.sources import Entry, Source
from mocrop_prep.clips.splits import group_of, hold_out, set_aside
from mocrop_prep.clips.table import read_table
from mocrop_prep.errors import UsageError
from mocrop_prep.remote import Location, State, Url


@dataclass(frozen=True, slots=True)
class ClipList:
    """The clips of a source, sorted by clip_id.

    `root` is what each `clip.path` is relative to; `source_path` joins the two. `notes` are remarks for
    people, one line each: the layout that was found, and what was left out. `states` holds, by `clip.path`,
    what a listing of a store has told of the videos.
    """

    root: Location
    clips: list[Clip]
    notes: list[str]
    states: Mapping[str, State] = field(default_factory=dict)


def find_clips(
    source: Location,
    *,
    train_lists: Sequence[Location] = (),
    test_lists: Sequence[Location] = (),
    val_lists: Sequence[Location] = (),
    list_split: int = 1,
    holdout_groups: str = "",
    val_fraction: float = 0.0,
    seed: int = 0,
    limit: int | None = None,
) -> ClipList:
    """List the clips of a folder with one folder per class, of a CSV, or of a folder and official list files.

    Splits come from the source, from `holdout_groups`, or are all train; `val_fraction` of the training
    groups, drawn with `seed`, then go to val. `limit` keeps that many clips, spread over classes and splits.
    Labels and ids are those of the whole list, whatever the limit. Raises UsageError, one line, for a source
    that is not there, holds no video, cannot be read or contradicts itself.
    """
    lists = {"train": train_lists, "val": val_lists, "test": test_lists}
    found = _read(source, lists, list_split)
    clips, remarks = _split(_label(found.entries), found.splits_from, holdout_groups, val_fraction, seed)
    notes = found.notes + remarks
    if limit is not None and limit < len(clips):
        notes.append(f"limit: {limit} of {len(clips)} clips kept")
        clips = spread(clips, limit)
    states = {cell(path): state for path, state in found.states.items()}
    return ClipList(found.root, sorted(clips, key=lambda clip: clip.clip_id), notes, states)


def _read(source: Location, lists: dict[str, Sequence[Location]], list_split: int) -> Source:
    name = escape(str(source))
    try:
        # in a store it is the name that tells
        is_file = source.suffix.lower() == ".csv" if isinstance(source, Url) else source.is_file()
        is_folder = not is_file if isinstance(source, Url) else source.is_dir()
    except OSError as error:
        raise UsageError(f"SOURCE {name} cannot be read: {error.strerror}") from None
    if is_folder:
        return read_listed(source, lists, list_split) if any(lists.values()) else read_folder(source)
    if not is_file:
        raise UsageError(f"SOURCE {name} does not exist; expected a folder of videos or a CSV file")
    if source.suffix.lower() != ".csv":
        raise UsageError(f"SOURCE {name} is a file; expected a folder of videos or a CSV (path,label)")
    if any(lists.values()):
        raise UsageError(
            f"list files go with a folder; SOURCE {name} is a CSV: put the splits in its split column"
        )
    return read_table(source)


def _label(entries: Sequence[Entry]) -> list[Clip]:
    cells = {label: cell(label) for label in {entry.label for entry in entries}}
    labels = [cells[entry.label] for entry in entries]
    index = {name: number for number, name in enumerate(sorted(set(labels)))}
    return [
        Clip(
            clip_id=clip_id,
            path=cell(entry.path),
            label=index[label],
            label_name=label,
            split=entry.split or "train",
            group=group_of(entry.path) if entry.group is None else cell(entry.group),
        )
        for entry, label, clip_id in zip(
            entries, labels, clip_ids([entry.path for entry in entries]), strict=True
        )
    ]


def _split(
    clips: list[Clip], splits_from: str, holdout_groups: str, val_fraction: float, seed: int
) -> tuple[list[Clip], list[str]]:
    notes: list[str] = []
    if holdout_groups.strip():
        if splits_from:
            raise UsageError(f"--holdout-groups and {splits_from} both decide the splits; drop one of them")
        clips = hold_out(clips, holdout_groups)
    if val_fraction > 0:
        if any(clip.split == "val" for clip in clips):
            raise UsageError(f"--val-fraction and {splits_from} both fill split val; drop one of them")
        clips, notes = set_aside(clips, val_fraction, seed)
    trained = {clip.label_name for clip in clips if clip.split == "train"}
    untrained = sorted({clip.label_name for clip in clips} - trained)
    return clips, notes + remark("classes without a training clip", [unescape(name) for name in untrained])


def spread(clips: Sequence[Clip], limit: int) -> list[Clip]:
    """Take clips in an order in which classes take turns, in a class its splits, in a split its clip ids."""
    turns: Counter[tuple[int, str]] = Counter()
    in_split = []
    for clip in sorted(clips, key=lambda clip: clip.clip_id):
        in_split.append((turns[clip.label, clip.split], SPLITS.index(clip.split), clip))
        turns[clip.label, clip.split] += 1
    rounds: Counter[int] = Counter()
    in_class = []
    for *_, clip in sorted(in_split, key=lambda place: place[:2]):
        in_class.append((rounds[clip.label], clip.label, clip))
        rounds[clip.label] += 1
    return [clip for *_, clip in sorted(in_class, key=lambda place: place[:2])[:limit]]
