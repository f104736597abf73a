"""Clips from shards to batches: read, decoded, drawn, augmented."""
