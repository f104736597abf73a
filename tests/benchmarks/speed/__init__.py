"""What `make bench` measures, chapter by chapter."""
