"""Train and compare image models on the shards that MoCrop writes.

The trainer reads stored frames and nothing else: where to crop was decided once, offline, so there is no
video decoder and no crop logic here.

From Python: `mocrop_train.loop.train`, `mocrop_train.evaluation.evaluate.evaluate_checkpoint`,
`mocrop_train.evaluation.sets.evaluate_sets`, `mocrop_train.evaluation.compare.compare_files`,
`mocrop_train.classify.Classifier`; settings are a `mocrop_train.config.TrainConfig`.
"""
