"""The columns of a Parquet shard, and what `datasets` reads of them from the metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def parquet_schema(classes: Sequence[str], *, per_frame: bool) -> pa.Schema:
    """Return the columns of a Parquet shard, with the features that `datasets` reads from the metadata."""
    picture, number, time = _PICTURE, pa.int32(), pa.float64()
    frames: list[tuple[str, Any]] = (
        [("image", picture), ("frame_index", number), ("pts", time)]
        if per_frame
        else [("frames", pa.list_(picture)), ("frame_index", pa.list_(number)), ("pts", pa.list_(time))]
    )
    fields = [
        ("clip_id", pa.string()),
        ("label", pa.int64()),
        ("label_name", pa.string()),
        ("split", pa.string()),
        *frames,
        ("crop", pa.list_(pa.int32())),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("group", pa.string()),
        ("method", pa.string()),
    ]
    features = {name: _feature(kind) for name, kind in fields}
    features["label"] = {"_type": "ClassLabel", "names": list(classes)}
    features["image" if per_frame else "frames"] = _feature(picture) if per_frame else [{"_type": "Image"}]
    note = json.dumps({"info": {"features": features}}, sort_keys=True, ensure_ascii=False)
    return pa.schema(fields, metadata={"huggingface": note})


def _feature(kind: pa.DataType) -> Any:
    if kind == _PICTURE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    return {"_type": "Value", "dtype": {"double": "float64"}.get(str(kind), str(kind))}


def leaf_columns(schema: pa.Schema) -> list[str]:
    """Return the dotted paths of the Parquet leaf columns."""
    leaves = []
    for field in schema:
        path, kind = field.name, field.type
        if pa.types.is_list(kind):
            path, kind = f"{path}.list.element", kind.value_type
        leaves += [f"{path}.{child.name}" for child in kind] if pa.types.is_struct(kind) else [path]
    return leaves
