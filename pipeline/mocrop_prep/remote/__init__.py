"""SOURCE and WORKDIR as URLs: places in stores that fsspec reaches, and what stands for them on disk."""

from mocrop_prep.remote.urls import Location, State, Url, is_url, join, location

__all__ = ["Location", "State", "Url", "is_url", "join", "location"]
