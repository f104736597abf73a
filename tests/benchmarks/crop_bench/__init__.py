"""Rooms of bench_crops: sets of clips, contending crops, frozen features, linear probes and their tables."""
