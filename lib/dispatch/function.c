/* SPDX-License-Identifier: MIT */
/*
 * The registry: functions by name, from registration to the end.
 *
 * Unregistering takes a function apart in an order that leaves no window: the name goes, the function closes, its
 * bindings go; then one waits until every emitter that may have seen it open has left its lane. Now nothing can be
 * pushed any more (it is sealed), and what is queued is cancelled. What runs finishes, workers retire, and whoever
 * removes the last of these finishes the function: adds its numbers to the past, calls `release`, and gives up the
 * registry's reference.
 *
 * A turn that is ready stands in the run queue; such a function does not finish before its turn was taken, so the
 * queue never holds one that is gone. After sealing, turns are kicked only under the function's lock (a timer, a slot
 * given back), where is_finished is looked at.
 */
#include <string.h>

#include "base/config.h"
#include "base/text.h"
#include "dispatch/defer.h"
#include "dispatch/frame.h"
#include "dispatch/function.h"
#include "dispatch/record.h"
#include "dispatch/retry.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

/* ---- References -------------------------------------------------------------------------------------------------- */

faas_function *faas_function_ref(faas_function *function)
{
	if (function)
		add_relaxed(&function->refs, 1);
	return function;
}

static void free_name(faas_runtime *runtime, char *name)
{
	if (name)
		faas__free(&runtime->allocator, name, strlen(name) + 1);
}

static void function_free(faas_function *function)
{
	faas_runtime *runtime = function->runtime;

	faas__keys_deinit(function);
	free_name(runtime, function->delivery.on_success);
	free_name(runtime, function->delivery.on_failure);
	faas__free(&runtime->allocator, function->queue_histogram, sizeof(*function->queue_histogram));
	faas__free(&runtime->allocator, function->run_histogram, sizeof(*function->run_histogram));
	faas__mutex_deinit(&function->mu);
	faas__free_aligned(&runtime->allocator, function, sizeof(*function), FAAS_LINE);
	faas__runtime_unref(runtime);
}

void faas_function_unref(faas_function *function)
{
	if (!function || faas__runtime_is_forked(function->runtime))
		return;
	if (sub_acq_rel(&function->refs, 1) == 1)
		function_free(function);
}

const char *faas_function_name(const faas_function *function)
{
	return function->name;
}

/* ---- Registering ------------------------------------------------------------------------------------------------- */

static int64_t or_default(int64_t value, int64_t preset)
{
	return value != 0 ? value : preset;
}

static bool are_durations(const faas_function_config *config)
{
	if (!faas__is_duration(config->max_age_ms) || config->backoff_ms < FAAS_NONE ||
	    config->backoff_ms > FAAS_MAX_DURATION_MS || config->backoff_max_ms < 0 ||
	    config->backoff_max_ms > FAAS_MAX_DURATION_MS)
		return false;
	return faas__is_duration(config->deadline_ms) && faas__is_duration(config->init_deadline_ms) &&
	       faas__is_duration(config->init_backoff_ms) && faas__is_duration(config->keep_warm_ms);
}

static bool is_delivery(const faas_function_config *config)
{
	return config->attempts >= FAAS_UNLIMITED && config->attempts <= FAAS_MAX_ATTEMPTS &&
	       config->jitter_percent >= FAAS_NONE && config->jitter_percent <= 100 &&
	       (config->order == FAAS_ORDER_NONE || config->order == FAAS_ORDER_BY_KEY) &&
	       config->dead_letters >= FAAS_NONE && config->dead_letters <= FAAS_MAX_DEAD_LETTERS;
}

static bool is_sharing(const faas_function_config *config)
{
	if (config->rate_per_s < FAAS_UNLIMITED || config->rate_per_s > FAAS_MAX_RATE || config->rate_burst < 0 ||
	    config->rate_burst > FAAS_MAX_RATE || config->reserved_concurrency < 0)
		return false;
	if (config->max_concurrency > 0 && config->reserved_concurrency > config->max_concurrency)
		return false;
	return config->warm_policy == FAAS_WARM_KEEP || config->warm_policy == FAAS_WARM_DEMAND;
}

