#!/usr/bin/env bash
# Figures of one GPU in ten minutes: tests, speed of training and prediction, scores on EPFL.
#
#   benchmarks/gpu.sh split EPFL      copy the volume, raw.tif in two parts below 64 MB, to .gpu/
#   benchmarks/gpu.sh run OUT         on the machine with the GPU: all figures to the folder OUT
#
# EPFL is a folder with raw.tif and mitochondria.tif (docs/training.md, "A measured example"). .gpu/
# is ignored by git; both parts may be sent one after the other. Each step has a time limit and
# leaves what it printed, so that one that fails does not cost the others.
set -uo pipefail
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
iterations=${ITERATIONS:-10000}

case ${1:-} in
split)
    mkdir -p .gpu
    split --number=2 --numeric-suffixes "$2/raw.tif" .gpu/raw.tif.
    cp "$2/mitochondria.tif" .gpu/
    ls -l .gpu
    ;;
run)
    out=$2 work=$(mktemp -d)
    mkdir -p "$out"
    measure() { # SECONDS COMMAND...
        local limit=$1
        shift
        echo "== $*"
        timeout --signal=INT --kill-after=10 "$limit" "$@" 2>&1
    }
    cat .gpu/raw.tif.* > "$work/raw.tif"
    {
        measure 10 nvidia-smi
        measure 30 python3 -m asem import "$work/raw.tif" "$work/epfl.zarr/raw" --voxel-size 5
        measure 30 python3 -m asem import .gpu/mitochondria.tif "$work/epfl.zarr/labels/mito" \
            --voxel-size 5 --kind labels
        measure 400 python3 benchmarks/accuracy.py run "$work" "$work/runs" published \
            --iterations "$iterations" --seeds 1 --mirror
        measure 10 python3 benchmarks/accuracy.py table "$work/runs" --against published
        measure 10 python3 benchmarks/accuracy.py rules "$work/runs"
        measure 40 python3 -m pytest -m gpu -q -p no:cacheprovider tests
        measure 40 python3 benchmarks/training.py steps --number 40
        measure 60 python3 benchmarks/prediction.py gpu "$work/prediction"
    } | tee "$out/figures.txt"
    cp "$work"/runs/*.json "$work"/runs/*/metrics.csv "$work"/runs/*/curves.png "$out"
    ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
