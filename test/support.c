/* SPDX-License-Identifier: MIT */
/* What the tests of the public API share: see support.h. */
#include "support.h"

#include <stdbool.h>
#include <time.h>

static void die(const char *why)
{
	fprintf(stderr, "test: %s\n", why);
	abort();
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Stands behind each block, unaligned. */
struct footer {
	uint64_t bytes, alignment, mark;
};

#define MARK UINT64_C(0x6b6c6d6e6f707172)
#define JUNK_BYTES 65536 /* so much of a block is filled with junk: all of the small ones */

static bool must_refuse_locked(struct memory *memory)
{
	int64_t call = memory->calls++;

	if (memory->fail_from < 0 || call < memory->fail_from || call - memory->fail_from >= memory->fail_count)
		return false;
	memory->refused++;
	return true;
}

static void *memory_alloc(void *user, uint64_t bytes, uint64_t alignment)
{
	struct memory *memory = user;
	struct footer footer = {bytes, alignment, MARK};
	void *block = NULL;

	if (bytes == 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
		die("an allocation of no bytes or of a bad alignment");
	pthread_mutex_lock(&memory->mutex);
	if (!must_refuse_locked(memory) &&
	    posix_memalign(&block, alignment < sizeof(void *) ? sizeof(void *) : alignment, bytes + sizeof(footer)) == 0) {
		memory->blocks++;
		memory->bytes += (int64_t)bytes;
	}
	pthread_mutex_unlock(&memory->mutex);
	if (!block)
		return NULL;
	memset(block, 0xa5, bytes < JUNK_BYTES ? bytes : JUNK_BYTES);
	memcpy((char *)block + bytes, &footer, sizeof(footer));
	return block;
}

static void memory_free(void *user, void *block, uint64_t bytes, uint64_t alignment)
{
	struct memory *memory = user;
	struct footer footer;

	memcpy(&footer, (char *)block + bytes, sizeof(footer));
	if (footer.mark != MARK || footer.bytes != bytes || footer.alignment != alignment)
		die("a block was overrun, or given back with another size or alignment, or twice");
	memset(block, 0x5a, bytes < JUNK_BYTES ? bytes : JUNK_BYTES);
	memset((char *)block + bytes, 0x5a, sizeof(footer));
	free(block);
	pthread_mutex_lock(&memory->mutex);
	memory->blocks--;
	memory->bytes -= (int64_t)bytes;
	pthread_mutex_unlock(&memory->mutex);
}

void memory_init(struct memory *memory)
{
	*memory = (struct memory){
		.config = {.struct_size = sizeof(memory->config), .alloc = memory_alloc, .free = memory_free, .user = memory},
		.fail_from = -1,
	};
	pthread_mutex_init(&memory->mutex, NULL);
}

void memory_fail(struct memory *memory, int64_t n, int64_t count)
{
	pthread_mutex_lock(&memory->mutex);
	memory->fail_from = n < 0 ? -1 : memory->calls + n;
	memory->fail_count = count;
	memory->refused = 0;
	pthread_mutex_unlock(&memory->mutex);
}

int memory_has_failed(struct memory *memory)
{
	int has_failed;

	pthread_mutex_lock(&memory->mutex);
	has_failed = memory->refused > 0;
	pthread_mutex_unlock(&memory->mutex);
	return has_failed;
}

void memory_check_empty(struct memory *memory)
{
	assert_int_equal(0, memory->blocks);
	assert_int_equal(0, memory->bytes);
	pthread_mutex_destroy(&memory->mutex);
}

/* ---- A runtime in manual mode ------------------------------------------------------------------------------------ */

void bed_open(struct bed *bed, const faas_runtime_config *config)
{
	faas_runtime_config own = config ? *config : *FAAS_RUNTIME(.threads = FAAS_NONE);

	memory_init(&bed->memory);
	assert_int_equal(FAAS_OK, faas_clock_new_manual(BED_UNIX_NS, &bed->clock));
	own.threads = FAAS_NONE;
	own.clock = bed->clock;
	own.allocator = &bed->memory.config;
	bed->runtime = NULL;
	assert_int_equal(FAAS_OK, faas_open(&own, &bed->runtime));
	assert_non_null(bed->runtime);
}

void bed_close(struct bed *bed)
{
	if (bed->runtime) {
		totals_of(bed->runtime);
		assert_int_equal(FAAS_OK, faas_close(bed->runtime, 0, 0));
		bed->runtime = NULL;
	}
	faas_clock_unref(bed->clock);
	memory_check_empty(&bed->memory);
}

void bed_register(struct bed *bed, const char *name, const faas_function_config *config)
{
	assert_int_equal(FAAS_OK, faas_register_function(bed->runtime, name, config));
}

uint64_t bed_bind(struct bed *bed, const char *pattern, const char *function)
{
	uint64_t id = 0;

	assert_int_equal(FAAS_OK, faas_bind(bed->runtime, FAAS_BINDING(.pattern = pattern, .function = function), &id));
	return id;
}

int bed_emit(struct bed *bed, const char *type, const char *text)
{
	return faas_emit_event(bed->runtime, FAAS_EVENT(.type = type, .data = text, .data_bytes = strlen(text)), NULL);
}

static void check_new_event(const faas_event_config *config, int code)
{
	faas_event *event = NULL;

	assert_int_equal(code, faas_event_new(config, &event));
	assert_true((code == FAAS_OK) == (event != NULL));
	faas_event_free(event);
}

void bed_check_event(struct bed *bed, const faas_event_config *config, int code)
{
	struct faas_runtime_stats before = bed_totals(bed), after;
	faas_emission *emission = NULL;
	faas_invocation *invocation = NULL;

	if (!config->flags && !config->wait_ms)
		check_new_event(config, code);
	assert_int_equal(code == FAAS_OK ? 1 : code, faas_emit_event(bed->runtime, config, &emission));
	assert_int_equal(code, faas_invoke_async(bed->runtime, "f", config, &invocation));
	after = bed_totals(bed);
	if (code != FAAS_OK) {
		assert_null(emission);
		assert_null(invocation);
		assert_memory_equal(&before, &after, sizeof(before));
		return;
	}
	assert_int_equal(before.emitted + 1, after.emitted);
	assert_int_equal(before.total.accepted + 2, after.total.accepted);
	assert_int_equal(1, faas_emission_cancel(emission));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	faas_emission_unref(emission);
	faas_invocation_unref(invocation);
}

void bed_advance_ms(struct bed *bed, int64_t duration_ms)
{
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, duration_ms * MS));
}