static bool is_config(const faas_function_config *config)
{
	if (!config || !config->handler || (config->flags & ~FAAS_FUNCTION_INLINE) != 0 || config->reserved != 0)
		return false;
	if (!is_delivery(config) || !is_sharing(config))
		return false;
	if (!are_durations(config) || config->queue_bytes < FAAS_UNLIMITED)
		return false;
	if (config->queue_events < 0 || config->queue_events > FAAS_MAX_QUEUE_EVENTS)
		return false;
	if (config->queue_full != FAAS_FULL_REJECT && config->queue_full != FAAS_FULL_DROP_OLDEST)
		return false;
	if (config->max_concurrency < FAAS_UNLIMITED || config->provisioned < 0)
		return false;
	if (config->max_concurrency > 0 && config->provisioned > config->max_concurrency)
		return false;
	return config->weight >= 0 && config->weight <= 1000;
}

static void configure(faas_function *function, const faas_function_config *config)
{
	const uint64_t most_bytes = LOAD_EVENT - 1;

	function->handler = config->handler;
	function->init = config->init;
	function->fini = config->fini;
	function->user = config->user;
	function->release = config->release;
	function->flags = config->flags;
	function->deadline_ns = faas__ms_to_ns(or_default(config->deadline_ms, 3000));
	function->init_deadline_ns = faas__ms_to_ns(or_default(config->init_deadline_ms, 10000));
	function->init_backoff_ns = faas__ms_to_ns(or_default(config->init_backoff_ms, 100));
	if (config->init_backoff_ms == FAAS_NONE)
		function->init_backoff_ns = 0;
	if (function->init_backoff_ns > (int64_t)FAAS_MAX_DURATION_MS * NS_PER_MS / 64)
		function->init_backoff_ns = (int64_t)FAAS_MAX_DURATION_MS * NS_PER_MS / 64;
	function->keep_warm_ns = faas__ms_to_ns(or_default(config->keep_warm_ms, 600000));
	function->max_events = (uint32_t)or_default(config->queue_events, 1000000);
	function->max_bytes = (uint64_t)or_default(config->queue_bytes, (int64_t)256 << 20);
	if (config->queue_bytes == FAAS_UNLIMITED || function->max_bytes > most_bytes)
		function->max_bytes = most_bytes;
	function->drops_oldest = config->queue_full == FAAS_FULL_DROP_OLDEST;
	function->max_concurrency = config->max_concurrency > 0 ? config->max_concurrency : INT64_MAX;
	function->provisioned = (uint32_t)config->provisioned;
}

static void configure_delivery(faas_function *function, const faas_function_config *config)
{
	struct delivery *delivery = &function->delivery;

	delivery->max_attempts = config->attempts == FAAS_UNLIMITED ? UINT16_MAX : (uint32_t)or_default(config->attempts, 3);
	delivery->max_age_ns = faas__ms_to_ns(or_default(config->max_age_ms, 21600000));
	delivery->backoff_ns = config->backoff_ms == FAAS_NONE ? 0 : faas__ms_to_ns(or_default(config->backoff_ms, 100));
	delivery->backoff_max_ns = faas__ms_to_ns(or_default(config->backoff_max_ms, 20000));
	if (delivery->backoff_max_ns < delivery->backoff_ns)
		delivery->backoff_max_ns = delivery->backoff_ns;
	delivery->jitter_percent = config->jitter_percent == FAAS_NONE ? 0 : (uint32_t)or_default(config->jitter_percent, 100);
	delivery->max_letters = config->dead_letters == FAAS_NONE ? 0 : (uint64_t)or_default(config->dead_letters, 100);
}

static void configure_sharing(faas_function *function, const faas_function_config *config)
{
	int64_t rate = config->rate_per_s, burst = or_default(config->rate_burst, rate);

	function->is_ordered = config->order == FAAS_ORDER_BY_KEY;
	function->header_bytes = sizeof(faas_invocation) + (function->is_ordered ? sizeof(struct keyed) : 0);
	function->wants_records = config->on_success || config->on_failure;
	function->reserved = (uint32_t)config->reserved_concurrency;
	function->follows_demand = config->warm_policy == FAAS_WARM_DEMAND;
	function->rate_due = TIME_NEVER;
	if (rate <= 0)
		return;
	/* Rounded up: never more than the rate. */
	function->rate_interval_ns = (1000000000 + rate - 1) / rate;
	function->rate_slack_ns = (burst - 1) * function->rate_interval_ns;
}

/* A copy of a destination's name. 0, FAAS_ENAME, FAAS_ENOMEM. */
static int copy_name(faas_runtime *runtime, const char *name, char **ret_copy)
{
	size_t bytes;

	if (!name)
		return FAAS_OK;
	if (faas__name_check(name) == 0)
		return FAAS_ENAME;
	bytes = strlen(name) + 1;
	*ret_copy = faas__alloc(&runtime->allocator, bytes);
	if (!*ret_copy)
		return FAAS_ENOMEM;
	memcpy(*ret_copy, name, bytes);
	return FAAS_OK;
}

