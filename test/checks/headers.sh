#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public header compiles alone, as C11 and as C++17, with every warning an error, and no struct in it has hidden
# padding: on 64 and 32 bit, and on 32-bit ABIs that align 64-bit integers to 8 bytes as well as on those that do not.
#
# usage: headers.sh [--all] [INCLUDE_DIR]     --all: a missing compiler is a failure, not left out
#        headers.sh --self-test [--all]       proves that the check fails where it must
#
# Layouts are looked at freestanding, so neither a 32-bit C library nor a cross compiler is needed.
set -eu

self=$0
top=$(cd "$(dirname "$0")/../.." && pwd)
all=no
self_test=no
include=$top/include
while [ $# -gt 0 ]; do
	case $1 in
	--all) all=yes ;;
	--self-test) self_test=yes ;;
	-*) echo "usage: headers.sh [--all] [--self-test] [INCLUDE_DIR]" >&2; exit 2 ;;
	*) include=$1 ;;
	esac
	shift
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failures=0
done_checks=0

has() { command -v "$1" >/dev/null 2>&1; }

# check WHAT COMMAND...: runs a compiler quietly, and shows what it said if it fails
check() {
	what=$1
	shift
	done_checks=$((done_checks + 1))
	if ! "$@" >"$tmp/out" 2>&1; then
		echo "headers: $what: $*"
		sed 's/^/    /' "$tmp/out" | head -n 20
		failures=$((failures + 1))
	fi
}

missing() {
	if [ "$all" = yes ]; then
		echo "headers: $1 is missing"
		failures=$((failures + 1))
	else
		echo "headers: left out, no $1"
	fi
}

warnings="-Werror -Wall -Wextra -Wpedantic -pedantic-errors -Wshadow -Wconversion -Wsign-conversion -Wundef -Wcast-qual
	-Wpointer-arith -Wwrite-strings -Wformat=2 -Wvla -Wpadded"
c_warnings="$warnings -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition"
# clang's everything, but for what is about other languages or other styles
clang_warnings="$c_warnings -Weverything -Wno-unknown-warning-option -Wno-c++98-compat -Wno-c++98-compat-pedantic
	-Wno-declaration-after-statement -Wno-pre-c2x-compat -Wno-unsafe-buffer-usage"
clang_cxx_warnings="$warnings -Weverything -Wno-unknown-warning-option -Wno-c++98-compat -Wno-c++98-compat-pedantic
	-Wno-unsafe-buffer-usage"

headers_of() { (cd "$include" && ls faas.h faas/*.h 2>/dev/null || true); }

# ---- Each header alone --------------------------------------------------------------------------------------------

each_alone() {
	for header in $(headers_of); do
		for ext in c cc; do
			printf '#include <%s>\n#include <%s>\nextern int nothing;\n' "$header" "$header" >"$tmp/alone.$ext"
		done
		if has gcc; then
			check "$header as C11" gcc -std=c11 $c_warnings -I "$include" -fsyntax-only "$tmp/alone.c"
		fi
		if has clang; then
			check "$header as C11" clang -std=c11 $clang_warnings -I "$include" -fsyntax-only "$tmp/alone.c"
		fi
		if has g++; then
			check "$header as C++17" g++ -std=c++17 $warnings -I "$include" -fsyntax-only "$tmp/alone.cc"
		fi
		# clang++ is clang; a machine without a C++ library still has the freestanding headers
		if has clang++; then
			check "$header as C++17" clang++ -std=c++17 $clang_cxx_warnings -ffreestanding -I "$include" \
				-fsyntax-only "$tmp/alone.cc"
		fi
	done
}

# ---- The helper macros --------------------------------------------------------------------------------------------

# Macros are not compiled until somebody uses them: use each without any field, the hardest case.
macros_in_use() {
	{
		for header in $(headers_of); do
			printf '#include <%s>\n' "$header"
		done
		cat "$include"/faas/*.h | sed -n \
			-e 's/^#define \(FAAS_[A-Z]*\)(\.\.\.) (&.*/int \1_(void);\nint \1_(void) { return \1()->struct_size != 0; }/p' \
			-e 's/^#define \(FAAS_[A-Z]*\)(\.\.\.) {.*sizeof(\([a-z_]*\)).*/extern const \2 \1_;\nconst \2 \1_ = \1();/p'
	} >"$tmp/macros.c"
	for cc in gcc clang; do
		if has $cc; then
			check "the helper macros" $cc -std=c11 $c_warnings -I "$include" -fsyntax-only "$tmp/macros.c"
		fi
	done
}

# ---- Layout -------------------------------------------------------------------------------------------------------

