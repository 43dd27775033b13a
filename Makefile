# The commands of README.md. Every recipe sets up what it needs; what a machine has already is used.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: help build install python examples demo check circles test trust fuzz seeds bench overhead evaluate header ptx fit train-data train-scaling clean

help:
	@echo 'make demo    builds the library, evolves two black holes on 2 ranks, compresses, decodes and compares (minutes)'
	echo 'make check   formatting, import circles, header, lints, codec tests: before each commit (minutes)'
	echo 'make test    sets up everything, runs every test (an hour the first time)'
	echo 'make trust   what the tests tried, counted (ten minutes; TRUST=long: an hour)'
	echo 'make build   the library and the tools, in target/release (with ADIOS2 where it is installed)'
	echo 'make install PREFIX=/usr/local   libraries, headers, CMake package, pkg-config file, tool'
	echo 'make python  the Python package, as a wheel in build/wheels'
	echo 'make bench   swae beside SZ3, ZFP and SPERR, on evolved black holes, math functions and noise (an hour); FILE=run.h5: on a file'
	echo 'make overhead  what output costs a simulation, in time and in messages (ten minutes)'
	echo 'make evaluate  how good the model of math functions is'
	echo 'make train-scaling  training on one process and on two'
	echo 'make train-data  the evolutions that the model of GR fields is trained on'
	echo 'make fit     fits the initial tables of the entropy coder again and compares them (half an hour)'
	echo 'make docs    the site of the documents, in build/site'
	echo 'make golden  writes the golden files of the format again, until its version is released'
	echo 'make header  writes include/swae.h again after a change of src/capi'
	echo 'make fuzz FUZZ_SECONDS=60   fuzzes each target so long (make seeds: what it found out, as inputs to start from)'
	echo 'make ptx     compiles the kernel for GPUs again after a change of src/codec/cuda'

build:
	@setup/packages.sh demo
	. setup/env.sh
	cargo build --release $$SWAE_FEATURES

