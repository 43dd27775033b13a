#!/usr/bin/env bash
# The runs that the built-in mixing network gr-mixture is trained on, and held.h5, a run to test it
# on; 20 minutes on one core: gr-mixture.sh BSSN, then
# swae-train mix spin.h5 boost.h5 r1.h5 r2.h5 r3.h5 r4.h5 r5.h5 --samples 2400000 --steps 14000 \
#     --test held.h5 -o gr-mixture.safetensors --name gr-mixture
set -euo pipefail
bssn=$(realpath "${1:?usage: gr-mixture.sh BSSN}")
echo >none.par
run() { # name, steps between outputs, parameters
    local name=$1 every=$2
    shift 2
    "$bssn" none.par "$@" "output=$name.h5 rel:1e-8 $every" courant=0.4 report_every=1000
}
run spin 7 points=56 half_width=5 end_time=6 'puncture=1 0.3 -0.2 0.1 0.2 0 0.1 0.1 0.2 0.4'
run boost 5 points=64 half_width=8 end_time=7 'puncture=0.9 0 1.5 0.3 0.3 0 0 0 0 0.1' 'puncture=1 0 -1.5 0 -0.3 0 0 0.1 0 0'
run held 5 points=60 half_width=7 end_time=6 'puncture=0.8 1.2 1 0.3 -0.15 0.2 0 0 0 0.1' 'puncture=1.1 -0.8 -0.6 0 0.15 -0.2 0 0.1 0.1 0'
run r1 6 points=56 half_width=7 end_time=6 'puncture=1 1.2 0.5 0 0 0.25 0.1' 'puncture=1 -1.2 -0.3 0.2 0.1 -0.25 0 0 0 0.3'
run r2 5 points=64 half_width=6 end_time=6 'puncture=0.7 0 0.9 -0.4 -0.2 0 0.1 0.1 0 0' 'puncture=1.3 0.2 -0.8 0.3 0.2 0 -0.1 0 0.2 0.1'
run r3 7 points=56 half_width=8 end_time=7 'puncture=1 0 0 2 0 0.3 0 0 0 0' 'puncture=1 0 0 -2 0 -0.3 0 0 0 0'
run r4 5 points=56 half_width=6 end_time=6 'puncture=1.1 0.5 0.5 0.5 0.3 0.2 -0.1 0 0.3 0'
run r5 8 points=64 half_width=7 end_time=7 'puncture=0.9 1.5 0 -0.5 0 0.1 0.2' 'puncture=0.6 -0.7 1.1 0.4 -0.3 0 0'
