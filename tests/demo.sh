#!/bin/sh
# The demo that `make demo` runs: made clips in, crops, three trained models and a preview page out.
# Written as a user would type it; every step resumes, so a stopped demo goes on where it was.
set -eu
BIN=${BIN:-.venv/bin} DEMO=${DEMO:-demo} JOBS=${JOBS:-0}
PATH="$PWD/$BIN:$PATH"
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

say mocrop-prep demo "$DEMO/videos" --jobs "$JOBS"
say mocrop-prep run "$DEMO/videos" "$DEMO/work" --holdout-groups 1-6 --size 112 --keep --jobs "$JOBS"
for control in full center-square; do
    say mocrop-prep crop "$DEMO/work" --method "$control"
    say mocrop-prep shard "$DEMO/work" --crops "$control" --size 112
done
for crop in full center-square foreground; do
    run="$DEMO/runs/$crop"
    if [ -e "$run/predictions.json" ]; then
        continue
    elif [ -e "$run/last.pt" ]; then
        say mocrop-train --shards "$DEMO/work/shards/$crop" --out "$run" --resume
    else
        say mocrop-train --shards "$DEMO/work/shards/$crop" --out "$run" \
            --epochs 60 --batch-size 8 --segments 2 --min-scale 0.875 --val-share 0
    fi
done
say mocrop-prep preview "$DEMO/work" --all --crops foreground --crops center-square --boxes "$DEMO/videos/boxes.csv"
say mocrop-compare "$DEMO/runs/foreground/predictions.json" "$DEMO/runs/center-square/predictions.json" \
    "$DEMO/runs/full/predictions.json"
printf '\nThe crops, to look at: %s/work/reports/preview.html\n' "$DEMO"
