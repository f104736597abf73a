"""The exceptions of the trainer that are meant for people, and names in messages."""


class TrainError(ValueError):
    """Something the user can put right; its message is one line: what was found, what to do."""


class InterruptionError(Exception):
    """Somebody has asked the run to stop; its message is one line: where it stopped, how to go on."""


def printable(text: str) -> str:
    """Return a text in which what a terminal would act on, or not show, is written as an escape.

    Names in shard sets may come from anybody.
    """
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)
