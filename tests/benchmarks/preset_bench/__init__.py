"""Rooms of bench_presets: x264's settings, what they cost, what their vectors and pictures are worth."""
