/* SPDX-License-Identifier: MIT */
/*
 * Opening a runtime, and its memory's end. How it closes is in close.c.
 *
 * References: the host's one, given up by closing, and one for each function and emission that exists. So handles may
 * outlive the runtime; with the last of them its blocks, lanes and the structure itself go.
 */
#include "dispatch/runtime.h"

#include <string.h>

#include "base/config.h"
#include "base/random.h"
#include "base/text.h"
#include "dispatch/frame.h"
#include "dispatch/runner.h"

#define MANUAL_STRIPES 1u
#define STRIPES_PER_CPU 4u
#define STRIPES_MAX 256u
#define EVENT_CHUNK 64
#define BYTE_CHUNK 65536
#define YIELDS 2 /* on one core, where whoever spins keeps others from getting anything done */
#define LEASE_SHARE 32 /* all lanes together keep no more than about a sixteenth of a bound leased */

/* ---- Durations --------------------------------------------------------------------------------------------------- */

int64_t faas__ms_to_ns(int64_t ms)
{
	return ms == FAAS_NEVER ? TIME_NEVER : ms * NS_PER_MS;
}

bool faas__is_duration(int64_t ms)
{
	return ms >= FAAS_NEVER && ms <= FAAS_MAX_DURATION_MS;
}

void faas__log(faas_runtime *runtime, int32_t level, const char *function, const char *message)
{
	struct frame frame;

	if (!faas__log_wants(&runtime->log, level))
		return;
	faas__callback_enter(&frame, runtime);
	runtime->log.sink(runtime->log.user, level, function, message);
	faas__callback_leave(&frame);
}

/* ---- References -------------------------------------------------------------------------------------------------- */

faas_runtime *faas__runtime_ref(faas_runtime *runtime)
{
	add_relaxed(&runtime->refs, 1);
	return runtime;
}

static void buckets_deinit(faas_runtime *runtime, size_t count)
{
	while (count-- > 0) {
		faas__cond_deinit(&runtime->buckets[count].cond);
		faas__mutex_deinit(&runtime->buckets[count].mu);
	}
}

static void stripes_free(faas_runtime *runtime)
{
	struct lanes *lanes = &runtime->lanes;

	for (uint32_t i = 0; lanes->stripes && i < lanes->stripe_count; i++) {
		struct lane *lane = &lanes->stripes[i];

		faas__block_cache_flush(&runtime->pool, &lane->blocks);
		faas__free(&runtime->allocator, lane->matches, lane->matches_capacity * sizeof(struct faas_function *));
		faas__free(&runtime->allocator, lane->filtered, lane->filtered_capacity * sizeof(struct binding *));
	}
	faas__free_aligned(&runtime->allocator, lanes->stripes, lanes->stripe_count * sizeof(struct lane), FAAS_LINE);
}

void faas__runtime_unref(faas_runtime *runtime)
{
	struct allocator allocator;

	if (sub_acq_rel(&runtime->refs, 1) != 1)
		return;
	allocator = runtime->allocator;
	stripes_free(runtime);
	faas__block_pool_deinit(&runtime->pool);
	buckets_deinit(runtime, WAIT_BUCKETS);
	faas__past_deinit(runtime);
	faas__map_deinit(&runtime->functions, &allocator);
	faas__destinations_free(runtime);
	faas__mutex_deinit(&runtime->routes.mu);
	faas__share_deinit(&runtime->share);
	faas__callbacks_deinit(&runtime->callbacks);
	faas__mutex_deinit(&runtime->functions_mu);
	faas__mutex_deinit(&runtime->runners_mu);
	faas_clock_unref(runtime->clock);
	faas__free(&allocator, runtime->source, runtime->source_bytes);
	faas__free_aligned(&allocator, runtime, sizeof(*runtime), FAAS_LINE);
}

/* ---- Config ------------------------------------------------------------------------------------------------------ */

