#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What the built libraries show to the host program.
# - The shared library exports exactly what the headers mark FAAS_API, as version LIBFAAS_0.1.
# - Every global symbol of the archive begins with faas_ (an archive ignores hidden visibility).
# - It needs libc and nothing else, bears the right soname, and stays loaded once loaded.
# - Stripped, it is smaller than 128 KiB (with --size: the bound is for -O2).
# - It has no writable global data but what is listed here.
#
# usage: symbols.sh [--size] [--include DIR] LIB.so LIB.a
#        symbols.sh --self-test          builds bad libraries with cc, and proves that each is refused
set -eu

# The only process-wide state is the fork generation and what installs its handler, once (lib/base/sync.c). Of a
# thread: the innermost frame of libfaas on its stack (lib/dispatch/frame.c), and a byte whose address tells it from
# others (lib/dispatch/lane.c).
writable="fork_once faas__fork_count faas__frame_top faas__lane_identity"
soname=libfaas.so.0
version=LIBFAAS_0.1
max_bytes=131072

self=$0
include=$(cd "$(dirname "$0")/../.." && pwd)/include
size=no
self_test=no
while [ $# -gt 0 ]; do
	case $1 in
	--size) size=yes ;;
	--include) include=$2; shift ;;
	--self-test) self_test=yes ;;
	-*) echo "usage: symbols.sh [--size] [--include DIR] LIB.so LIB.a" >&2; exit 2 ;;
	*) break ;;
	esac
	shift
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# ---- Self-test ----------------------------------------------------------------------------------------------------

# build SOURCE: libfaas.so and libfaas.a in $tmp/bad, linked as $link says
link_default="-Wl,-soname,$soname -Wl,-z,nodelete"
build() {
	rm -rf "$tmp/bad"
	mkdir -p "$tmp/bad"
	printf '%s\n' "$1" >"$tmp/bad/x.c"
	printf '%s\n' "$map" >"$tmp/bad/x.map"
	${CC:-cc} -O1 -fPIC -fvisibility=hidden -I "$tmp/include" -c "$tmp/bad/x.c" -o "$tmp/bad/x.o"
	${CC:-cc} -shared -Wl,--version-script="$tmp/bad/x.map" "$tmp/bad/x.o" -o "$tmp/bad/libfaas.so" $link
	ar rcs "$tmp/bad/libfaas.a" "$tmp/bad/x.o"
}

# expect WHAT COMPLAINT SOURCE: the library made of SOURCE is refused with COMPLAINT (an empty one: it is taken)
expect() {
	build "$3"
	code=0
	sh "$self" --size --include "$tmp/include" "$tmp/bad/libfaas.so" "$tmp/bad/libfaas.a" >"$tmp/said" 2>&1 || code=$?
	if [ -z "$2" ]; then
		[ $code -eq 0 ] || { echo "symbols: self-test: refused without reason: $1"; cat "$tmp/said"; exit 1; }
	elif [ $code -ne 1 ] || ! grep -q "symbols: .*$2" "$tmp/said"; then
		echo "symbols: self-test: not noticed: $1"
		cat "$tmp/said"
		exit 1
	fi
}

if [ "$self_test" = yes ]; then
	mkdir -p "$tmp/include/faas"
	cat >"$tmp/include/faas/x.h" <<-'EOF'
		#define FAAS_API __attribute__((visibility("default")))
		FAAS_API int faas_one(int x,
		                      int y);
		FAAS_API const char *faas_two(void);
	EOF
	good='#include <faas/x.h>
	int faas__inner(int x);
	int faas__inner(int x) { return x + 1; }
	int faas_one(int x, int y) { return faas__inner(x + y); }
	const char *faas_two(void) { return "two"; }
	static const char *const table[] = {"a", "b"};
	const char *const *faas__table(void); const char *const *faas__table(void) { return table; }'
	map="$version { global: faas_[a-z]*; local: *; };"
	link=$link_default
	expect "a good library" "" "$good"
	expect "a function that is not there" "faas_two is not exported" "$(echo "$good" | grep -v '"two"')"
	expect "a function no header knows" "faas_three is in no header" "$good
		FAAS_API int faas_three(void); int faas_three(void) { return 3; }"
	expect "a foreign name in the archive" "helper .*does not begin with faas_" "$good
		int helper(void); int helper(void) { return 3; }"
	expect "writable data" "writable .*count" "$good
		static int count; int faas__next(void); int faas__next(void) { return ++count; }"
	expect "writable initialised data" "writable .*count" "$good
		static int count = 5; int faas__next(void); int faas__next(void) { return ++count; }"
	expect "thread-local data" "writable .*count" "$good
		static _Thread_local int count; int faas__next(void); int faas__next(void) { return ++count; }"
	expect "a large library" "bytes stripped" "$good
		static const char big[200000] = {1}; const char *faas__big(void); const char *faas__big(void) { return big; }"
	map="$version { global: faas_*; local: *; };"
	expect "an internal function exported" "faas__.* is exported" "$good
		FAAS_API int faas__leak(void); int faas__leak(void) { return 1; }"
	map="LIBFAAS_9 { global: faas_[a-z]*; local: *; };"
	expect "another version" "not of version" "$good"
	map="$version { global: faas_[a-z]*; local: *; };"
	link="-Wl,-soname,libother.so.1 -Wl,-z,nodelete"
	expect "another soname" "soname" "$good"
	link="-Wl,-soname,$soname"
	expect "a library that can be unloaded" "nodelete" "$good"
	link="$link_default -Wl,--no-as-needed -lm"
	expect "one more library needed" "needs libm" "$good"
	link="$link_default -Wl,-rpath,/somewhere"
	expect "a run path" "run path" "$good"
	link="$link_default -Wl,-z,execstack"
	expect "an executable stack" "executable stack" "$good"
	echo "symbols: self-test passed"
	exit 0
