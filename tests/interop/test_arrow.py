"""Arrow, pandas and duckdb read the Parquet shards and the crop manifest as one table."""

from __future__ import annotations

import io
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.compute as pc
import pyarrow.dataset as arrow
from mocrop_manifests import read_crops
from PIL import Image

from tests.commands import DEFAULT, ok


def test_arrow_reads_all_shards_as_one_table(workdir: Path) -> None:
    ok("shard", workdir, "--name", "set", "--format", "parquet", "--size", 48, "--shard-size", 2)
    files = sorted(str(path) for path in (workdir / "shards/set").glob("*.parquet"))
    assert len(files) == 3
    data = arrow.dataset(files)
    rows = {row.clip_id: row for row in read_crops(workdir / f"crops/{DEFAULT}.csv")}
    assert data.count_rows() == len(rows)
    for sample in data.to_table().to_pylist():
        row = rows[sample["clip_id"]]
        assert (sample["label"], sample["label_name"], sample["split"]) == (
            row.label,
            row.label_name,
            row.split,
        )
        assert sample["group"] == row.group
        assert len(sample["frames"]) == row.key_frames
        for picture in sample["frames"]:
            image = Image.open(io.BytesIO(picture["bytes"]))
            assert (image.size, image.mode, image.format) == ((48, 48), "RGB", "JPEG")


def test_arrow_filters_by_label_and_reads_only_some_columns(workdir: Path) -> None:
    ok("shard", workdir, "--name", "set", "--format", "parquet", "--sample", "frame", "--size", 32)
    data = arrow.dataset(str(workdir / "shards/set"), format="parquet", exclude_invalid_files=True)
    table = data.to_table(columns=["clip_id", "pts"], filter=pc.field("label_name") == "walk")
    assert set(table.column("clip_id").to_pylist()) == {f"walk__v_walk_g0{n}_c01" for n in (1, 2, 3)}
    assert min(table.column("pts").to_pylist()) == 0


def test_duckdb_joins_shards_with_the_manifest(workdir: Path) -> None:
    ok("shard", workdir, "--name", "set", "--format", "parquet", "--size", 32)
    query = (
        "SELECT m.label_name, count(*), sum(len(s.frames)) = sum(m.key_frames) "
        f"FROM '{workdir}/shards/set/*.parquet' s JOIN '{workdir}/crops/{DEFAULT}.csv' m USING (clip_id) "
        "GROUP BY 1 ORDER BY 1"
    )
    assert duckdb.connect().execute(query).fetchall() == [("run", 3, True), ("walk", 3, True)]


def test_pandas_reads_the_manifest_with_its_types(kept: Path) -> None:
    table = pd.read_csv(kept / f"crops/{DEFAULT}.csv")
    rows = read_crops(kept / f"crops/{DEFAULT}.csv")
    assert table.x.tolist() == [row.x for row in rows]
    assert table.seed.tolist() == [row.seed for row in rows]
    assert table.area.round(6).tolist() == [round(row.area or 0, 6) for row in rows]
    assert ((table.x + table.w <= table.width) & (table.y + table.h <= table.height)).all()
