#!/bin/sh
# embed.sh NAME FOLDER...: print C that puts all files below the folders into
# the program as `const struct web_assets NAME_assets` (web/web.h), by name.
# A file that is in two folders is taken from the first.
set -eu
name=$1
shift

files=$(for folder; do
	(cd "$folder" && find . -type f ! -name '.*' ! -name '*~')
done | sed 's|^\./||' | LC_ALL=C sort -u)

# the path of a file, in the first folder that has it
path_of() {
	file=$1
	shift
	for folder; do
		[ ! -f "$folder/$file" ] || break
	done
	echo "$folder/$file"
}

# each FORMAT FOLDER...: one line a file; %1 is its number, %2 its name, %4 its
# path
each() {
	format=$1
	shift
	i=0
	for file in $files; do
		printf '%s\n' "$format" | sed "s|%1|${name}_$i|g; s|%2|$file|g;
		    s|%3|$i|g; s|%4|$(path_of "$file" "$@")|g"
		i=$((i + 1))
	done
}

printf '%s\n' "/* Made by common/web/embed.sh. */" \
    "#include \"web/web.h\"" \
    "extern const struct web_assets ${name}_assets;"
each "__asm__(\".section .rodata\\n%1: .incbin \\\"%4\\\"\\n\"
    \"%1_end: .byte 0\\n.previous\");" "$@"
each 'extern const char %1[], %1_end[];' "$@"
# lengths are differences of addresses, which only code may compute
printf '%s\n' "static struct web_asset list[] = {"
each '	{ "%2", %1, 0 },' "$@"
printf '%s\n' "	{ 0 }" "};" \
    "static void __attribute__((constructor))" "measure(void)" "{"
each '	list[%3].len = (size_t)(%1_end - %1);' "$@"
printf '%s\n' "}" \
    "const struct web_assets ${name}_assets = {" \
    "	list, sizeof(list) / sizeof(list[0]) - 1" "};"