# The Python package as a wheel, with what this machine has: pip install build/wheels/*.whl
python: build
	@setup/packages.sh all
	setup/python.sh
	. setup/env.sh
	rm -rf build/wheels build/python
	export CARGO_TARGET_DIR=$$PWD/target
	"$$SWAE_DEPS/python/bin/maturin" build -q -m src/python/Cargo.toml --release --out build/wheels \
	    --interpreter "$$SWAE_DEPS/python/bin/python" $${ADIOS2_DIR:+--features adios2}
	"$$SWAE_DEPS/python/bin/pip" install -q --no-deps --target build/python build/wheels/*.whl
	echo built build/wheels/*.whl

PREFIX ?= /usr/local
install: build
	@setup/install.sh "$(PREFIX)" "$(DESTDIR)"

# They see an installed library, as every program does.
examples: build
	@. setup/env.sh
	mkdir -p build
	setup/install.sh build/prefix
	cmake -S examples -B build/examples -DCMAKE_PREFIX_PATH="$$PWD/build/prefix" >build/examples.log || { cat build/examples.log; exit 1; }
	cmake --build build/examples -j 2 >build/examples.log || { cat build/examples.log; exit 1; }

demo: examples
	@. setup/env.sh
	rm -rf demo && mkdir demo && cd demo
	echo '== evolving two black holes on 2 ranks (one to three minutes)'
	mpirun -n 2 ../build/examples/bssn/bssn ../examples/bssn/head_on.par
	swae=../target/release/swae
	$$swae decompress head_on.h5 --var chi --var alpha --var K --var At_xx -o head_on.vti >/dev/null
	echo '== the last step within a bound of 1e-4 of the value range, against the values that the simulation had'
	$$swae compare reference.h5 bounded.h5 --step 80
	$$swae info bounded.h5 | sed -n 1p
	echo '== the last step as latents'
	$$swae compare reference.h5 head_on.h5 --step 80 --png fields.png --png-fields chi,alpha,K,At_xx
	echo
	$$swae info head_on.h5 | sed -n 1p
	echo 'for ParaView: demo/head_on.*.vti      pictures: demo/fields.png'

# Before each commit. It builds what `make build` builds, and no more than the codec's tests beside.
check: export CARGO_TERM_COLOR = never
check: circles
	@setup/packages.sh demo
	. setup/env.sh
	cargo fmt --all --check
	cargo test --release -q -p swae-capi --test header
	cargo clippy --release --all-targets $$SWAE_FEATURES -- -D warnings
	cargo test --release -q -p swae-codec

# No crate's files import one another in a circle of more than two.
circles:
	@python3 setup/import_circles.py --self-test 2>/dev/null || { echo 'setup/import_circles.py --self-test fails' >&2; exit 1; }
	python3 setup/import_circles.py

test: export CARGO_TERM_COLOR = never
test: circles
	@setup/packages.sh all
	setup/adios2.sh
	setup/libtorch.sh
	setup/sz3.sh
	$(MAKE) --no-print-directory demo
	$(MAKE) --no-print-directory python
	. setup/env.sh
	# The operator once more, against an ADIOS2 that has the older interface.
	ADIOS2_DIR=$$SWAE_DEPS/python/adios2-2.11/prefix \
	    cargo build -q --release -p swae-adios2-plugin --features adios2 --target-dir build/operator-v1
	# The kernel for GPUs is what its source says.
	setup/ptx.sh build/network.ptx
	cmp build/network.ptx src/codec/cuda/network.ptx
	cargo fmt --all --check
	$(MAKE) --no-print-directory docs
	$(MAKE) --no-print-directory fuzz
	cargo clippy --release --workspace --all-targets $$SWAE_FEATURES -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps $$SWAE_FEATURES
	# The crates that go to the registry build from what is packed of them.
	cargo package -q -p swae-models -p swae-codec --allow-dirty
	cargo test --release --workspace $$SWAE_FEATURES 2>&1 | tee build/test.log
	cargo test --release -q -p swae-codec --no-default-features --test without_models 2>&1 | tee -a build/test.log
	awk '/^test result/ { passed += $$4; failed += $$6 } END { print passed " passed, " failed " failed" }' build/test.log

# The table of docs/trust.md: what tests tried, as they count it themselves, and what `make fuzz` did. TRUST=long tries more.
TRUSTED := no_failure_of_one_rank_hangs_another a_file_has_one_writer a_file_that_cannot_be_written_is_left_alone \
    a_file_that_changes_while_it_is_read_is_an_error a_killed_run_keeps_its_steps a_power_loss_keeps_flushed_steps \
    bad_input_gets_an_error_and_loses_nothing many_ranks_boxes_and_fields_are_no_trouble \
    steps_go_on_while_the_program_computes the_bound_holds_for_any_input the_bound_holds_in_files
trust: export TRUST ?= short
trust: export CARGO_TERM_COLOR = never
trust: examples
	@. setup/env.sh
	tests=(); for test in $(TRUSTED); do tests+=(--test $$test); done
	ignored=; [ "$$TRUST" != long ] || ignored=--include-ignored
	failed=0
	cargo test --release --no-fail-fast -p swae-tests "$${tests[@]}" -- --show-output $$ignored >build/trust.log 2>&1 || failed=1
	grep -E '^(test |test result)' build/trust.log || tail -40 build/trust.log
	shopt -s nullglob
	python3 setup/trust.py build/trust.log build/fuzz-*.log
	exit $$failed

# Writes the tables of README.md and docs/performance.md; build/bench/*.json has every single result. With FILE it measures
# that file instead, and prints its table and a recommendation: make bench FILE=run.h5.
bench: $(if $(FILE),build,examples)
	@setup/packages.sh all
	setup/sz3.sh
	. setup/env.sh
	bench() { cargo run --release -q -p swae-tool --features references$${ADIOS2_DIR:+,adios2} -- bench "$$@"; }
	if [ -n "$(FILE)" ]; then
	    bench "$(FILE)"
	    exit
	fi
	setup/libtorch.sh
	. setup/env.sh
	at=build/bench
	mkdir -p $$at
	(cd $$at && [ -f bssn.h5 ] || { mpirun -n 2 ../examples/bssn/bssn ../../examples/bssn/bench.par output='part.h5 raw 16' && mv part.h5 bssn.h5; })
	python3 setup/bench_inputs.py $$at
	echo '== evolved black holes: a single step, on one thread and on all'
	rel='--rel 1e-2,1e-3,1e-4,1e-5'
	bench $$at/bssn.h5 $$rel --step 128 --threads 1,0 --json $$at/grid.json --png $$at/grid.png --speed-png docs/speed.png
	echo '== series of steps 0.5 M apart, and boxes'
	series="$$at/bssn.h5 --step 16..128 --repeat 1"
	bench $$series $$rel --layout series,run,boxes --json $$at/series.json --speed-png $$at/series.png
	echo '== the series without steps, and with a mixing network'
	bench $$series $$rel --layout series --effort normal --references none --without previous --without extrapolation --json $$at/intra.json
	bench $$series --rel 1e-3,1e-4 --layout series,run --effort normal --references sz3 --model gr-mixture --json $$at/mixture.json
	python3 setup/figures.py $$at
	echo '== math functions'
	bench $$at/waves.npy $$at/gaussian.npy --json $$at/math.json
	echo '== the network'
	cargo run --release -q -p swae-train -- bench gr-16
	echo '== white noise'
	bench $$at/noise.npy --json $$at/noise.json

# The tables of docs/performance.md that say what output costs a simulation.
overhead: examples
	@. setup/env.sh
	cargo bench -q -p swae-tests --bench overhead

# The site of the documents: build/site.
.PHONY: docs
docs:
	@. setup/env.sh
	mdbook=$$SWAE_DEPS/tools/bin/mdbook
	[ "$$("$$mdbook" --version 2>/dev/null)" = "mdbook v0.5.4" ] ||
	    cargo install -q mdbook --version 0.5.4 --locked --no-default-features --features search --root "$$SWAE_DEPS/tools"
	python3 docs/book/site.py "$$mdbook" build

# Everything that reads is given what nobody would write: the targets of fuzz/. What is found out is kept in build/fuzz
# from one run to the next, beside the inputs of fuzz/seeds. `make seeds` makes those again of all.
FUZZ_TARGETS = stream symbols series mixing interfield array model bound stores
FUZZ = cargo fuzz run -s none --target-dir build/fuzz
fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || cargo install -q cargo-fuzz --version 0.13.2 --locked
	. setup/env.sh
	for target in $(FUZZ_TARGETS); do
	    echo "== fuzzing $$target"
	    mkdir -p build/fuzz/found/$$target fuzz/seeds/$$target
	    log=build/fuzz-$$target.log
	    $(FUZZ) $$target build/fuzz/found/$$target fuzz/seeds/$$target -- -print_final_stats=1 -len_control=0 \
	        -max_len=16384 -max_total_time=$${FUZZ_SECONDS:-60} -timeout=20 -rss_limit_mb=2048 >$$log 2>&1 ||
	        { tail -40 $$log; exit 1; }
	    sed -n 's/^stat::number_of_executed_units: */inputs tried: /p' $$log
	done
	$(MAKE) --no-print-directory fuzz-calls

