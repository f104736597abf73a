"""How good crops are, measured against boxes of the actors: `mocrop-prep evaluate-crops`."""

from mocrop_prep.evaluation.evaluate import AREAS, Evaluation, Request, evaluate_crops, parse_areas
from mocrop_prep.evaluation.tables import evaluation_csv, evaluation_json, evaluation_lines, write_files

__all__ = [
    "AREAS",
    "Evaluation",
    "Request",
    "evaluate_crops",
    "evaluation_csv",
    "evaluation_json",
    "evaluation_lines",
    "parse_areas",
    "write_files",
]
