"""Rooms of ablate: methods with a part left out, what they then keep of the actors, and what parts cost."""