int bed_run(struct bed *bed)
{
	int steps = 0, more;

	do {
		more = faas_run(bed->runtime, 1000);
		assert_in_range(more, 0, 1000);
		steps += more;
	} while (more > 0);
	return steps;
}

int64_t bed_next_due(struct bed *bed)
{
	int64_t due = INT64_MIN;

	assert_int_equal(FAAS_OK, faas_next_due(bed->runtime, &due));
	assert_true(due >= 0 || due == FAAS_NEVER);
	return due;
}

struct faas_function_stats bed_stats(struct bed *bed, const char *function)
{
	struct faas_function_stats stats;
	faas_function *handle = NULL;

	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, function, &handle));
	stats = stats_of(handle);
	assert_true((stats.queued + stats.delayed == 0) == (stats.queued_bytes == 0));
	faas_function_unref(handle);
	return stats;
}

struct faas_runtime_stats bed_totals(struct bed *bed)
{
	return totals_of(bed->runtime);
}

void bed_check_accounts(struct bed *bed, const char *const *functions, int count)
{
	for (int i = 0; i < count; i++) {
		faas_function *function = NULL;

		if (faas_function_find(bed->runtime, functions[i], &function) == FAAS_OK)
			(void)stats_of(function);
		faas_function_unref(function);
	}
	(void)bed_totals(bed);
}

