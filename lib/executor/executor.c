/* SPDX-License-Identifier: MIT */
/* An executor's beginning and end. What its threads do: threads.c; what watches over them: monitor.c. */
#include "executor/executor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define NEAR_NS 20000 /* of thread time, about as much as one turn takes at the most where handlers are fast */

/* Half of the threads that can run at a time: those that have work are not to wait for those that look for it. */
static int32_t max_looking(const struct executor *executor)
{
	int32_t cpus = (int32_t)executor->cpus;
	int32_t threads = executor->base_threads < cpus ? executor->base_threads : cpus;

	return threads > 1 ? threads / 2 : 1;
}

int faas__executor_init(struct executor *executor, const struct executor_config *config)
{
	struct mutex *mutexes[] = {&executor->run_queue.mu, &executor->idle_mu, &executor->threads_mu,
	                           &executor->timers_mu, &executor->visit_mu};
	const size_t count = sizeof(mutexes) / sizeof(mutexes[0]);
	size_t made = 0;

	memset(executor, 0, sizeof(*executor));
	executor->ops = config->ops;
	executor->allocator = config->allocator;
	executor->clock = config->clock;
	executor->base_threads = config->threads;
	executor->max_threads = config->max_threads;
	executor->max_overruns = config->max_overruns;
	executor->spin_ns = (int64_t)config->spin_us * 1000;
	executor->yields = config->yields;
	executor->cpus = (uint32_t)faas__cpu_count();
	executor->max_looking = max_looking(executor);
	/* On one core nobody sees another look. */
	executor->most_looking = executor->max_looking;
	if (executor->spin_ns > 0 && executor->cpus > 1)
		executor->most_looking = 2 * executor->max_looking;
	executor->thread_idle_ns = config->thread_idle_ns;
	executor->stack_bytes = config->stack_bytes;
	(void)snprintf(executor->thread_name, sizeof(executor->thread_name), "%s", config->thread_name);
	executor->run_queue.draw.state = config->draw_seed;
	executor->run_queue.near_ns = config->threads > 0 ? NEAR_NS : 0;
	list_init(&executor->threads);
	list_init(&executor->left);
	store_relaxed(&executor->shortest_ns, TIME_NEVER);
	store_relaxed(&executor->monitor.wake_at, TIME_NEVER);
	while (made < count && faas__mutex_init(mutexes[made]) == FAAS_OK)
		made++;
	if (made < count)
		goto fail_mutex;
	if (faas__cond_init(&executor->threads_cond) != FAAS_OK)
		goto fail_mutex;
	if (faas__parking_init(&executor->monitor.parking) != FAAS_OK)
		goto fail_cond;
	if (!faas__executor_is_manual(executor) && faas__monitor_start(executor) != FAAS_OK)
		goto fail_monitor;
	return FAAS_OK;
fail_monitor:
	faas__parking_deinit(&executor->monitor.parking);
fail_cond:
	faas__cond_deinit(&executor->threads_cond);
fail_mutex:
	while (made > 0)
		faas__mutex_deinit(mutexes[--made]);
	return FAAS_ETHREAD;
}

void faas__executor_stop(struct executor *executor)
{
	/* Under the lock: no thread is started after this. */
	faas__mutex_lock(&executor->threads_mu);
	store_seq_cst(&executor->is_stopping, 1);
	faas__mutex_unlock(&executor->threads_mu);
	while (faas__thread_wake_parked(executor, -1))
		continue;
}

/* Whether a thread runs user code, which may take for ever. */
static bool is_occupied(const struct thread *thread)
{
	return faas__slot_is_running(&thread->slots[0]);
}

int faas__executor_join(struct executor *executor, int64_t until)
{
	int occupied, present;

	faas__mutex_lock(&executor->threads_mu);
	for (;;) {
		occupied = 0;
		present = 0;
		list_each(node, &executor->threads) {
			const struct thread *thread = container_of(node, const struct thread, node);
			bool runs = is_occupied(thread);

			/* Idle guests stay on the list. */
			present += runs || !thread->is_guest;
			occupied += runs;
		}
		if (present == 0 || (present == occupied && faas__executor_now(executor) >= until))
			break;
		/* The others are between two turns; they leave without being asked again. */
		(void)faas__cond_wait_ns(&executor->threads_cond, &executor->threads_mu, TICK_NS);
	}
	faas__mutex_unlock(&executor->threads_mu);
	faas__threads_reap(executor);
	return occupied;
}

bool faas__executor_detach(struct executor *executor)
{
	bool is_occupied_still;

	faas__mutex_lock(&executor->threads_mu);
	is_occupied_still = load_relaxed(&executor->thread_count) > 0;
	executor->is_detached = is_occupied_still;
	faas__mutex_unlock(&executor->threads_mu);
	return is_occupied_still;
}

void faas__executor_quiesce(struct executor *executor)
{
	if (!faas__executor_is_manual(executor))
		faas__monitor_stop(executor);
}

void faas__executor_deinit(struct executor *executor)
{
	assert(list_empty(&executor->threads));
	faas__threads_reap(executor);
	faas__parking_deinit(&executor->monitor.parking);
	faas__cond_deinit(&executor->threads_cond);
	faas__mutex_deinit(&executor->visit_mu);
	faas__mutex_deinit(&executor->timers_mu);
	faas__mutex_deinit(&executor->threads_mu);
	faas__mutex_deinit(&executor->idle_mu);
	faas__mutex_deinit(&executor->run_queue.mu);
}