seeds:
	@. setup/env.sh
	for target in $(FUZZ_TARGETS); do
	    rm -rf build/fuzz/least
	    mkdir -p build/fuzz/least build/fuzz/found/$$target fuzz/seeds/$$target
	    $(FUZZ) $$target build/fuzz/least build/fuzz/found/$$target fuzz/seeds/$$target -- -set_cover_merge=1 -max_len=900
	    rm -r fuzz/seeds/$$target && cp -r build/fuzz/least fuzz/seeds/$$target
	done

# Any sequence of calls of the C ABI, so many seconds; FUZZ_SEED repeats a run.
.PHONY: fuzz-calls
fuzz-calls: examples
	@. setup/env.sh
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} cargo test -q --release -p swae-tests --test any_sequence_of_calls_gets_a_status -- --nocapture

# Until format version 1 is released: its golden files and pinned sizes, anew. BP5 outputs are among them.
.PHONY: golden
golden:
	@. setup/env.sh
	[ -n "$$SWAE_FEATURES" ] || { echo 'make golden needs ADIOS2: setup/adios2.sh' >&2; exit 1; }
	rm -rf src/codec/tests/golden src/store/tests/golden
	export SWAE_WRITE_GOLDEN=1 SWAE_PIN_SIZES=1
	cargo test --release -q -p swae-codec --test golden
	cargo test --release -q -p swae-store --features adios2 --test golden
	git status --short src/codec/tests/golden src/store/tests/golden

header:
	@. setup/env.sh
	SWAE_WRITE_HEADER=1 cargo test --release -q -p swae-capi --test header

ptx:
	@setup/packages.sh all
	setup/python.sh
	setup/ptx.sh src/codec/cuda/network.ptx

# What is fitted to data, once more, beside what the tree has: src/codec/entropy/FITTED.md.
fit: examples
	@setup/fit.sh

# docs/performance.md's table of math functions.
evaluate:
	@setup/packages.sh all
	setup/libtorch.sh
	. setup/env.sh
	for model in math-16 math-48; do echo $$model; cargo run --release -q -p swae-train -- evaluate $$model; done

# docs/performance.md's efficiency of a training: blocks a second on one process and on two, a thread each, in turns.
train-scaling:
	@setup/packages.sh all
	setup/libtorch.sh
	. setup/env.sh
	cargo build --release -q -p swae-train
	at=$$(mktemp -d) && cp src/train/configs/scaling.toml $$at
	train=$$PWD/target/release/swae-train
	cd $$at && for turn in 1 2 3; do
	    for ranks in 1 2; do
	        RAYON_NUM_THREADS=1 mpirun -n $$ranks $$train fit scaling.toml 2>/dev/null | sed -n "s/.*block, /$$ranks ranks: /p" | tail -n 1
	    done
	done
	rm -r $$at

# The runs that src/train/configs/gr-16.toml learns from (5 minutes), and one that it does not.
train-data: examples
	@. setup/env.sh
	mkdir -p build/train-data && cd build/train-data
	../../src/train/configs/gr-runs.sh ../examples/bssn/bssn

clean:
	@rm -rf target build demo
