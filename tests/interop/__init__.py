"""Other libraries read what the pipeline writes."""
