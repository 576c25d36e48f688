#!/bin/sh
# SPDX-License-Identifier: MIT
#
# clang's thread safety analysis over lib/: every lock that is taken is given back on every path, functions that want a
# lock held (holds_lock, lib/base/sync.h) are called with it, and those that take it (without_lock) without.
#
# usage: locks.sh [--all]                 --all: without clang it fails (else exit code 77: left out)
#        locks.sh --self-test [--all]     proves that the annotations of sync.h are live
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
all=no
self_test=no
for argument in "$@"; do
	case $argument in
	--all) all=yes ;;
	--self-test) self_test=yes ;;
	*) echo "usage: locks.sh [--all] [--self-test]" >&2; exit 2 ;;
	esac
done

if ! command -v clang >/dev/null 2>&1; then
	echo "locks: no clang"
	[ "$all" = no ] || exit 1
	exit 77
fi

analyse() {
	clang -std=c11 -D_POSIX_C_SOURCE=200809L -Wthread-safety -Werror -I "$top/include" -I "$top/lib" -fsyntax-only "$@"
}

if [ "$self_test" = no ]; then
	files=$(find "$top/lib" -name '*.c')
	analyse $files
	echo "locks: $(echo "$files" | wc -l) files without a warning"
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# expect WHAT COMPLAINT BODY: the analysis says COMPLAINT of a function with BODY (an empty one: nothing)
expect() {
	printf '%s\n' '#include "base/sync.h"' 'struct box { struct mutex mu; int x; };' \
		'static int peek(struct box *box) holds_lock(&box->mu);' \
		'static int peek(struct box *box) { return box->x; }' \
		'static int look(struct box *box) without_lock(&box->mu);' \
		'static int look(struct box *box)' \
		'{ int x; faas__mutex_lock(&box->mu); x = peek(box); faas__mutex_unlock(&box->mu); return x; }' \
		'int f(struct box *box, int y);' "int f(struct box *box, int y) { int x = y; $3 return x; }" \
		'int g(struct box *box);' 'int g(struct box *box) { return look(box); }' >"$tmp/f.c"
	code=0
	analyse "$tmp/f.c" >"$tmp/said" 2>&1 || code=$?
	if [ -z "$2" ]; then
		[ $code -eq 0 ] || { echo "locks: self-test: refused without reason: $1"; cat "$tmp/said"; exit 1; }
	elif [ $code -eq 0 ] || ! grep -q "$2" "$tmp/said"; then
		echo "locks: self-test: not noticed: $1"
		cat "$tmp/said"
		exit 1
	fi
}

lock='faas__mutex_lock(&box->mu);'
unlock='faas__mutex_unlock(&box->mu);'
expect "good use" "" "$lock x = peek(box); $unlock x += look(box);"
expect "a call without the lock" "requires holding mutex" "x = peek(box);"
expect "a call with the lock that takes it" "while mutex 'box->mu' is held" "$lock x = look(box); $unlock"
expect "a lock kept" "still held at the end" "$lock"
expect "a lock kept on one path" "not held on every path" "$lock if (y) { $unlock }"
expect "a lock taken twice" "already held" "$lock $lock $unlock"
expect "a lock given back that is not held" "not held" "$unlock"
echo "locks: self-test passed"
