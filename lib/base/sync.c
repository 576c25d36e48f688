/* SPDX-License-Identifier: MIT */
/*
 * Thin wrappers around pthreads. Condition variables wait on the monotonic clock, so that setting the wall clock
 * neither delays nor hastens anything.
 *
 * The one piece of process-wide state is the fork generation: a child has one thread and a copy of locks that other
 * threads may have held, so it must be told apart without touching a lock. pthread_atfork handlers cannot be removed,
 * which is why the shared library is linked so that it stays loaded.
 */
#if defined(__linux__)
#define _GNU_SOURCE /* pthread_getaffinity_np, sched_getcpu, pthread_setname_np, syscall */
#endif

#include "base/sync.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
#include <time.h>
#include <unistd.h>

#include "base/atomics.h"
#include "base/clock.h"
#include "faas/common.h"

#define SPINS 60 /* tries before a mutex is slept for */

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
atomic_u32 faas__fork_count;

static inline void must(int error)
{
	assert(error == 0);
	(void)error;
}

int faas__mutex_init(struct mutex *mu)
{
	return pthread_mutex_init(&mu->m, NULL) == 0 ? FAAS_OK : FAAS_ETHREAD;
}

void faas__mutex_deinit(struct mutex *mu)
{
	must(pthread_mutex_destroy(&mu->m));
}

/*
 * Critical sections here are short, and going to sleep costs two switches: so look a few times first. A holder that was
 * preempted costs about two microseconds in vain.
 */
no_lock_check void faas__mutex_lock(struct mutex *mu)
{
	for (int i = 0; i < SPINS; i++) {
		int error = pthread_mutex_trylock(&mu->m);

		if (error == 0)
			return;
		assert(error == EBUSY);
		cpu_relax();
	}
	must(pthread_mutex_lock(&mu->m));
}

no_lock_check void faas__mutex_unlock(struct mutex *mu)
{
	must(pthread_mutex_unlock(&mu->m));
}

int faas__cond_init(struct cond *cond)
{
	pthread_condattr_t attr;
	int error;

	if (pthread_condattr_init(&attr) != 0)
		return FAAS_ETHREAD;
	error = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (error == 0)
		error = pthread_cond_init(&cond->c, &attr);
	pthread_condattr_destroy(&attr);
	return error == 0 ? FAAS_OK : FAAS_ETHREAD;
}

void faas__cond_deinit(struct cond *cond)
{
	must(pthread_cond_destroy(&cond->c));
}

void faas__cond_broadcast(struct cond *cond)
{
	must(pthread_cond_broadcast(&cond->c));
}

