"""The one error of this package."""


class ManifestError(ValueError):
    """A table or index that does not hold what its schema promises; the message says where, in one line."""
