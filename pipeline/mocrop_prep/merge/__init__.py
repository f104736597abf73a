"""Join the parts of a run to one WORKDIR: checked against each other first, then linked, never rewritten."""

from mocrop_prep.merge.join import MergeReport, merge

__all__ = ["MergeReport", "merge"]