bool faas__cond_wait_ns(struct cond *cond, struct mutex *mu, int64_t ns)
{
	/* A century is as good as for ever, and keeps the sum below in range where time_t has 32 bits. */
	const int64_t longest = (int64_t)1000000000 * NS_PER_S;
	struct timespec until;
	int64_t seconds;
	int error;

	if (ns <= 0)
		return true;
	if (ns >= longest) {
		must(pthread_cond_wait(&cond->c, &mu->m));
		return false;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	seconds = (int64_t)until.tv_sec + ns / NS_PER_S;
	until.tv_nsec += (long)(ns % NS_PER_S);
	if (until.tv_nsec >= NS_PER_S) {
		until.tv_nsec -= NS_PER_S;
		seconds++;
	}
	until.tv_sec = (time_t)seconds;
	error = pthread_cond_timedwait(&cond->c, &mu->m, &until);
	must(error == ETIMEDOUT ? 0 : error);
	return error == ETIMEDOUT;
}

int faas__thread_start(struct os_thread *ret_thread, size_t stack_bytes, void *(*main)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int error;

	if (pthread_attr_init(&attr) != 0)
		return FAAS_ETHREAD;
	if (stack_bytes > 0 && pthread_attr_setstacksize(&attr, stack_bytes) != 0) {
		pthread_attr_destroy(&attr);
		return FAAS_ETHREAD;
	}
	/* The new thread inherits the mask of the moment. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&ret_thread->t, &attr, main, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return error == 0 ? FAAS_OK : FAAS_ETHREAD;
}

bool faas__thread_keep_off(const struct os_thread *thread, int cpu)
{
#if defined(__linux__)
	const size_t at = (size_t)cpu;
	cpu_set_t allowed;

	if (at >= CPU_SETSIZE || pthread_getaffinity_np(thread->t, sizeof(allowed), &allowed) != 0 || !CPU_ISSET(at, &allowed))
		return false;
	CPU_CLR(at, &allowed);
	/* Refused where no other is left. */
	return pthread_setaffinity_np(thread->t, sizeof(allowed), &allowed) == 0;
#else
	(void)thread;
	(void)cpu;
	return false;
#endif
}

void faas__thread_let_go(const struct os_thread *thread, int cpu)
{
#if defined(__linux__)
	cpu_set_t allowed, all;

	if (pthread_getaffinity_np(thread->t, sizeof(allowed), &allowed) != 0)
		return;
	CPU_SET((size_t)cpu, &allowed);
	/*
	 * Linux keeps a set that was asked for, and would hold the thread to it when the process is allowed more processors later.
	 * So all there may ever be are asked for; but if that turns out to be more than before, the host has asked for fewer.
	 */
	memset(&all, 0xff, sizeof(all));
	(void)pthread_setaffinity_np(thread->t, sizeof(all), &all);
	(void)pthread_getaffinity_np(thread->t, sizeof(all), &all);
	if (!CPU_EQUAL(&all, &allowed))
		(void)pthread_setaffinity_np(thread->t, sizeof(allowed), &allowed);
#else
	(void)thread;
	(void)cpu;
#endif
}

void faas__thread_set_name(const char *name)
{
#if defined(__linux__)
	(void)pthread_setname_np(pthread_self(), name);
#else
	(void)name;
#endif
}

void faas__thread_join(const struct os_thread *thread)
{
	must(pthread_join(thread->t, NULL));
}

void faas__thread_detach_self(void)
{
	must(pthread_detach(pthread_self()));
}

int64_t faas__thread_cpu_ns(const struct os_thread *thread)
{
#if defined(_POSIX_THREAD_CPUTIME) && _POSIX_THREAD_CPUTIME >= 0
	struct timespec used;
	clockid_t clock;

	if (pthread_getcpuclockid(thread->t, &clock) == 0 && clock_gettime(clock, &used) == 0)
		return (int64_t)used.tv_sec * NS_PER_S + used.tv_nsec;
#else
	(void)thread;
#endif
	return -1;
}

long faas__thread_number(void)
{
#if defined(__linux__)
	return syscall(SYS_gettid);
#else
	return 0;
#endif
}

int faas__thread_cpu(void)
{
#if defined(__linux__)
	return sched_getcpu();
#else
	return -1;
#endif
}

/* Linux: the letter behind the name in parentheses, of which the last one counts (proc(5)). */
bool faas__thread_is_runnable(long number)
{
#if defined(__linux__)
	char text[256];
	const char *end;
	ssize_t bytes;
	int fd;

	(void)snprintf(text, sizeof(text), "/proc/self/task/%ld/stat", number);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bytes = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (bytes <= 0)
		return false;
	text[bytes] = 0;
	/* The name before it may hold anything. */
	for (end = text + bytes; end > text && *end != ')';)
		end--;
	return end > text && end[1] == ' ' && end[2] == 'R';
#else
	(void)number;
	return false;
#endif
}

void faas__thread_yield(void)
{
	(void)sched_yield();
}

int faas__cpu_count(void)
{
	long online;
#if defined(__linux__)
	cpu_set_t set;

	/* What a container or taskset leaves us counts, not what the machine has. */
	if (pthread_getaffinity_np(pthread_self(), sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return CPU_COUNT(&set);
#endif
	online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 && online < INT_MAX ? (int)online : 1;
}

static void in_child(void)
{
	add_relaxed(&faas__fork_count, 1);
}

static void install(void)
{
	if (pthread_atfork(NULL, NULL, in_child) == 0)
		store_relaxed(&faas__fork_count, 1);
}

uint32_t faas__fork_generation_install(void)
{
	pthread_once(&fork_once, install);
	return faas__fork_generation();
}
