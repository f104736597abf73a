"""What a model says of clips: predictions, their scores, paired comparisons."""
