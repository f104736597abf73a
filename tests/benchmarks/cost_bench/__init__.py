"""What bench_cost measures: the parts of a prediction, from the video file to the scores."""
