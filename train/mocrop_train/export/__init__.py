"""Models that leave the trainer: programs without its code, and all that is to be known to use them."""
