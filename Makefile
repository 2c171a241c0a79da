# The everyday commands. CMake does the building (CMakePresets.json), the scripts the rest.
.PHONY: deps deps-build build programs server client stop status clean-data clean check format package help
.PHONY: test test-unit test-integration test-e2e test-benchmark test-all test-long test-unit-long test-integration-long test-e2e-long \
        test-benchmark-long test-all-long bench bench-parts

JOBS ?= 2
ARGS ?= endpoint status -w table

help:
	@echo "make server      what is missing of packages and build, then a cluster on this machine (config.env)"
	@echo "make client      kvctl on that cluster: make client ARGS=\"put greeting hello\""
	@echo "make status      who of it runs and serves"
	@echo "make stop        ends the cluster;  make clean-data removes what it stored, and asks before (YES=-y: does not)"
	@echo "make test        every suite, in under 25 minutes;  make test-long in full sizes (hours)"
	@echo "make test-unit test-integration test-e2e test-benchmark test-all, and each with -long: one suite, or all"
	@echo "make bench       kvd beside etcd, under 20 minutes (ROWS=\"put-1000 get-lin\": these rows);  make bench-parts: store and log alone"
	@echo "make check       the house rules;  make format clang-format"
	@echo "make package     Debian packages of the server, kvctl and libkvd-client, in build/release/package"
	@echo "make deps build clean"

deps:
	@scripts/deps

deps-build:
	@scripts/deps build

# Configured once, and when the presets change; what else it stands on, ninja looks at.
configured := build/release/build.ninja
$(configured): CMakePresets.json
	cmake --preset release
	@touch $@

build: $(configured)
	cmake --build --preset release -j $(JOBS)

# What `make server` needs: the programs without tests and benchmarks.
programs: $(configured)
	cmake --build --preset release -j $(JOBS) --target kvd kvctl kvbench readwal readstate readsnapshot readpb

package: deps programs
	cmake --build --preset release -j $(JOBS) --target packages

server: deps-build programs
	@scripts/start_servers.sh

client:
	@scripts/client.sh $(ARGS)

stop:
	@scripts/stop_servers.sh

status:
	@scripts/status.sh

clean-data:
	@scripts/clean_data.sh $(YES)

clean:
	rm -rf build bin

test test-all: deps
	test/run_all_tests.sh

# One suite: what it runs is built first.
test-unit: deps
	cmake --preset asan
	cmake --build --preset asan -j $(JOBS)
	cmake --preset tsan
	cmake --build --preset tsan -j $(JOBS) --target $(notdir $(basename $(wildcard test/stress/*.c)))
	test/unit_test.sh

test-integration: deps build
	test/integration_test.sh

test-e2e: deps build
	test/e2e_test.sh

test-benchmark: deps build
	test/benchmark_test.sh

# In full sizes: hours.
test-long: test-all-long
test-unit-long test-integration-long test-e2e-long test-benchmark-long test-all-long: test-%-long:
	KVD_TEST_LONG=1 $(MAKE) test-$*

# kvd beside etcd: the table of goals, bench/RESULTS.md and its plots; of some rows only the table.
bench: deps build
	test/bench/figures/run.py $(if $(ROWS),--rows "$(ROWS)")

# The store, snapshots and the log alone, beside their targets.
bench-parts: deps build
	test/benchmark_test.sh --full

check:
	scripts/check

format:
	clang-format -i $$(git ls-files 'src/*.[ch]' 'apps/*.[ch]' 'test/*.[ch]' 'tools/*.[ch]')