/* What needs memory of its own. On failure function_free undoes it. 0, FAAS_ENAME, FAAS_ENOMEM. */
static int make_parts(faas_function *function, const faas_function_config *config)
{
	int error = copy_name(function->runtime, config->on_success, &function->delivery.on_success);

	if (error == FAAS_OK)
		error = copy_name(function->runtime, config->on_failure, &function->delivery.on_failure);
	if (error == FAAS_OK && function->is_ordered)
		error = faas__keys_init(function);
	return error;
}

static faas_function *function_new(faas_runtime *runtime, const char *name, const faas_function_config *config)
{
	faas_function *function = faas__alloc_aligned(&runtime->allocator, sizeof(*function), FAAS_LINE);

	if (!function)
		return NULL;
	memset(function, 0, sizeof(*function));
	if (faas__mutex_init(&function->mu) != FAAS_OK) {
		faas__free_aligned(&runtime->allocator, function, sizeof(*function), FAAS_LINE);
		return NULL;
	}
	configure(function, config);
	configure_delivery(function, config);
	configure_sharing(function, config);
	strcpy(function->name, name);
	faas__mpsc_init(&function->inbox_in, &function->inbox_out);
	faas__turn_init(&function->turn, &faas__function_turn_ops, (uint32_t)or_default(config->weight, 100));
	list_init(&function->node);
	list_init(&function->bindings);
	list_init(&function->backlog);
	list_init(&function->arrivals);
	list_init(&function->letters);
	list_init(&function->share_node);
	list_init(&function->warm);
	list_init(&function->tallies);
	function->timer.fire = faas__worker_timer_fired;
	function->timer_due = TIME_NEVER;
	store_relaxed(&function->refs, 1);
	function->runtime = faas__runtime_ref(runtime);
	return function;
}

static int add_to_registry(faas_runtime *runtime, faas_function *function) holds_lock(runtime->functions_mu)
{
	int error;

	if (load_acquire(&runtime->phase) != RUNTIME_OPEN)
		return FAAS_ECLOSED;
	if (runtime->function_count >= FAAS_MAX_FUNCTIONS)
		return FAAS_EFUNCTIONS;
	if (faas__map_get(&runtime->functions, function->name))
		return FAAS_EEXIST;
	error = faas__map_add(&runtime->functions, &runtime->allocator, function->name, function);
	if (error != FAAS_OK)
		return error;
	/* Last of what can fail: others could notice a reservation that is taken back. */
	error = faas__share_reserve(&runtime->share, function->reserved);
	if (error != FAAS_OK) {
		faas__map_remove(&runtime->functions, function->name);
		return error;
	}
	function->index = runtime->function_index++;
	function->random.state = faas__mix64(runtime->hash_seed + function->index);
	list_push_back(&runtime->function_list, &function->node);
	runtime->function_count++;
	return FAAS_OK;
}

/* The monitor relies on knowing the shortest deadline there is. */
static void lower_shortest(struct executor *executor, int64_t deadline_ns)
{
	int64_t shortest = load_seq_cst(&executor->shortest_ns);

	while (deadline_ns < shortest)
		if (cas_seq_cst(&executor->shortest_ns, &shortest, deadline_ns)) {
			faas__monitor_poke(executor);
			return;
		}
}

int faas_register_function(faas_runtime *runtime, const char *name, const faas_function_config *given)
{
	faas_function_config copy;
	const faas_function_config *config;
	faas_function *function;
	int error;

	if (!runtime || !name || !given)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	config = faas__config_read(given, &copy, sizeof(copy));
	if (!is_config(config))
		return FAAS_EINVAL;
	if (faas__name_check(name) == 0)
		return FAAS_ENAME;
	function = function_new(runtime, name, config);
	if (!function)
		return FAAS_ENOMEM;
	error = make_parts(function, config);
	if (error != FAAS_OK) {
		faas_function_unref(function);
		return error;
	}
	lower_shortest(&runtime->executor, function->deadline_ns);
	if (function->init)
		lower_shortest(&runtime->executor, function->init_deadline_ns);
	faas__mutex_lock(&runtime->functions_mu);
	error = add_to_registry(runtime, function);
	if (error == FAAS_OK && function->provisioned > 0)
		faas_function_ref(function);
	faas__mutex_unlock(&runtime->functions_mu);
	if (error != FAAS_OK) {
		faas_function_unref(function);
		return error;
	}
	if (config->provisioned > 0) {
		faas__mutex_lock(&function->mu);
		if (!function->is_finished)
			faas__function_chore(function);
		faas__mutex_unlock(&function->mu);
		faas_function_unref(function);
	}
	return FAAS_OK;
}

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

