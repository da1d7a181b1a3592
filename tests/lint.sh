#!/bin/bash
# lint.sh [FILE...]: formatter, include directions, clang-tidy, cppcheck, and
# for scripts shellcheck; over everything in the repository or these files.
# clang-tidy 14 gets one file a call: with several it reports false va_list
# errors.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

status=0
fail() {
	echo "lint: $*" >&2
	status=1
}

if [ $# -gt 0 ]; then
	files=("$@")
else
	mapfile -t files < <(git ls-files -co --exclude-standard)
fi
c_files=() format_files=() sh_files=()
for file in "${files[@]}"; do
	case $file in
	# load generators: measuring tools, not part of the product
	bench/*.[ch]) format_files+=("$file") ;;
	*.c) c_files+=("$file") format_files+=("$file") ;;
	*.h) format_files+=("$file") ;;
	*.sh | .ci/run) sh_files+=("$file") ;;
	esac
done

flags=()
eval "flags=($(make -s --no-print-directory CC=clang print-CPPFLAGS))"
# the file system of the power cuts
read -ra fuse < <(pkg-config --cflags-only-I fuse3)
flags+=("${fuse[@]/#-I/-isystem}")

if [ ${#format_files[@]} -gt 0 ]; then
	clang-format --dry-run -Werror "${format_files[@]}" ||
	    fail "clang-format -i would change these"
fi
tests/layers.sh || fail "includes point upwards"
if [ ${#sh_files[@]} -gt 0 ]; then
	shellcheck -x -S warning "${sh_files[@]}" || fail "shellcheck"
fi
if [ ${#c_files[@]} -gt 0 ]; then
	cppcheck -q -j2 --enable=warning,performance,portability --inline-suppr \
	    --std=c11 --library=posix --error-exitcode=1 -I. -Icommon \
	    -D_GNU_SOURCE -D__x86_64__ -DMAILSTEAD_VERSION='"0"' \
	    -DMAILSTEAD_PREFIX='"/usr"' \
	    --suppress=readdirCalled --suppress=getpwnamCalled \
	    --suppress=getgrnamCalled --suppress=getpwuidCalled --suppress=missingInclude --suppress=unknownMacro \
	    "${c_files[@]}" || fail "cppcheck"
	# "N warnings generated" is about headers of others; silence means fine
	printf '%s\0' "${c_files[@]}" |
	    xargs -0 -P2 -I{} clang-tidy --quiet {} -- -std=c11 "${flags[@]}" \
		2> >(grep -vE '^[0-9]+ warnings? (generated|and )|^Suppressed|^Use -' >&2) ||
	    fail "clang-tidy"
fi
exit $status
