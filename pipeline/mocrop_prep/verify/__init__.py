"""Recount and checksum everything in a WORKDIR: whatever is not as it was written is named."""

from mocrop_prep.verify.everything import verify

__all__ = ["verify"]
