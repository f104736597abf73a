"""The contract between the pipeline and the trainer: schemas, readers, writers and validation.

Both sides import this package and never each other.
"""

from importlib.metadata import PackageNotFoundError, version

from mocrop_manifests.clips import Clip, read_clips, write_clips
from mocrop_manifests.crops import CropRow, RowCount, read_crops, write_crops
from mocrop_manifests.dataset import DatasetIndex, ShardEntry, read_dataset, write_dataset
from mocrop_manifests.errors import ManifestError
from mocrop_manifests.extras import Extras
from mocrop_manifests.tables import read_extras

try:
    __version__ = version("mocrop")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"

__all__ = [
    "Clip",
    "CropRow",
    "DatasetIndex",
    "Extras",
    "ManifestError",
    "RowCount",
    "ShardEntry",
    "__version__",
    "read_clips",
    "read_crops",
    "read_dataset",
    "read_extras",
    "write_clips",
    "write_crops",
    "write_dataset",
]
