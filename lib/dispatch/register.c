/* SPDX-License-Identifier: MIT */
/*
 * Registering: from a config to a function, what it is made of, and how that is given back.
 *
 * Functions lie side by side in blocks of the pool, without the gaps that the allocator would leave for the sake of
 * alignment. Much of what one needs for its events is made when the first one comes (struct service), since many wait for
 * theirs for ever. Where that must not fail, it is made before: for workers that start ahead of need, and for those that
 * others pass records on to, since a record finds its memory made with the invocation that it is about.
 */
#include <string.h>

#include "base/config.h"
#include "base/text.h"
#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

/* ---- What it is made of ------------------------------------------------------------------------------------------- */

/* What a config that says nothing of it leads to. */
static const struct delivery common_delivery = {
	.max_attempts = 3,
	.jitter_percent = 100,
	.max_age_ns = (int64_t)21600000 * NS_PER_MS,
	.backoff_ns = (int64_t)100 * NS_PER_MS,
	.backoff_max_ns = (int64_t)20000 * NS_PER_MS,
	.max_letters = 100,
};

static size_t function_bytes(size_t name_bytes)
{
	return faas__block_size(offsetof(faas_function, name) + name_bytes);
}

static void free_name(faas_runtime *runtime, char *name)
{
	if (name)
		faas__free(&runtime->allocator, name, strlen(name) + 1);
}

static void service_free(faas_runtime *runtime, struct service *service)
{
	faas__free(&runtime->allocator, service->queue_histogram, sizeof(*service->queue_histogram));
	faas__free(&runtime->allocator, service->run_histogram, sizeof(*service->run_histogram));
	faas__locals_free(runtime, service);
	faas__free(&runtime->allocator, service, sizeof(*service));
}

static void delivery_free(faas_runtime *runtime, const struct delivery *delivery)
{
	struct delivery *own = (struct delivery *)(uintptr_t)delivery;

	if (delivery == &common_delivery)
		return;
	free_name(runtime, own->on_success);
	free_name(runtime, own->on_failure);
	faas__free(&runtime->allocator, own, sizeof(*own));
}

