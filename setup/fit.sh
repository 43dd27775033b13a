#!/usr/bin/env bash
# Fits the entropy coder's initial tables and the weights of spatial prediction again, and holds the result
# against the tree (src/codec/entropy/FITTED.md says what is what): fit.sh [--record]
# With --record the hashes of this fit become those of the tree (src/codec/entropy/fitted.sha256).
set -euo pipefail
cd "$(dirname "$0")/.."
. setup/env.sh
record=${1:-}
bssn=$PWD/build/examples/bssn/bssn
target=${CARGO_TARGET_DIR:-target}
hashes=src/codec/entropy/fitted.sha256

# The data: evolutions of black holes, every field, float64 as the simulation had it. The last run is not learned
# from. Two ranks, for sums over the grid depend on how it is divided.
mkdir -p build/fit
echo >build/fit/none.par
run() { # name, steps between outputs, parameters
    local name=$1 every=$2
    shift 2
    [ ! -f "build/fit/$name.done" ] || return 0
    echo "== evolving $name"
    rm -f "build/fit/$name".*
    (cd build/fit && mpirun -n 2 "$bssn" none.par "$@" "output=$name.h5 raw $every" courant=0.4 report_every=1000)
    "$target/release/swae" decompress "build/fit/$name.h5" -o "build/fit/$name.npy" >/dev/null
    touch "build/fit/$name.done"
}
run spin 7 points=56 half_width=5 end_time=4 'puncture=1 0.3 -0.2 0.1 0.2 0 0.1 0.1 0.2 0.4'
run boost 5 points=64 half_width=8 end_time=4 'puncture=0.9 0 1.5 0.3 0.3 0 0 0 0 0.1' 'puncture=1 0 -1.5 0 -0.3 0 0 0.1 0 0'
run pair 7 points=56 half_width=8 end_time=3 'puncture=1 0 0 2 0 0.3 0 0 0 0' 'puncture=1 0 0 -2 0 -0.3 0 0 0 0'
run wide 7 points=96 half_width=8 end_time=1 'puncture=0.7 0 0.9 -0.4 -0.2 0 0.1 0.1 0 0' 'puncture=1.3 0.2 -0.8 0.3 0.2 0 -0.1 0 0.2 0.1'
run unseen 7 points=96 half_width=9 end_time=1 'puncture=0.8 1.2 1 0.3 -0.15 0.2 0 0 0 0.1' 'puncture=1.1 -0.8 -0.6 0 0.15 -0.2 0 0.1 0.1 0'

# Files of one field of one run are a series: RUN-FIELD.STEP.npy.
rm -rf build/fit/series && mkdir build/fit/series
for file in build/fit/*.*.*.npy; do
    name=$(basename "$file")
    ln "$file" "build/fit/series/${name/./-}"
done
cd build/fit/series
sha256sum -- *.npy >../inputs.sha256
cd ../../..

echo '== fitting the initial tables'
cargo run --release -q -p swae-codec --features training --example fit_initial_tables -- \
    build/fit/initial_tables.bin build/fit/series/{spin,boost,pair,wide}-*.npy
python3 setup/compare_tables.py src/codec/entropy/initial_tables.bin build/fit/initial_tables.bin

echo '== fitting the weights of spatial prediction'
last() { for field in $(printf '%s\n' build/fit/series/"$1"-*.npy | sed 's/\.[0-9]*\.npy$//' | sort -u); do ls "$field".*.npy | tail -n 1; done; }
cargo run --release -q -p swae-codec --features training --example fit_spatial -- \
    $(last spin) $(last boost) $(last pair) $(last wide) --test $(last unseen) | tee build/fit/spatial.txt

if [ "$record" = --record ]; then
    sha256sum src/codec/entropy/initial_tables.bin build/fit/inputs.sha256 build/fit/initial_tables.bin >$hashes
fi
echo '== against the hashes of the tree'
sha256sum -c $hashes || {
    echo "Other inputs: another compiler or processor; the tables then differ too. The same inputs and other tables: the"
    echo "encoder has changed since; where that is meant, record the fit with setup/fit.sh --record."
    exit 1
}