/* Only the refusal is counted. */
static void check_unchanged(const struct faas_runtime_stats *before, const struct faas_runtime_stats *after)
{
	struct faas_runtime_stats expected = *before;

	expected.total.offered = after->total.offered;
	expected.total.rejected = after->total.rejected;
	expected.total.rejected_other = after->total.rejected_other;
	assert_memory_equal(&expected, after, sizeof(expected));
}

int bed_refuse(struct bed *bed, int64_t n, int gets_by, int (*act)(void *arg), void *arg)
{
	struct faas_runtime_stats before = bed_totals(bed), after;
	int code, has_failed;

	memory_fail(&bed->memory, n, 1);
	code = act(arg);
	has_failed = memory_has_failed(&bed->memory);
	memory_fail(&bed->memory, -1, 0);
	after = bed_totals(bed);
	if (code == FAAS_ENOMEM) {
		assert_true(has_failed);
		assert_false(gets_by);
		check_unchanged(&before, &after);
		code = act(arg);
	}
	assert_int_equal(FAAS_OK, code);
	return has_failed;
}

void refuse_each(const char *name, int (*try_one)(const void *scenario, int64_t n), const void *scenario)
{
	int64_t n = 0;

	while (try_one(scenario, n))
		n++;
	print_message("%s: %d allocations\n", name, (int)n);
	assert_in_range(n, 0, 1000);
}

struct faas_function_stats stats_of(const faas_function *function)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};

	assert_int_equal(FAAS_OK, faas_function_stats(function, &stats));
	check_accounts(&stats);
	return stats;
}

struct faas_runtime_stats totals_of(faas_runtime *runtime)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};

	assert_int_equal(FAAS_OK, faas_runtime_stats(runtime, &stats));
	check_accounts(&stats.total);
	return stats;
}

void check_accounts(const struct faas_function_stats *stats)
{
	assert_int_equal(stats->offered, stats->accepted + stats->rejected);
	assert_int_equal(stats->rejected, stats->rejected_full + stats->rejected_runtime_full + stats->rejected_closed +
	                                      stats->rejected_throttled + stats->rejected_other);
	assert_int_equal(stats->accepted, stats->queued + stats->delayed + stats->running + stats->deferred +
	                                      stats->succeeded + stats->failed + stats->timed_out + stats->expired +
	                                      stats->cancelled + stats->dropped);
	assert_true(stats->starting + stats->busy + stats->warm <= stats->workers_peak);
	assert_true(stats->provisioned_starts <= stats->cold_starts);
	assert_true(stats->overrunning <= stats->overruns);
	assert_true(stats->deferred <= stats->deferrals);
	assert_true(stats->dead_letters + stats->dead_letters_redriven <= stats->dead_letters_added);
}

/* ---- A handler that writes down what it is called with ----------------------------------------------------------- */

static void copy_text(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);

	if (length >= size)
		length = size - 1;
	memcpy(to, from, length);
	to[length] = 0;
}

void record_init(struct record *record)
{
	memset(record, 0, sizeof(*record));
	pthread_mutex_init(&record->mutex, NULL);
	pthread_cond_init(&record->more, NULL);
}

void record_deinit(struct record *record)
{
	pthread_cond_destroy(&record->more);
	pthread_mutex_destroy(&record->mutex);
}

void record_call(struct record *record, faas_context *context, const faas_event *event)
{
	struct record_call call = {.attempt = faas_context_attempt(context), .is_cold = faas_context_is_cold(context)};

	copy_text(call.function, sizeof(call.function), faas_context_function(context));
	copy_text(call.type, sizeof(call.type), faas_event_type(event));
	copy_text(call.data, sizeof(call.data), faas_event_data(event, &call.bytes));
	pthread_mutex_lock(&record->mutex);
	if (record->count < RECORD_MAX)
		record->calls[record->count] = call;
	record->count++;
	pthread_cond_broadcast(&record->more);
	pthread_mutex_unlock(&record->mutex);
}

int record_handler(faas_context *context, const faas_event *event)
{
	struct record *record = faas_context_user(context);

	record_call(record, context, event);
	return record->result;
}

