"""The one exception of the trainer that is meant for people."""


class TrainError(ValueError):
    """Something the user can put right; its message is one line: what was found, what to do."""
