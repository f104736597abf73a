"""Rooms of table1: its cells, shard sets, features, trainings, statistics and pages."""