static bool are_counts(const faas_runtime_config *config)
{
	return config->threads >= FAAS_NONE && config->threads <= FAAS_MAX_THREADS && config->max_threads >= 0 &&
	       config->max_threads <= FAAS_MAX_THREADS && config->max_overruns >= FAAS_NONE &&
	       config->max_overruns <= FAAS_MAX_THREADS && config->spin_us >= FAAS_NONE && config->spin_us <= 1000000 &&
	       config->log_level >= 0 && config->log_level <= FAAS_LOG_DEBUG &&
	       config->max_concurrency >= FAAS_UNLIMITED && config->reserved == 0;
}

static bool are_bounds(const faas_runtime_config *config)
{
	return config->queue_events >= FAAS_UNLIMITED && config->queue_bytes >= FAAS_UNLIMITED &&
	       config->max_data_bytes >= 0 && config->max_data_bytes <= FAAS_MAX_DATA;
}

static bool is_config(const faas_runtime_config *config)
{
	const uint64_t least_stack = 65536;
	bool manual_clock;

	if (!config || !are_counts(config) || !are_bounds(config) || !faas__is_duration(config->thread_idle_ms))
		return false;
	if (config->stack_bytes != 0 && (config->stack_bytes < least_stack || config->stack_bytes > SIZE_MAX / 2))
		return false;
	manual_clock = config->clock && config->clock->is_manual;
	return !manual_clock || config->threads == FAAS_NONE;
}

static int check_texts(const faas_runtime_config *config)
{
	size_t bytes;
	int error = FAAS_OK;

	if (config->source)
		error = faas__text_check(config->source, FAAS_MAX_STRING, &bytes);
	if (error == FAAS_OK && config->source && bytes == 0)
		error = FAAS_EINVAL;
	if (error == FAAS_OK && config->thread_name)
		error = faas__text_check(config->thread_name, 15, &bytes);
	return error == FAAS_EATTRIBUTE ? FAAS_ETEXT : error;
}

static int64_t or_default(int64_t value, int64_t preset)
{
	return value != 0 ? value : preset;
}

