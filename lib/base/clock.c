/* SPDX-License-Identifier: MIT */
/*
 * Clocks. A manual clock moves in jumps from one due moment to the next, so that each thing fires at exactly its own
 * time, whatever the length of the advance.
 *
 * Locks: a clock's mutex guards its followers and is held while they fire; it is the first in the lock order, before
 * anything of a runtime.
 */
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/config.h"

#define LATEST ((int64_t)1 << 62)

static int64_t system_now(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t faas__clock_now(const faas_clock *clock)
{
	if (likely(!clock))
		return system_now(CLOCK_MONOTONIC);
	if (clock->is_manual)
		return load_acquire(&clock->manual_now);
	return clock->monotonic_ns(clock->user);
}

int64_t faas__clock_unix(const faas_clock *clock)
{
	if (clock && clock->is_manual)
		return clock->unix_start_ns + load_acquire(&clock->manual_now);
	if (clock && clock->unix_ns)
		return clock->unix_ns(clock->user);
	return system_now(CLOCK_REALTIME);
}

static int clock_new(faas_clock **ret_clock)
{
	faas_clock *clock = calloc(1, sizeof(*clock));

	if (!clock)
		return FAAS_ENOMEM;
	if (faas__mutex_init(&clock->mu) != FAAS_OK) {
		free(clock);
		return FAAS_ENOMEM;
	}
	store_relaxed(&clock->refs, 1);
	list_init(&clock->followers);
	*ret_clock = clock;
	return FAAS_OK;
}

int faas_clock_new(const faas_clock_config *given, faas_clock **ret_clock)
{
	faas_clock_config copy;
	const faas_clock_config *config;
	faas_clock *clock;
	int error;

	if (!given || !ret_clock)
		return FAAS_EINVAL;
	config = faas__config_read(given, &copy, sizeof(copy));
	if (!config || config->reserved != 0 || !config->monotonic_ns)
		return FAAS_EINVAL;
	error = clock_new(&clock);
	if (error != FAAS_OK)
		return error;
	clock->monotonic_ns = config->monotonic_ns;
	clock->unix_ns = config->unix_ns;
	clock->user = config->user;
	*ret_clock = clock;
	return FAAS_OK;
}

int faas_clock_new_manual(int64_t unix_ns, faas_clock **ret_clock)
{
	faas_clock *clock;
	int error;

	if (!ret_clock || unix_ns < 0 || unix_ns > LATEST)
		return FAAS_EINVAL;
	error = clock_new(&clock);
	if (error != FAAS_OK)
		return error;
	clock->is_manual = 1;
	clock->unix_start_ns = unix_ns;
	*ret_clock = clock;
	return FAAS_OK;
}

int64_t faas_clock_now(const faas_clock *clock)
{
	return clock ? faas__clock_now(clock) : FAAS_EINVAL;
}

faas_clock *faas_clock_ref(faas_clock *clock)
{
	if (clock)
		add_relaxed(&clock->refs, 1);
	return clock;
}

void faas_clock_unref(faas_clock *clock)
{
	if (!clock || sub_acq_rel(&clock->refs, 1) != 1)
		return;
	faas__mutex_deinit(&clock->mu);
	free(clock);
}

void faas__clock_follow(faas_clock *clock, struct clock_follower *follower)
{
	faas__mutex_lock(&clock->mu);
	list_push_back(&clock->followers, &follower->node);
	faas__mutex_unlock(&clock->mu);
}

void faas__clock_unfollow(faas_clock *clock, struct clock_follower *follower)
{
	faas__mutex_lock(&clock->mu);
	list_remove(&follower->node);
	faas__mutex_unlock(&clock->mu);
}

static int64_t earliest_due(faas_clock *clock) holds_lock(clock->mu)
{
	int64_t earliest = TIME_NEVER;

	list_each(node, &clock->followers) {
		struct clock_follower *follower = container_of(node, struct clock_follower, node);
		int64_t due = follower->next_due(follower);

		if (due < earliest)
			earliest = due;
	}
	return earliest;
}

static void move_to(faas_clock *clock, int64_t now) holds_lock(clock->mu)
{
	if (now > load_relaxed(&clock->manual_now))
		store_release(&clock->manual_now, now);
	list_each(node, &clock->followers) {
		struct clock_follower *follower = container_of(node, struct clock_follower, node);

		follower->fire(follower, load_relaxed(&clock->manual_now));
	}
}

int faas_clock_advance(faas_clock *clock, int64_t duration_ns)
{
	int64_t end, due;

	if (!clock || !clock->is_manual || duration_ns < 0)
		return FAAS_EINVAL;
	faas__mutex_lock(&clock->mu);
	end = load_relaxed(&clock->manual_now);
	if (duration_ns > LATEST - end) {
		faas__mutex_unlock(&clock->mu);
		return FAAS_EINVAL;
	}
	end += duration_ns;
	while ((due = earliest_due(clock)) <= end)
		move_to(clock, due);
	move_to(clock, end);
	faas__mutex_unlock(&clock->mu);
	return FAAS_OK;
}