fi

# ---- The check ----------------------------------------------------------------------------------------------------

[ $# -eq 2 ] || { echo "usage: symbols.sh [--size] [--include DIR] LIB.so LIB.a" >&2; exit 2; }
shared=$1
archive=$2
failures=0
for file in "$shared" "$archive"; do
	[ -f "$file" ] || { echo "symbols: there is no $file"; exit 1; }
done

fail() {
	echo "symbols: $*"
	failures=$((failures + 1))
}

# Prototypes may span lines: join each from FAAS_API to its semicolon, take the name before the first parenthesis.
cat "$include"/faas/*.h | awk '
	/^FAAS_API/ { text = ""; inside = 1 }
	inside { text = text " " $0 }
	inside && /;/ { sub(/\(.*/, "", text); sub(/.*[ *]/, "", text); print text; inside = 0 }' | sort >"$tmp/declared"
[ -s "$tmp/declared" ] || fail "no FAAS_API in $include"

nm -D --defined-only --with-symbol-versions "$shared" | awk '$2 != "A" { print $NF }' | sort >"$tmp/versioned"
sed 's/@.*//' "$tmp/versioned" >"$tmp/exported"
for name in $(comm -23 "$tmp/declared" "$tmp/exported"); do
	fail "$name is not exported"
done
for name in $(comm -13 "$tmp/declared" "$tmp/exported"); do
	case $name in
	faas__*) fail "$name is exported, but is internal" ;;
	*) fail "$name is in no header" ;;
	esac
done
for name in $(grep -v "@@$version\$" "$tmp/versioned" || true); do
	fail "$name is not of version $version"
done

# (x86.get_pc_thunk: what 32-bit x86 compilers put into every object; hidden and shared)
for name in $(nm -g --defined-only "$archive" |
	awk 'NF == 3 && $3 !~ /^faas_/ && $3 !~ /^__x86\.get_pc_thunk/ { print $3 }'); do
	fail "$name in the archive does not begin with faas_"
done

readelf -dW "$shared" >"$tmp/dynamic"
for name in $(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' "$tmp/dynamic"); do
	case $name in
	libc.so | libc.so.[0-9]*) ;;
	*) fail "it needs $name" ;;
	esac
done
grep -q "(SONAME).*\[$soname\]" "$tmp/dynamic" || fail "the soname is not $soname"
grep -q 'NODELETE' "$tmp/dynamic" || fail "it is not linked with -z nodelete"
! grep -Eq '\((RPATH|RUNPATH)\)' "$tmp/dynamic" || fail "it has a run path"
! grep -q 'TEXTREL' "$tmp/dynamic" || fail "its code needs relocating"
! readelf -lW "$shared" | grep 'GNU_STACK' | grep -q 'RWE' || fail "it asks for an executable stack"

# Objects in writable sections; .data.rel.ro is written by the dynamic linker only, before anybody runs.
objdump -t "$archive" 2>/dev/null | awk '
	{ for (i = 2; i < NF; i++)
		if ($i ~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*|\.ldata|\.lbss)/ && $i !~ /^\.data\.rel\.ro/ && $NF != $i &&
		    $NF !~ /^\./) print $NF }' | sed 's/\.[0-9]*$//' | sort -u >"$tmp/data"
for name in $(cat "$tmp/data"); do
	case " $writable " in
	*" $name "*) ;;
	*) fail "writable global data: $name" ;;
	esac
done

if [ "$size" = yes ]; then
	strip -o "$tmp/stripped" "$shared"
	bytes=$(wc -c <"$tmp/stripped")
	[ "$bytes" -lt $max_bytes ] || fail "$bytes bytes stripped, not under $max_bytes"
	echo "symbols: $bytes bytes stripped"
fi

echo "symbols: $(wc -l <"$tmp/exported") exported, writable data: $(tr '\n' ' ' <"$tmp/data")"
if [ $failures -ne 0 ]; then
	echo "symbols: $failures problems"
	exit 1
fi
