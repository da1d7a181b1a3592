#!/bin/sh
# embed.sh FOLDER NAME: print C that puts all files below FOLDER into the
# program as `const struct web_assets NAME_assets` (web/web.h), by name.
set -eu
folder=$1 name=$2

files=$(cd "$folder" && find . -type f ! -name '.*' ! -name '*~' |
    sed 's|^\./||' | LC_ALL=C sort)

# each FORMAT: one line a file; %1 is its number, %2 its name
each() {
	i=0
	for file in $files; do
		printf '%s\n' "$1" |
		    sed "s|%1|${name}_$i|g; s|%2|$file|g; s|%3|$i|g"
		i=$((i + 1))
	done
}

printf '%s\n' "/* Made by common/web/embed.sh. */" \
    "#include \"web/web.h\"" \
    "extern const struct web_assets ${name}_assets;" \
    "__asm__(\".section .rodata\\n\""
each "    \"%1: .incbin \\\"$folder/%2\\\"\\n%1_end: .byte 0\\n\""
printf '%s\n' "    \".previous\\n\");"
each 'extern const char %1[], %1_end[];'
# lengths are differences of addresses, which only code may compute
printf '%s\n' "static struct web_asset list[] = {"
each '	{ "%2", %1, 0 },'
printf '%s\n' "	{ 0 }" "};" \
    "static void __attribute__((constructor))" "measure(void)" "{"
each '	list[%3].len = (size_t)(%1_end - %1);'
printf '%s\n' "}" \
    "const struct web_assets ${name}_assets = {" \
    "	list, sizeof(list) / sizeof(list[0]) - 1" "};"
