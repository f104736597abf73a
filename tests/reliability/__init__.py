"""What the pipeline promises about interruptions, crashes, damage and hostile sources."""
