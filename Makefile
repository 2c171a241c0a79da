# The everyday commands. CMake does the building (CMakePresets.json), the scripts the rest.
.PHONY: deps deps-build build programs server client stop clean-data clean test test-long bench check format package help

JOBS ?= 2
ARGS ?= endpoint status -w table

help:
	@echo "make server      what is missing of packages and build, then a cluster on this machine (config.env)"
	@echo "make client      kvctl on that cluster: make client ARGS=\"put greeting hello\""
	@echo "make stop        ends the cluster;  make clean-data removes what it stored"
	@echo "make test        every suite, in under 25 minutes;  make test-long in full sizes (hours)"
	@echo "make bench       the benchmarks;  make check the house rules;  make format clang-format"
	@echo "make package     Debian packages of the server, kvctl and libkvd-client, in build/release/package"
	@echo "make deps build clean"

deps:
	@scripts/deps

deps-build:
	@scripts/deps build

build:
	cmake --preset release
	cmake --build --preset release -j $(JOBS)

# What `make server` needs: the programs without tests and benchmarks.
programs:
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target kvd kvctl readwal readstate readsnapshot readpb

package: deps programs
	cmake --build --preset release -j $(JOBS) --target kvd-client kvd-client-static
	cpack --config build/release/CPackConfig.cmake

server: deps-build programs
	@scripts/start_servers.sh

client:
	@scripts/client.sh $(ARGS)

stop:
	@scripts/stop_servers.sh

clean-data:
	@scripts/clean_data.sh

clean:
	rm -rf build bin

test: deps
	test/run_all_tests.sh

test-long: deps
	KVD_TEST_LONG=1 test/run_all_tests.sh

bench: deps build
	test/benchmark_test.sh --full

check:
	scripts/check

format:
	clang-format -i $$(git ls-files 'src/*.[ch]' 'apps/*.[ch]' 'test/*.[ch]' 'tools/*.[ch]')
