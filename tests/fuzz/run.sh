#!/bin/bash
# run.sh [TARGET...]: fuzz every target (or these) for FUZZ_SECONDS each, with
# clang's libFuzzer, address and undefined behaviour sanitizers.  Starts from
# the corpus in the repository; what it learns stays in build/fuzz/learned;
# an input that breaks something is saved in tests/fuzz/found.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${FUZZ_SECONDS:-60}
build=build/fuzz
found=tests/fuzz/found
sanitizers=address,undefined
mkdir -p "$build/bin" "$found"

# The objects come from the Makefile; coverage makes them useful to libFuzzer.
make -s --no-print-directory -j2 CC=clang SAN=address BUILD=$build \
    OPT="-O1 -g -fsanitize=fuzzer-no-link" $build/libmailstead.a
libs=$(make -s --no-print-directory CC=clang print-LIBS)
flags=()
eval "flags=($(make -s --no-print-directory CC=clang print-CPPFLAGS))"

[ $# -gt 0 ] || set -- tests/fuzz/fuzz_*.c
status=0
for source in "$@"; do
	target=$(basename "$source" .c)
	# shellcheck disable=SC2086 # a list of libraries
	clang "${flags[@]}" -std=c11 -O1 -g -pthread \
	    -fsanitize=fuzzer,$sanitizers -fno-sanitize-recover=undefined \
	    -o "$build/bin/$target" "tests/fuzz/$target.c" \
	    $build/libmailstead.a $libs
	mkdir -p "$build/learned/$target"
	if "$build/bin/$target" -max_total_time="$seconds" -max_len=65536 \
	    -rss_limit_mb=2048 -timeout=10 -verbosity=0 -print_final_stats=1 \
	    -artifact_prefix="$found/$target-" "$build/learned/$target" \
	    "tests/fuzz/corpus/$target" >"$build/$target.log" 2>&1; then
		echo "ok      $target" \
		    "$(sed -n 's/^stat::number_of_executed_units: */runs: /p' \
			"$build/$target.log")"
	else
		echo "FAILED  $target, see $build/$target.log"
		status=1
	fi
done
exit $status
