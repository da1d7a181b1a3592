#!/bin/sh
# embed.sh FOLDER NAME: print C that puts all files below FOLDER into the
# program as `const struct web_assets NAME_assets` (web/web.h), by name.
set -eu
folder=$1 name=$2

files=$(cd "$folder" && find . -type f ! -name '.*' ! -name '*~' | sed 's|^\./||' | LC_ALL=C sort)

echo "/* Made by common/web/embed.sh. */"
echo "#include \"web/web.h\""
echo "extern const struct web_assets ${name}_assets;"
echo "__asm__(\".section .rodata\\n\""
i=0
for file in $files; do
	echo "    \"${name}_$i: .incbin \\\"$folder/$file\\\"\\n${name}_${i}_end: .byte 0\\n\""
	i=$((i + 1))
done
echo "    \".previous\\n\");"
i=0
for file in $files; do
	echo "extern const char ${name}_$i[], ${name}_${i}_end[];"
	i=$((i + 1))
done
# lengths are differences of addresses, which only code may compute
echo "static struct web_asset list[] = {"
i=0
for file in $files; do
	echo "	{ \"$file\", ${name}_$i, 0 },"
	i=$((i + 1))
done
echo "	{ 0 }"
echo "};"
echo "static void __attribute__((constructor)) measure(void)"
echo "{"
i=0
for file in $files; do
	echo "	list[$i].len = (size_t)(${name}_${i}_end - ${name}_$i);"
	i=$((i + 1))
done
echo "}"
echo "const struct web_assets ${name}_assets = { list, $i };"
