"""Bad input by the hundred: files that are cut, rotten, patched together, lying, or merely odd.

The films are made by real codecs. Every case is made when and where it is asked for, with the same bytes.
"""

from tests.corpus.case import ANYTHING, OK, Case, batches
from tests.corpus.gather import corpus, real_cases, sample

__all__ = ["ANYTHING", "OK", "Case", "batches", "corpus", "real_cases", "sample"]
