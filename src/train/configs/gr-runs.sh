#!/usr/bin/env bash
# Evolves the black holes that the model gr-16 is trained on, into the current folder: gr-runs.sh PATH/TO/bssn
# One run is kept for validation (heldout.h5), and the demo's run is not among them either.
set -euo pipefail
bssn=${1:?usage: gr-runs.sh PATH/TO/bssn}
echo > none.par
run() {
    local name=$1 every=$2
    shift 2
    echo "== $name.h5"
    mpirun -n 2 "$bssn" none.par "$@" "output=$name.h5 raw $every" report_every=32
}
run boost 12 points=48 half_width=12 end_time=6 'puncture=0.8 0 0 0 0.2 0.1 0.05 0 0.1 0.2'
run binary 12 points=64 half_width=12 end_time=5 'puncture=0.45 0 2 0.3 0.3 0 0 0 0 0.1' 'puncture=0.55 0 -1.7 0 -0.3 0 0 0.1 0 0'
run unequal 12 points=48 half_width=12 end_time=6 'puncture=0.3 0.2 0.1 2.2' 'puncture=0.7 0 0 -1'
run close 16 points=64 half_width=16 end_time=8 'puncture=0.6 1 0.4 0 0 0.2 0' 'puncture=0.4 -1.5 0 0.2 0 -0.2 0.1'
run spin 12 points=48 half_width=8 end_time=3 'puncture=1 0.3 -0.2 0.1 0 0 0 0.1 0.2 0.4'
run heldout 16 points=64 half_width=14 end_time=6 'puncture=0.35 1.2 1 0.3 -0.15 0.2 0 0 0 0.1' 'puncture=0.65 -0.8 -0.6 0 0.15 -0.2 0 0.1 0.1 0'
