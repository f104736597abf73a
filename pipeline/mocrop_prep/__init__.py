"""The offline pipeline: labelled videos in, motion-cropped frame shards out. Never imports torch."""
