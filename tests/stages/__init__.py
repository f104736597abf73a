"""The stages, one at a time and fused, and the command line that runs them."""
