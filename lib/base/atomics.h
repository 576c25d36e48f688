/* SPDX-License-Identifier: MIT */
/*
 * Atomics with the memory order in the name. Nothing in lib/ touches an atomic in any other way.
 *
 * Only read-modify-write and sequentially consistent operations order a store before a later load; there are no bare
 * fences, because ThreadSanitizer does not see them.
 */
#ifndef FAAS_BASE_ATOMICS_H
#define FAAS_BASE_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic(uint32_t) atomic_u32;
typedef _Atomic(uint64_t) atomic_u64;
typedef _Atomic(int64_t) atomic_i64;

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define load_seq_cst(p) atomic_load_explicit((p), memory_order_seq_cst)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define store_seq_cst(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)
#define exchange_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define exchange_seq_cst(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define add_seq_cst(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define sub_seq_cst(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst)
#define or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)

/* On failure *expected holds what was found (acquired). */
#define cas_acq_rel(p, expected, v) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel, memory_order_acquire)
#define cas_seq_cst(p, expected, v) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst, memory_order_seq_cst)
#define cas_relaxed(p, expected, v) \
	atomic_compare_exchange_weak_explicit((p), (expected), (v), memory_order_relaxed, memory_order_relaxed)

/* A counter with one writer at a time: no read-modify-write needed. Readers see whole values. */
#define bump_relaxed(p, v) store_relaxed((p), load_relaxed(p) + (v))
#define bump_release(p, v) store_release((p), load_relaxed(p) + (v))

/* Two threads that write in one line slow each other down; 64 bytes is the line of every common processor. */
#define FAAS_LINE 64
#define on_own_line _Alignas(FAAS_LINE)

#if defined(__GNUC__)
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define prefetch(p) __builtin_prefetch(p)
/* A function that is seldom called from one that often is: the latter need not make room for it. Small rather than fast. */
#if defined(__clang__)
#define seldom __attribute__((cold, noinline, minsize))
#else
#define seldom __attribute__((cold, noinline))
#endif
/* A function that is part of a path on which calls are a good part of the cost. */
#define inlined inline __attribute__((always_inline))
#else
#define likely(x) (x)
#define unlikely(x) (x)
#define prefetch(p) ((void)(p))
#define seldom
#define inlined inline
#endif

/* Thread-local storage that is found by an offset, without a call. The system keeps little of it for libraries. */
#if defined(__GNUC__) && defined(__ELF__)
#define FAST_TLS __attribute__((tls_model("initial-exec")))
#else
#define FAST_TLS
#endif

/* Fetches a line that is about to be written, so that it need not be asked for twice: once to read, once to own it. */
static inline void prefetch_to_write(const void *p)
{
#if defined(__x86_64__)
	/* The compilers emit this instruction only where they are told that it exists; without it, it does nothing. */
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#elif defined(__GNUC__)
	__builtin_prefetch(p, 1);
#else
	(void)p;
#endif
}

/* What a spinning loop does between two looks, so that the sibling core and the power budget get their share. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
	__asm__ volatile("yield");
#endif
}

#endif