# A compiler lays a struct out, and warns of padding, when somebody asks for its size.
layout() {
	{
		printf '#include <stddef.h>\n'
		for header in $(headers_of); do
			printf '#include <%s>\n' "$header"
		done
		echo 'extern const size_t sizes[];'
		echo 'const size_t sizes[] = {'
		sed -n 's/^\(typedef \)*\(struct faas_[a-z_]*_\(config\|stats\)\) {.*/\tsizeof(\2),/p' "$include"/faas/*.h
		echo '0};'
	} >"$tmp/layout.c"
	flags="-std=c11 -ffreestanding -Werror -Wpadded -I $include -S -o /dev/null"
	if has gcc; then
		check "layout, 64 bit" gcc $flags "$tmp/layout.c"
		case $(uname -m) in
		x86_64 | i?86)
			check "layout, 32 bit" gcc -m32 $flags "$tmp/layout.c"
			check "layout, 32 bit with 64-bit integers aligned to 8" gcc -m32 -malign-double $flags "$tmp/layout.c"
			;;
		esac
	fi
	if has clang; then
		# i386 aligns int64_t to 4 bytes, arm, mips, powerpc and riscv32 to 8
		for target in x86_64-linux-gnu i386-linux-gnu armv7-linux-gnueabihf aarch64-linux-gnu mips-linux-gnu \
			riscv32-unknown-elf riscv64-linux-gnu powerpc-linux-gnu s390x-linux-gnu; do
			check "layout, $target" clang --target=$target $flags "$tmp/layout.c"
		done
	fi
}

# ---- Self-test ----------------------------------------------------------------------------------------------------

# bad WHAT COMPLAINT TEXT: a tree of a good header and TEXT as a second one; the check must refuse it with COMPLAINT
bad() {
	mkdir -p "$tmp/bad/faas"
	echo "$good" >"$tmp/bad/faas/good.h"
	printf '%s\n' "$3" >"$tmp/bad/faas/second.h"
	printf '#include <faas/good.h>\n#include <faas/second.h>\n' >"$tmp/bad/faas.h"
	code=0
	sh "$self" "$tmp/bad" >"$tmp/self" 2>&1 || code=$?
	if [ "$1" = good ]; then
		[ $code -eq 0 ] || { echo "headers: self-test: refused without reason:"; cat "$tmp/self"; exit 1; }
	elif [ $code -ne 1 ] || ! grep -q "headers: $2" "$tmp/self"; then
		echo "headers: self-test: not noticed: $1"
		cat "$tmp/self"
		exit 1
	fi
}

if [ "$self_test" = yes ]; then
	good='#include <stdint.h>
typedef struct faas_good_config {
	uint32_t struct_size;
	int32_t number;
	int64_t time;
	const char *name;
	void *reserved_pointer;
} faas_good_config;
#ifndef __cplusplus
#define FAAS_GOOD(...) (&(faas_good_config){.struct_size = sizeof(faas_good_config), __VA_ARGS__})
#endif'
	good="#ifndef GOOD_H
#define GOOD_H
$good
#endif"
	bad good '' '#include <stdint.h>
struct faas_fine_stats;'
	bad "a header that leans on its neighbours" 'faas/second.h as C11' 'extern uint32_t faas_number;'
	bad "a header that cannot be included twice" 'faas/second.h as C11' 'struct faas_twice { int x; };'
	bad "a word of C++" 'faas/second.h as C++17' 'extern int new;'
	bad "a prototype without arguments" 'faas/second.h as C11' 'int faas_old();'
	bad "padding on 64 bit" 'layout, \(64 bit\|x86_64\|aarch64\)' '#include <stdint.h>
#ifndef S
#define S
struct faas_a_stats { uint32_t struct_size; const void *pointer; };
#endif'
	bad "padding on 32 bit with 64-bit integers aligned to 8" 'layout, \(32 bit with\|armv7\|riscv32\)' '#include <stdint.h>
#ifndef S
#define S
struct faas_a_stats { uint64_t count; const void *pointer; };
#endif'
	bad "the same inside a struct" 'layout, \(32 bit with\|armv7\|riscv32\)' '#include <stdint.h>
#ifndef S
#define S
struct faas_a_stats { const void *p; uint64_t count; const void *q; uint64_t again; };
#endif'
	bad "a helper macro that does not compile" 'the helper macros' '#ifndef __cplusplus
#define FAAS_WRONG(...) (&(faas_wrong_config){.struct_size = 1, __VA_ARGS__})
#endif'
	bad "a helper macro for an array that does not compile" 'the helper macros' '#ifndef __cplusplus
#define FAAS_WRONG(...) {.struct_size = sizeof(faas_good_config), .nubmer = 1, __VA_ARGS__}
#endif'
	echo "headers: self-test passed"
	exit 0
fi

for compiler in gcc clang g++ clang++; do
	has $compiler || missing $compiler
done
[ -n "$(headers_of)" ] || { echo "headers: none in $include"; exit 1; }
has gcc || has clang || { echo "headers: neither gcc nor clang"; exit 1; }
each_alone
macros_in_use
layout

if [ $failures -ne 0 ]; then
	echo "headers: $failures of $done_checks compilations failed"
	exit 1
fi
echo "headers: $done_checks compilations without a warning"