/* A count whose zero is a default and whose FAAS_NONE is zero. */
static int32_t count_or(int32_t value, int32_t preset)
{
	return value == FAAS_NONE ? 0 : value != 0 ? value : preset;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

static int64_t chunk_of(int64_t bound, int64_t most, int64_t lanes, bool is_manual)
{
	int64_t share = bound / (LEASE_SHARE * lanes);

	/* In manual mode bounds are exact: nothing is leased ahead. */
	if (is_manual || share < 1)
		return 0;
	return share < most ? share : most;
}

static int make_lanes(faas_runtime *runtime, const faas_runtime_config *config, bool is_manual)
{
	struct lanes *lanes = &runtime->lanes;
	uint32_t wanted = (uint32_t)faas__cpu_count() * STRIPES_PER_CPU, count = MANUAL_STRIPES;

	while (!is_manual && count < wanted && count < STRIPES_MAX)
		count *= 2;
	lanes->stripe_count = count;
	lanes->stripes = faas__alloc_aligned(&runtime->allocator, count * sizeof(*lanes->stripes), FAAS_LINE);
	if (!lanes->stripes)
		return FAAS_ENOMEM;
	memset(lanes->stripes, 0, count * sizeof(*lanes->stripes));
	store_relaxed(&lanes->epoch, 1);
	store_relaxed(&lanes->id_next, 1);
	lanes->max_events = or_default(config->queue_events, 16000000);
	lanes->max_bytes = or_default(config->queue_bytes, (int64_t)4 << 30);
	/* Half of these are stripes; threads have lanes as well. */
	lanes->chunk_events = chunk_of(lanes->max_events, EVENT_CHUNK, 2 * (int64_t)count, is_manual);
	lanes->chunk_bytes = chunk_of(lanes->max_bytes, BYTE_CHUNK, 2 * (int64_t)count, is_manual);
	store_relaxed(&lanes->free_events, lanes->max_events);
	store_relaxed(&lanes->free_bytes, lanes->max_bytes);
	return FAAS_OK;
}

static int make_source(faas_runtime *runtime, const char *source)
{
	if (!source)
		source = "faas";
	runtime->source_bytes = strlen(source) + 1;
	runtime->source = faas__alloc(&runtime->allocator, runtime->source_bytes);
	if (!runtime->source)
		return FAAS_ENOMEM;
	memcpy(runtime->source, source, runtime->source_bytes);
	runtime->origin.source = runtime->source;
	return FAAS_OK;
}

static int make_buckets(faas_runtime *runtime)
{
	for (size_t i = 0; i < WAIT_BUCKETS; i++) {
		if (faas__mutex_init(&runtime->buckets[i].mu) != FAAS_OK) {
			buckets_deinit(runtime, i);
			return FAAS_ETHREAD;
		}
		if (faas__cond_init(&runtime->buckets[i].cond) != FAAS_OK) {
			faas__mutex_deinit(&runtime->buckets[i].mu);
			buckets_deinit(runtime, i);
			return FAAS_ETHREAD;
		}
	}
	return FAAS_OK;
}

static int make_seed(faas_runtime *runtime, const faas_runtime_config *config, uint64_t *ret_draw)
{
	struct random random = {.state = config->seed};
	bool is_fixed = config->clock && config->clock->is_manual;

	if (config->seed == 0 && !is_fixed) {
		int error = faas__random_seed(&random.state);

		if (error != FAAS_OK)
			return error;
	}
	runtime->origin.id_prefix = faas__random_next(&random);
	runtime->hash_seed = faas__random_next(&random);
	/* Turns are drawn only where a test asks for it; otherwise first come, first served. */
	*ret_draw = is_fixed && config->seed != 0 ? faas__random_next(&random) | 1 : 0;
	return FAAS_OK;
}

static int make_executor(faas_runtime *runtime, const faas_runtime_config *config, uint64_t draw)
{
	int32_t cpus = faas__cpu_count();
	struct executor_config settings = {
		.ops = faas__runner_ops(),
		.allocator = &runtime->allocator,
		.clock = runtime->clock,
		.threads = count_or(config->threads, cpus),
		.max_overruns = count_or(config->max_overruns, 64),
		.spin_us = count_or(config->spin_us, cpus > 1 ? 20 : 0),
		.yields = config->spin_us == 0 && cpus == 1 ? YIELDS : 0,
		.thread_idle_ns = faas__ms_to_ns(or_default(config->thread_idle_ms, 10000)),
		.stack_bytes = (size_t)config->stack_bytes,
		.thread_name = config->thread_name ? config->thread_name : "faas",
		.draw_seed = draw,
	};

	settings.max_threads = config->max_threads != 0 ? config->max_threads : settings.threads + 256;
	if (settings.max_threads < settings.threads)
		settings.max_threads = settings.threads;
	/* Where one thread runs everything they would only change the order. */
	if (settings.threads > 1)
		runtime->local_count = (uint32_t)settings.threads < LOCAL_MAX ? (uint32_t)settings.threads : LOCAL_MAX;
	return faas__executor_init(&runtime->executor, &settings);
}

static int64_t follow_next_due(struct clock_follower *follower)
{
	return faas__executor_next_due(&container_of(follower, faas_runtime, follower)->executor);
}

static void follow_fire(struct clock_follower *follower, int64_t now)
{
	faas__executor_fire(&container_of(follower, faas_runtime, follower)->executor, now);
}

static void set_fields(faas_runtime *runtime, const faas_runtime_config *config)
{
	runtime->clock = faas_clock_ref(config->clock);
	runtime->origin.unix_offset_ns = faas__clock_unix(runtime->clock) - faas__runtime_now(runtime);
	runtime->log.sink = config->log;
	runtime->log.user = config->log_user;
	runtime->log.level = config->log_level != 0 ? config->log_level : FAAS_LOG_WARNING;
	runtime->on_thread_start = config->on_thread_start;
	runtime->on_thread_stop = config->on_thread_stop;
	runtime->thread_user = config->thread_user;
	runtime->max_data_bytes = (uint64_t)or_default(config->max_data_bytes, 16 << 20);
	runtime->fork_generation = faas__fork_generation();
	store_relaxed(&runtime->refs, 1);
	list_init(&runtime->function_list);
	runtime->follower = (struct clock_follower){.next_due = follow_next_due, .fire = follow_fire};
}

/* Everything that can fail, in order; on failure the later steps' undoing falls through the earlier ones'. */
static int runtime_make(faas_runtime *runtime, const faas_runtime_config *config)
{
	uint64_t draw;
	int error = make_seed(runtime, config, &draw);

	if (error != FAAS_OK)
		return error;
	runtime->functions.seed = runtime->hash_seed;
	runtime->destinations.seed = runtime->hash_seed;
	faas__service_init(&runtime->no_service);
	if ((error = faas__mutex_init(&runtime->functions_mu)) != FAAS_OK)
		return error;
	if ((error = faas__mutex_init(&runtime->runners_mu)) != FAAS_OK)
		goto fail_functions_mu;
	if ((error = faas__callbacks_init(&runtime->callbacks)) != FAAS_OK)
		goto fail_runners_mu;
	if ((error = faas__share_init(&runtime->share, config->max_concurrency)) != FAAS_OK)
		goto fail_callbacks;
	if ((error = faas__routes_init(&runtime->routes)) != FAAS_OK)
		goto fail_share;
	if ((error = faas__past_init(runtime)) != FAAS_OK)
		goto fail_routes;
	if ((error = make_buckets(runtime)) != FAAS_OK)
		goto fail_past;
	if ((error = faas__block_pool_init(&runtime->pool, &runtime->allocator)) != FAAS_OK)
		goto fail_buckets;
	if ((error = make_source(runtime, config->source)) != FAAS_OK)
		goto fail_pool;
	if ((error = make_lanes(runtime, config, config->threads == FAAS_NONE)) != FAAS_OK)
		goto fail_source;
	if ((error = make_executor(runtime, config, draw)) != FAAS_OK)
		goto fail_lanes;
	return FAAS_OK;
fail_lanes:
	stripes_free(runtime);
fail_source:
	faas__free(&runtime->allocator, runtime->source, runtime->source_bytes);
fail_pool:
	faas__block_pool_deinit(&runtime->pool);
fail_buckets:
	buckets_deinit(runtime, WAIT_BUCKETS);
fail_past:
	faas__past_deinit(runtime);
fail_routes:
	faas__mutex_deinit(&runtime->routes.mu);
fail_share:
	faas__share_deinit(&runtime->share);
fail_callbacks:
	faas__callbacks_deinit(&runtime->callbacks);
fail_runners_mu:
	faas__mutex_deinit(&runtime->runners_mu);
fail_functions_mu:
	faas__mutex_deinit(&runtime->functions_mu);
	return error;
}

int faas_open(const faas_runtime_config *given, faas_runtime **ret_runtime)
{
	faas_runtime_config copy;
	const faas_runtime_config *config;
	struct allocator allocator;
	faas_runtime *runtime;
	int error;

	if (!ret_runtime)
		return FAAS_EINVAL;
	config = faas__config_read(given, &copy, sizeof(copy));
	if (!is_config(config))
		return FAAS_EINVAL;
	error = check_texts(config);
	if (error == FAAS_OK)
		error = faas__allocator_init(&allocator, config->allocator);
	if (error != FAAS_OK)
		return error;
	if (faas__fork_generation_install() == 0)
		return FAAS_ENOMEM;
	runtime = faas__alloc_aligned(&allocator, sizeof(*runtime), FAAS_LINE);
	if (!runtime)
		return FAAS_ENOMEM;
	memset(runtime, 0, sizeof(*runtime));
	runtime->allocator = allocator;
	set_fields(runtime, config);
	error = runtime_make(runtime, config);
	if (error != FAAS_OK) {
		faas_clock_unref(runtime->clock);
		faas__free_aligned(&allocator, runtime, sizeof(*runtime), FAAS_LINE);
		return error;
	}
	if (runtime->clock && runtime->clock->is_manual)
		faas__clock_follow(runtime->clock, &runtime->follower);
	*ret_runtime = runtime;
	return FAAS_OK;
}
