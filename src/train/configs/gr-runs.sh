#!/usr/bin/env bash
# Evolves the black holes that the model gr-16 is trained on, into the current folder:
# gr-runs.sh PATH/TO/bssn
# One run is kept for validation (heldout.h5), and the demo's run is not among them either.
set -euo pipefail
bssn=${1:?usage: gr-runs.sh PATH/TO/bssn}
echo > none.par
run() {
    local name=$1 every=$2
    shift 2
    echo "== $name.h5"
    mpirun -n 2 "$bssn" none.par "$@" "output=$name.h5 raw $every" courant=0.4 report_every=32
}
run boost 12 points=48 half_width=7 end_time=6 'puncture=1 0 0 0 0.4 0.2 0.1 0 0.1 0.2'
run binary 15 points=64 half_width=8 end_time=6 'puncture=0.8 0 1.6 0.3 0.3 0 0 0 0 0.1' 'puncture=0.9 0 -1.4 0 -0.3 0 0 0.1 0 0'
run unequal 15 points=48 half_width=6 end_time=6 'puncture=0.5 0.2 0.1 1.5' 'puncture=1 0 0 -0.8'
run close 14 points=64 half_width=10 end_time=7 'puncture=1.2 1 0.4 0 0 0.2 0' 'puncture=0.8 -1.5 0 0.2 0 -0.2 0.1'
run spin 16 points=48 half_width=5 end_time=4 'puncture=1 0.3 -0.2 0.1 0 0 0 0.1 0.2 0.4'
run heldout 15 points=64 half_width=9 end_time=6 'puncture=0.7 1.2 1 0.3 -0.15 0.2 0 0 0 0.1' 'puncture=1 -0.8 -0.6 0 0.15 -0.2 0 0.1 0.1 0'