int faas__function_get(faas_runtime *runtime, const char *name, faas_function **ret_function)
{
	faas_function *function;

	if (faas__name_check(name) == 0)
		return FAAS_ENAME;
	faas__mutex_lock(&runtime->functions_mu);
	function = faas_function_ref(faas__map_get(&runtime->functions, name));
	faas__mutex_unlock(&runtime->functions_mu);
	/* A closing runtime has given up its names. */
	if (!function)
		return load_acquire(&runtime->phase) >= RUNTIME_CLOSING ? FAAS_ECLOSED : FAAS_ENOTFOUND;
	*ret_function = function;
	return FAAS_OK;
}

int faas_function_find(faas_runtime *runtime, const char *name, faas_function **ret_function)
{
	if (!runtime || !name || !ret_function)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (load_acquire(&runtime->phase) >= RUNTIME_CLOSING)
		return FAAS_ECLOSED;
	return faas__function_get(runtime, name, ret_function);
}

/* What was taken out of a queue to be cancelled. */
struct cancelled {
	faas_invocation *chain; /* SETTLING and counted */
	faas_invocation *dead;
	uint64_t freed;
	uint64_t queued, delayed;
};

/* ---- The end ----------------------------------------------------------------------------------------------------- */

bool faas__function_is_over(const faas_function *function)
{
	return function->is_sealed && !function->is_finished && faas__queue_in(function) == 0 &&
	       function->active == 0 && function->busy == 0 && function->counts.unpublished == 0 && function->warm_count == 0 && function->retiring == 0 &&
	       load_seq_cst(&function->turn.state) != TURN_READY;
}

static void finish(faas_function *function)
{
	faas_runtime *runtime = function->runtime;
	struct frame frame;

	faas__share_forget(function);
	if (faas__timer_cancel(&runtime->executor, &function->timer))
		faas_function_unref(function);
	if (function->release) {
		faas__callback_enter(&frame, runtime);
		function->release(function->user);
		faas__callback_leave(&frame);
	}
	/* Last: closing waits until the list is empty, and then takes the runtime apart. */
	faas__mutex_lock(&runtime->functions_mu);
	faas__past_add(function);
	list_remove(&function->node);
	faas__mutex_unlock(&runtime->functions_mu);
	faas_function_unref(function);
}

void faas__function_unlock_and_finish(faas_function *function)
{
	bool over = faas__function_is_over(function);

	function->is_finished = function->is_finished || over;
#if defined(FAAS_DEBUG_CHECKS)
	faas__function_check(function);
#endif
	faas__mutex_unlock(&function->mu);
	if (over)
		finish(function);
}

void faas__function_unlock_from(faas_function *function, bool from_monitor)
{
	if (!from_monitor) {
		faas__function_unlock_and_finish(function);
		return;
	}
	if (faas__function_is_over(function))
		faas__function_chore(function);
	faas__mutex_unlock(&function->mu);
}

/* It was taken out of the queue, or out of its delay, and is cancelled if nobody was faster. */
static bool cancel_one(faas_function *function, faas_invocation *invocation, uint32_t phase, struct cancelled *cancelled)
	holds_lock(function->mu)
{
	if (!faas__invocation_move(invocation, phase, PHASE_SETTLING)) {
		faas__dead_add(&cancelled->dead, invocation);
		return false;
	}
	faas__count_end(function, false, END_CANCELLED);
	faas__key_check(function, invocation);
	faas__dead_add(&cancelled->chain, invocation);
	return true;
}

/* Takes everything out of the queue and out of delays. What was still there is moved to SETTLING, counted and chained. */
static void cancel_queue(faas_function *function, struct cancelled *cancelled) holds_lock(function->mu)
{
	faas_invocation *invocation;

	while ((invocation = faas__queue_pop_oldest(function, &cancelled->freed)) != NULL) {
		cancelled->queued += cancel_one(function, invocation, PHASE_QUEUED, cancelled);
	}
	while ((invocation = faas__retry_first(function)) != NULL) {
		faas__retry_unlink(function, invocation);
		cancelled->freed += LOAD_EVENT + faas__invocation_bytes(invocation);
		cancelled->delayed += cancel_one(function, invocation, PHASE_DELAYED, cancelled);
	}
	faas__queue_left(function, cancelled->freed);
}

