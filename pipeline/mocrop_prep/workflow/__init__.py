"""The commands behind the command line: plan what is to be done, do it, publish it.

Each stage compares the fingerprints of what goes into a clip with its journal, does what is missing, and then
publishes its manifest or shards. Running a finished stage again does nothing.
"""

from mocrop_prep.workflow.foresee import Foresight, foresee, foresee_recorded
from mocrop_prep.workflow.fused import RunStage
from mocrop_prep.workflow.perform import perform, records_of, save_clips
from mocrop_prep.workflow.rows import count_rows, describe_routes
from mocrop_prep.workflow.session import Session, StageReport
from mocrop_prep.workflow.staged import CropStage, ExtractStage, ShardStage, TranscodeStage
from mocrop_prep.workflow.stale import prune, stale_files

__all__ = [
    "CropStage",
    "ExtractStage",
    "Foresight",
    "RunStage",
    "Session",
    "ShardStage",
    "StageReport",
    "TranscodeStage",
    "count_rows",
    "describe_routes",
    "foresee",
    "foresee_recorded",
    "perform",
    "prune",
    "records_of",
    "save_clips",
    "stale_files",
]