void faas__function_free(faas_function *function)
{
	faas_runtime *runtime = function->runtime;

	faas__keys_deinit(function);
	delivery_free(runtime, function->delivery);
	if (faas__function_is_in_service(function))
		service_free(runtime, faas__service(function));
	faas__mutex_deinit(&function->mu);
	/* Perhaps by a thread in its lane, which is not to be entered twice. */
	faas__block_free_alone(&runtime->pool, function, function_bytes(function->name_bytes));
	faas__runtime_unref(runtime);
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

static void configure_delivery(struct delivery *delivery, const faas_function_config *config)
{
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

/* What is not the common delivery is the function's own. On failure function_free undoes it. As make_parts. */
static int make_delivery(faas_function *function, const faas_function_config *config)
{
	struct delivery delivery = {0}, *own;
	int error;

	configure_delivery(&delivery, config);
	if (!config->on_success && !config->on_failure && memcmp(&delivery, &common_delivery, sizeof(delivery)) == 0)
		return FAAS_OK;
	own = faas__alloc(&function->runtime->allocator, sizeof(*own));
	if (!own)
		return FAAS_ENOMEM;
	*own = delivery;
	function->delivery = own;
	error = copy_name(function->runtime, config->on_success, &own->on_success);
	if (error == FAAS_OK)
		error = copy_name(function->runtime, config->on_failure, &own->on_failure);
	return error;
}

/* What needs memory of its own. On failure function_free undoes it. 0, FAAS_ENAME, FAAS_ENOMEM. */
static int make_parts(faas_function *function, const faas_function_config *config)
{
	int error = make_delivery(function, config);

	if (error == FAAS_OK && function->is_ordered)
		error = faas__keys_init(function);
	if (error == FAAS_OK && function->provisioned > 0)
		error = faas__function_serve(function);
	return error;
}

/* One event at a time has always come in order, which nothing promises and many will expect. */
static bool may_have_locals(const faas_function *function)
{
	return !function->is_ordered && !function->drops_oldest && function->rate_interval_ns == 0 &&
	       function->max_concurrency > 1 && function->runtime->share.max > 1;
}

static faas_function *function_new(faas_runtime *runtime, const char *name, const faas_function_config *config)
{
	const size_t name_bytes = strlen(name) + 1, bytes = function_bytes(name_bytes);
	faas_function *function = faas__block_alloc_alone(&runtime->pool, bytes);

	if (!function)
		return NULL;
	memset(function, 0, bytes);
	if (faas__mutex_init(&function->mu) != FAAS_OK) {
		faas__block_free_alone(&runtime->pool, function, bytes);
		return NULL;
	}
	configure(function, config);
	configure_sharing(function, config);
	function->name_bytes = (uint8_t)name_bytes;
	memcpy(function->name, name, name_bytes);
	function->delivery = &common_delivery;
	faas__mpsc_init(&function->inbox_in, &function->inbox_out);
	faas__turn_init(&function->turn, faas__function_take, (uint32_t)or_default(config->weight, 100));
	list_init(&function->node);
	list_init(&function->bindings);
	list_init(&function->backlog);
	list_init(&function->arrivals);
	list_init(&function->share_node);
	list_init(&function->warm);
	list_init(&function->tallies);
	store_relaxed(&function->service, &runtime->no_service);
	store_relaxed(&function->refs, 1);
	function->runtime = faas__runtime_ref(runtime);
	function->has_locals = may_have_locals(function);
	return function;
}

/* For jitter: every function's numbers are others, and the same ones under the same seed. */
static void seed(const faas_function *function, struct service *service)
{
	service->random.state = faas__mix64(function->runtime->hash_seed + function->index);
}

int faas__function_make_service(faas_function *function)
{
	const struct allocator *allocator = &function->runtime->allocator;
	struct service *service = faas__alloc_zero(allocator, sizeof(*service));

	if (!service)
		return FAAS_ENOMEM;
	faas__service_init(service);
	service->function = function;
	service->timer.fire = faas__worker_timer_fired;
	seed(function, service);
	faas__mutex_lock(&function->mu);
	if (!faas__function_is_in_service(function)) {
		store_release(&function->service, service);
		store_release(&function->is_in_service, 1);
		service = NULL;
	}
	faas__mutex_unlock(&function->mu);
	/* Somebody else had another first event. */
	faas__free(allocator, service, sizeof(*service));
	return FAAS_OK;
}

/* Remembers that records are passed on to this name, and prepares who bears it now. 0, or FAAS_ENOMEM. */
static int add_destination(faas_runtime *runtime, const char *name) holds_lock(runtime->functions_mu)
{
	faas_function *function;
	char *copy = NULL;
	int error = FAAS_OK;

	if (!name)
		return FAAS_OK;
	if (!faas__map_get(&runtime->destinations, name)) {
		error = copy_name(runtime, name, &copy);
		if (error == FAAS_OK)
			error = faas__map_add(&runtime->destinations, &runtime->allocator, copy, copy);
		if (error != FAAS_OK) {
			free_name(runtime, copy);
			return error;
		}
	}
	function = faas__map_get(&runtime->functions, name);
	return function ? faas__function_serve(function) : FAAS_OK;
}

void faas__destinations_free(faas_runtime *runtime)
{
	struct map *map = &runtime->destinations;

	for (size_t i = 0; i < map->capacity; i++)
		if (map->entries[i].name)
			free_name(runtime, map->entries[i].value);
	faas__map_deinit(map, &runtime->allocator);
}

static int add_destinations(faas_runtime *runtime, faas_function *function) holds_lock(runtime->functions_mu)
{
	int error = add_destination(runtime, function->delivery->on_success);

	if (error == FAAS_OK)
		error = add_destination(runtime, function->delivery->on_failure);
	if (error == FAAS_OK && faas__map_get(&runtime->destinations, function->name))
		error = faas__function_serve(function);
	return error;
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
	error = add_destinations(runtime, function);
	if (error != FAAS_OK)
		return error;
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
	if (faas__function_is_in_service(function))
		seed(function, faas__service(function));
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

