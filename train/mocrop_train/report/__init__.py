"""What a run leaves for people to look at: plots, a page, TensorBoard's events."""
