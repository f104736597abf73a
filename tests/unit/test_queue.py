"""The queue: every clip goes out once, in order; batches follow the pace, and no kill costs more than one."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_prep.queue import LARGEST_BATCH, Queue
from mocrop_prep.worker import Outcome, Task


def tasks(count: int) -> dict[str, Task]:
    return {f"clip-{number:05d}": Task(f"clip-{number:05d}", {}, ()) for number in range(count)}


def done(batch: list[Task], seconds: float, *, failed: bool = False) -> list[Outcome]:
    return [Outcome(task.clip_id, failed, seconds, b"") for task in batch]


def drain(queue: Queue, seconds: float, workers: int = 2) -> list[int]:
    """Take out all batches, each done before the next is asked for; return their sizes."""
    sizes = []
    for batch in queue.batches(workers):
        sizes.append(len(batch))
        queue.note(done(batch, seconds))
    return sizes


def test_clips_that_take_long_go_out_one_at_a_time() -> None:
    assert drain(Queue(tasks(40)), seconds=3.0) == [1] * 40


def test_batches_of_quick_clips_grow_to_what_takes_a_quarter_of_a_second() -> None:
    sizes = drain(Queue(tasks(5000)), seconds=0.005)
    assert sizes[0] == 1
    assert all(after <= 2 * before for before, after in pairwise(sizes))
    assert 40 <= max(sizes) <= 50
    assert sizes[-1] <= 2, "the last batches are small, so that all workers end together"


def test_no_batch_is_larger_than_the_largest_however_quick_the_clips() -> None:
    assert max(drain(Queue(tasks(20_000)), seconds=0.0)) == LARGEST_BATCH
    assert max(drain(Queue(tasks(100), largest=1), seconds=0.0)) == 1


def test_one_long_clip_makes_the_next_batches_small() -> None:
    queue = Queue(tasks(5000))
    sizes = []
    for number, batch in enumerate(queue.batches(2)):
        sizes.append(len(batch))
        queue.note(done(batch, 5.0 if number == 20 else 0.001))
    assert sizes[20] > 50
    assert sizes[21] == 1


@settings(max_examples=60)
@given(
    count=st.integers(1, 400),
    workers=st.integers(1, 9),
    paces=st.lists(st.floats(0, 2), min_size=1, max_size=20),
    held=st.integers(0, 5),
)
def test_every_clip_goes_out_once_and_in_order(
    count: int, workers: int, paces: list[float], held: int
) -> None:
    queue, out, late = Queue(tasks(count)), [], []
    for number, batch in enumerate(queue.batches(workers)):
        out += [task.clip_id for task in batch]
        late.append(batch)
        if len(late) > held:  # outcomes come later than the next batches go out
            queue.note(done(late.pop(0), paces[number % len(paces)]))
    assert out == list(tasks(count))
    for batch in late:
        queue.note(done(batch, 0.1))
    assert queue.left == 0
    assert queue.tally.clips == count


def test_after_a_death_only_what_is_not_done_goes_out_again() -> None:
    queue = Queue(tasks(10))
    first = next(queue.batches(2))
    queue.note(done(first, 0.1, failed=True))
    again = [task.clip_id for batch in queue.batches(2) for task in batch]
    assert again == list(tasks(10))[1:]
    assert not queue.waits_for(first[0].clip_id)
    assert queue.waits_for(again[0])
    assert not queue.waits_for("another")
    assert queue.next_ones(3) == again[:3]
    assert (queue.tally.clips, queue.tally.failed) == (1, 1)