int nothing_handler(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	return 0;
}

void record_await(struct record *record, int count)
{
	pthread_mutex_lock(&record->mutex);
	while (record->count < count)
		pthread_cond_wait(&record->more, &record->mutex);
	pthread_mutex_unlock(&record->mutex);
}

static const char *join_calls(struct record *record, size_t offset)
{
	static _Thread_local char text[RECORD_MAX * (FAAS_MAX_NAME + 1)];
	char *end = text;

	pthread_mutex_lock(&record->mutex);
	for (int i = 0; i < record->count && i < RECORD_MAX; i++) {
		const char *word = (const char *)&record->calls[i] + offset;

		if (i > 0)
			*end++ = ' ';
		copy_text(end, FAAS_MAX_NAME + 1, word);
		end += strlen(end);
	}
	pthread_mutex_unlock(&record->mutex);
	*end = 0;
	return text;
}

const char *record_texts(struct record *record)
{
	return join_calls(record, offsetof(struct record_call, data));
}

const char *record_functions(struct record *record)
{
	return join_calls(record, offsetof(struct record_call, function));
}

/* ---- A gate that handlers wait at -------------------------------------------------------------------------------- */

void gate_init(struct gate *gate)
{
	memset(gate, 0, sizeof(*gate));
	pthread_mutex_init(&gate->mutex, NULL);
	pthread_cond_init(&gate->moved, NULL);
}

void gate_deinit(struct gate *gate)
{
	pthread_cond_destroy(&gate->moved);
	pthread_mutex_destroy(&gate->mutex);
}

void gate_pass(struct gate *gate)
{
	pthread_mutex_lock(&gate->mutex);
	gate->arrived++;
	pthread_cond_broadcast(&gate->moved);
	while (!gate->is_open && gate->passes == 0)
		pthread_cond_wait(&gate->moved, &gate->mutex);
	if (!gate->is_open)
		gate->passes--;
	pthread_mutex_unlock(&gate->mutex);
}

int gate_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	gate_pass(faas_context_user(context));
	return 0;
}

void gate_await(struct gate *gate, int count)
{
	pthread_mutex_lock(&gate->mutex);
	while (gate->arrived < count)
		pthread_cond_wait(&gate->moved, &gate->mutex);
	pthread_mutex_unlock(&gate->mutex);
}

void gate_let(struct gate *gate, int count)
{
	pthread_mutex_lock(&gate->mutex);
	gate->passes += count;
	pthread_cond_broadcast(&gate->moved);
	pthread_mutex_unlock(&gate->mutex);
}

void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->mutex);
	gate->is_open = 1;
	pthread_cond_broadcast(&gate->moved);
	pthread_mutex_unlock(&gate->mutex);
}

/* ---- Real time --------------------------------------------------------------------------------------------------- */

int64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void spend_ns(int64_t duration_ns)
{
	int64_t end = monotonic_ns() + duration_ns;

	while (monotonic_ns() < end)
		continue;
}

/* ---- Random numbers ---------------------------------------------------------------------------------------------- */

uint64_t random_seed(const char *test)
{
	const char *given = getenv("FAAS_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_sec * UINT64_C(1000000007) + (uint64_t)now.tv_nsec;
	print_message("%s: FAAS_TEST_SEED=%llu\n", test, (unsigned long long)seed);
	return seed;
}

/* splitmix64 */
uint64_t random_below(uint64_t *seed, uint64_t bound)
{
	uint64_t mixed = *seed += UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (mixed ^ (mixed >> 31)) % bound;
}

/* ---- What every test does ---------------------------------------------------------------------------------------- */

int bed_setup(void **state)
{
	struct bed *bed = malloc(sizeof(*bed));

	if (!bed)
		return -1;
	bed_open(bed, NULL);
	*state = bed;
	return 0;
}

int bed_teardown(void **state)
{
	struct bed *bed = *state;

	bed_close(bed);
	free(bed);
	return 0;
}
