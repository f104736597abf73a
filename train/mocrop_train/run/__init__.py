"""One run on disk and in memory: its state, its checkpoints, its folder, its device."""