/* Out of the lock: what cancel_queue left to do. */
static void settle_cancelled(faas_function *function, struct cancelled *cancelled)
{
	faas__queue_freed(function, cancelled->freed);
	faas__settle_popped(cancelled->chain, END_CANCELLED, false);
	faas__dead_unref(cancelled->dead);
}

static void settle_chain(faas_invocation *chain, enum end end, const int64_t *expired_at, bool from_monitor)
{
	/* Chains grow at their front; what ended first is settled first. */
	chain = faas__dead_reverse(chain);
	while (chain) {
		faas_invocation *invocation = chain;
		struct mpsc_node *next = load_relaxed(&chain->node.next);
		faas_function *function = invocation->function;
		int code = 0;

		chain = next ? container_of(next, faas_invocation, node) : NULL;
		if (expired_at)
			(void)faas__retry_expiry(invocation, *expired_at, &code);
		faas__settle_counted(invocation, end, code, from_monitor);
		faas__invocation_unref(invocation);
		/* The function has waited for this, so it was there until now. */
		faas__count_published(function, from_monitor);
	}
}

void faas__settle_popped(faas_invocation *chain, enum end end, bool from_monitor)
{
	settle_chain(chain, end, NULL, from_monitor);
}

void faas__settle_expired(faas_invocation *chain, int64_t now)
{
	settle_chain(chain, END_EXPIRED, &now, false);
}

void faas__function_shut(faas_function *function, bool closing, struct faas_close_stats *report)
{
	struct cancelled cancelled = {0};
	uint64_t letters, deferred = 0;

	faas_function_ref(function);
	faas__mutex_lock(&function->mu);
	function->is_closing = closing;
	store_seq_cst(&function->is_closed, 1);
	faas__share_leave(function);
	faas__mutex_unlock(&function->mu);
	faas__share_tell(function->runtime);
	faas__route_remove_function(function->runtime, function);
	faas__epoch_await(function->runtime, faas__epoch_advance(function->runtime));
	letters = faas__letters_lose(function);
	faas__mutex_lock(&function->mu);
	cancel_queue(function, &cancelled);
	faas__worker_arm_timer(function);
	function->is_sealed = true;
	if (function->warm_count > 0 && !function->is_finished)
		faas__function_chore(function);
	faas__function_unlock_and_finish(function);
	settle_cancelled(function, &cancelled);
	faas__runners_hand_back(function);
	while (closing && faas__defer_cancel_one(function, false))
		deferred++;
	if (report) {
		report->queued += cancelled.queued;
		report->delayed += cancelled.delayed;
		report->deferred += deferred;
		report->dead_letters += letters;
	}
	if (load_seq_cst(&function->room_waiters) > 0)
		faas__wake_waiters(function->runtime, function);
	faas_function_unref(function);
}

int faas_function_cancel_all(faas_function *function)
{
	struct cancelled cancelled = {0};
	int deferred = 0, running;

	if (!function)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(function->runtime))
		return FAAS_EFORKED;
	/* Closing cancels everything by itself, and then waits for those who look at threads. */
	add_seq_cst(&function->runtime->visitors, 1);
	if (load_seq_cst(&function->runtime->phase) >= RUNTIME_CLOSING) {
		sub_seq_cst(&function->runtime->visitors, 1);
		return 0;
	}
	/* What threads took ahead stands in the queue again. */
	faas__runners_hand_back(function);
	faas__mutex_lock(&function->mu);
	cancel_queue(function, &cancelled);
	faas__worker_arm_timer(function);
	faas__mutex_unlock(&function->mu);
	settle_cancelled(function, &cancelled);
	while (faas__defer_cancel_one(function, false))
		deferred++;
	running = faas__runners_cancel(function->runtime, function);
	sub_seq_cst(&function->runtime->visitors, 1);
	return (int)(cancelled.queued + cancelled.delayed) + deferred + running;
}

int faas_unregister_function(faas_runtime *runtime, const char *name)
{
	faas_function *function;

	if (!runtime || !name)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (faas__name_check(name) == 0)
		return FAAS_ENAME;
	faas__mutex_lock(&runtime->functions_mu);
	function = faas__map_get(&runtime->functions, name);
	if (function) {
		faas__map_remove(&runtime->functions, name);
		runtime->function_count--;
		faas_function_ref(function);
	}
	faas__mutex_unlock(&runtime->functions_mu);
	if (!function)
		return FAAS_ENOTFOUND;
	faas__function_shut(function, false, NULL);
	faas_function_unref(function);
	return FAAS_OK;
}
