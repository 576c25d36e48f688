/* SPDX-License-Identifier: MIT */
/*
 * Mutexes, condition variables and threads, and the annotations by which clang's -Wthread-safety checks who holds
 * what. A mutex that fails is a bug (assert); a mutex or thread that cannot be made is a condition (reported).
 */
#ifndef FAAS_BASE_SYNC_H
#define FAAS_BASE_SYNC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"

#if defined(__clang__)
#define TS(x) __attribute__((x))
#else
#define TS(x)
#endif

#define holds_lock(...) TS(requires_capability(__VA_ARGS__))    /* the caller holds it */
#define takes_lock(...) TS(acquire_capability(__VA_ARGS__))     /* held on return */
#define drops_lock(...) TS(release_capability(__VA_ARGS__))     /* not held any more on return */
#define without_lock(...) TS(locks_excluded(__VA_ARGS__))       /* the caller must not hold it */
#define no_lock_check TS(no_thread_safety_analysis)

struct TS(capability("mutex")) mutex {
	pthread_mutex_t m;
};

struct cond {
	pthread_cond_t c;
};

/* 0, or FAAS_ETHREAD and nothing made. */
int faas__mutex_init(struct mutex *mu);
void faas__mutex_deinit(struct mutex *mu);
void faas__mutex_lock(struct mutex *mu) takes_lock(mu);
void faas__mutex_unlock(struct mutex *mu) drops_lock(mu);

int faas__cond_init(struct cond *cond);
void faas__cond_deinit(struct cond *cond);
void faas__cond_broadcast(struct cond *cond);

/* Waits up to `ns` of real time (INT64_MAX: without limit). True: they have passed; may return early without reason. */
bool faas__cond_wait_ns(struct cond *cond, struct mutex *mu, int64_t ns) holds_lock(mu);

/* A thread of the system, to be joined by another one or to detach itself. */
struct os_thread {
	pthread_t t;
};

/* Starts a joinable thread with all signals blocked. 0, or FAAS_ETHREAD. `stack_bytes` 0: the system's default. */
int faas__thread_start(struct os_thread *ret_thread, size_t stack_bytes, void *(*main)(void *), void *arg);
/*
 * Keeps a thread off this processor, which it leaves at once, and lets it go where it could before. Systems tend to put a new
 * or woken thread on the processor of whoever made or woke it, where it waits while others may idle: those of a virtual
 * machine look taken as long as they sleep. False: it has no other, or (`cpu` below 0) this one is unknown; and nothing is
 * to be undone.
 */
bool faas__thread_keep_off(const struct os_thread *thread, int cpu);
void faas__thread_let_go(const struct os_thread *thread, int cpu);
void faas__thread_join(const struct os_thread *thread);
/* The calling thread: nobody will join it. */
void faas__thread_detach_self(void);
void faas__thread_set_name(const char *name);

/* The CPU time `thread` has used, in ns; -1 where the system cannot tell. */
int64_t faas__thread_cpu_ns(const struct os_thread *thread);

/* The system's number of the calling thread, for faas__thread_is_runnable; 0 where there is none. */
long faas__thread_number(void);

/* The processor that the calling thread is on, as far as it can be told; else -1. */
int faas__thread_cpu(void);

/*
 * Whether a thread of this process runs or waits for a processor, rather than for anything else. False also where the
 * system does not tell.
 */
bool faas__thread_is_runnable(long number);

/* Gives the processor to another thread that is ready to run. */
void faas__thread_yield(void);

/* Processors this process may run on, at least 1. */
int faas__cpu_count(void);

/* Changes in every child that fork() makes; starts at 1. The handler is installed at the first call. 0: it failed. */
uint32_t faas__fork_generation_install(void);
extern atomic_u32 faas__fork_count; /* 0 until the handler stands; written before threads exist and in new children */
static inline uint32_t faas__fork_generation(void)
{
	return load_relaxed(&faas__fork_count);
}

#endif
