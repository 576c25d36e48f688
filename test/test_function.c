/* SPDX-License-Identifier: MIT */
/* Registering, finding and unregistering functions: names, every setting's range, user pointers and their release. */
#include "support.h"

static int add(struct bed *bed, const char *name)
{
	return faas_register_function(bed->runtime, name, FAAS_FUNCTION(.handler = nothing_handler));
}

static void count_release(void *user)
{
	int *releases = user;

	(*releases)++;
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void names_are_1_to_64_letters_digits_underscores_dashes(void **state)
{
	static const char *const bad[] = {"",    " ",   "a b", "a.b",      "a/b", "a:b",   "a@b", "a[b", "a`b",
	                                  "a{b", "a+b", "a\n", "\xc3\xa4", "a,b", "a\x7f", "a*",  ">",   "\x01"};
	struct bed *bed = *state;
	faas_function *function = NULL;
	char name[FAAS_MAX_NAME + 2];

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		assert_int_equal(FAAS_ENAME, add(bed, bad[i]));
		assert_int_equal(FAAS_ENAME, faas_function_find(bed->runtime, bad[i], &function));
		assert_int_equal(FAAS_ENAME, faas_unregister_function(bed->runtime, bad[i]));
		assert_int_equal(FAAS_ENAME, faas_invoke_async(bed->runtime, bad[i], NULL, NULL));
		assert_int_equal(FAAS_ENAME, faas_invoke(bed->runtime, bad[i], NULL, 0, NULL));
	}
	assert_int_equal(0, bed_totals(bed).functions);
	assert_int_equal(FAAS_OK, add(bed, "a"));
	assert_int_equal(FAAS_OK, add(bed, "-"));
	assert_int_equal(FAAS_OK, add(bed, "_azAZ09-"));
	memset(name, 'n', sizeof(name));
	name[FAAS_MAX_NAME + 1] = 0;
	assert_int_equal(FAAS_ENAME, add(bed, name));
	assert_int_equal(FAAS_ENAME, faas_function_find(bed->runtime, name, &function));
	name[FAAS_MAX_NAME] = 0;
	assert_int_equal(FAAS_OK, add(bed, name));
	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, name, &function));
	assert_string_equal(name, faas_function_name(function));
	faas_function_unref(function);
	assert_int_equal(4, bed_totals(bed).functions);
}

static void a_name_is_taken_once(void **state)
{
	struct bed *bed = *state;
	int releases = 0;

	assert_int_equal(FAAS_OK, add(bed, "f"));
	assert_int_equal(FAAS_EEXIST, faas_register_function(bed->runtime, "f",
	                                                     FAAS_FUNCTION(.handler = nothing_handler, .user = &releases,
	                                                                   .release = count_release)));
	assert_int_equal(FAAS_OK, add(bed, "F"));
	assert_int_equal(2, bed_totals(bed).functions);
	assert_int_equal(0, releases);
}

/* ---- Settings ---------------------------------------------------------------------------------------------------- */

static void fields_out_of_range_are_refused(void **state)
{
	const int64_t too_long = FAAS_MAX_DURATION_MS + 1;
	int releases = 0;
	const struct {
		faas_function_config config;
	} bad[] = {
		{*FAAS_FUNCTION(.handler = NULL)},
		{*FAAS_FUNCTION(.flags = ~FAAS_FUNCTION_INLINE)},
		{*FAAS_FUNCTION(.deadline_ms = -2)},
		{*FAAS_FUNCTION(.deadline_ms = too_long)},
		{*FAAS_FUNCTION(.init_deadline_ms = -2)},
		{*FAAS_FUNCTION(.init_deadline_ms = too_long)},
		{*FAAS_FUNCTION(.init_backoff_ms = -2)},
		{*FAAS_FUNCTION(.init_backoff_ms = too_long)},
		{*FAAS_FUNCTION(.keep_warm_ms = -2)},
		{*FAAS_FUNCTION(.keep_warm_ms = too_long)},
		{*FAAS_FUNCTION(.queue_bytes = -2)},
		{*FAAS_FUNCTION(.queue_events = -1)},
		{*FAAS_FUNCTION(.queue_events = FAAS_MAX_QUEUE_EVENTS + 1)},
		{*FAAS_FUNCTION(.queue_full = -1)},
		{*FAAS_FUNCTION(.queue_full = 2)},
		{*FAAS_FUNCTION(.max_concurrency = -2)},
		{*FAAS_FUNCTION(.provisioned = -1)},
		{*FAAS_FUNCTION(.provisioned = 3, .max_concurrency = 2)},
		{*FAAS_FUNCTION(.weight = -1)},
		{*FAAS_FUNCTION(.weight = 1001)},
		{*FAAS_FUNCTION(.attempts = -2)},
		{*FAAS_FUNCTION(.attempts = FAAS_MAX_ATTEMPTS + 1)},
		{*FAAS_FUNCTION(.max_age_ms = -2)},
		{*FAAS_FUNCTION(.max_age_ms = too_long)},
		{*FAAS_FUNCTION(.backoff_ms = -2)},
		{*FAAS_FUNCTION(.backoff_ms = too_long)},
		{*FAAS_FUNCTION(.backoff_max_ms = -1)},
		{*FAAS_FUNCTION(.backoff_max_ms = too_long)},
		{*FAAS_FUNCTION(.jitter_percent = -2)},
		{*FAAS_FUNCTION(.jitter_percent = 101)},
		{*FAAS_FUNCTION(.order = -1)},
		{*FAAS_FUNCTION(.order = 2)},
		{*FAAS_FUNCTION(.dead_letters = -2)},
		{*FAAS_FUNCTION(.dead_letters = FAAS_MAX_DEAD_LETTERS + 1)},
		{*FAAS_FUNCTION(.rate_per_s = -2)},
		{*FAAS_FUNCTION(.rate_per_s = FAAS_MAX_RATE + 1)},
		{*FAAS_FUNCTION(.rate_per_s = 1, .rate_burst = -1)},
		{*FAAS_FUNCTION(.rate_per_s = 1, .rate_burst = FAAS_MAX_RATE + 1)},
		{*FAAS_FUNCTION(.reserved_concurrency = -1)},
		{*FAAS_FUNCTION(.reserved_concurrency = 3, .max_concurrency = 2)},
		{*FAAS_FUNCTION(.warm_policy = -1)},
		{*FAAS_FUNCTION(.warm_policy = 2)},
		{*FAAS_FUNCTION(.reserved = 1)},
	};
	struct bed *bed = *state;
	int64_t bytes = bed->memory.bytes;

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		faas_function_config config = bad[i].config;
		int code;

		config.user = &releases;
		config.release = count_release;
		if (i > 0)
			config.handler = nothing_handler;
		code = faas_register_function(bed->runtime, "f", &config);
		if (code != FAAS_EINVAL)
			fail_msg("config %u: %s", (unsigned)i, faas_error_name(code));
	}
	assert_int_equal(FAAS_EINVAL, faas_register_function(NULL, "f", FAAS_FUNCTION(.handler = nothing_handler)));
	assert_int_equal(FAAS_EINVAL,
	                 faas_register_function(bed->runtime, NULL, FAAS_FUNCTION(.handler = nothing_handler)));
	assert_int_equal(FAAS_EINVAL, faas_register_function(bed->runtime, "f", NULL));
	assert_int_equal(0, releases);
	assert_int_equal(0, bed_totals(bed).functions);
	assert_int_equal(bytes, bed->memory.bytes);
}

static void fields_at_their_bounds_are_taken(void **state)
{
	const int64_t longest = FAAS_MAX_DURATION_MS;
	const struct {
		faas_function_config config;
	} good[] = {
		{*FAAS_FUNCTION(.flags = FAAS_FUNCTION_INLINE)},
		{*FAAS_FUNCTION(.deadline_ms = longest, .init_deadline_ms = longest, .init_backoff_ms = longest,
	                    .keep_warm_ms = longest)},
		{*FAAS_FUNCTION(.deadline_ms = FAAS_NEVER, .init_deadline_ms = FAAS_NEVER, .init_backoff_ms = FAAS_NONE,
	                    .keep_warm_ms = FAAS_NEVER)},
		{*FAAS_FUNCTION(.deadline_ms = 1, .init_deadline_ms = 1, .init_backoff_ms = 1, .keep_warm_ms = 1)},
		{*FAAS_FUNCTION(.queue_bytes = FAAS_UNLIMITED, .queue_events = FAAS_MAX_QUEUE_EVENTS)},
		{*FAAS_FUNCTION(.queue_bytes = INT64_MAX, .queue_events = 1)},
		{*FAAS_FUNCTION(.max_concurrency = FAAS_UNLIMITED, .provisioned = 2)},
		{*FAAS_FUNCTION(.max_concurrency = 2, .provisioned = 2)},
		{*FAAS_FUNCTION(.max_concurrency = INT32_MAX)},
		{*FAAS_FUNCTION(.weight = 1, .queue_full = FAAS_FULL_DROP_OLDEST)},
		{*FAAS_FUNCTION(.weight = 1000)},
		{*FAAS_FUNCTION(.attempts = FAAS_MAX_ATTEMPTS, .max_age_ms = longest, .backoff_ms = longest,
	                    .backoff_max_ms = longest, .jitter_percent = 100)},
		{*FAAS_FUNCTION(.attempts = FAAS_UNLIMITED, .max_age_ms = FAAS_NEVER, .backoff_ms = FAAS_NONE,
	                    .backoff_max_ms = 1, .jitter_percent = FAAS_NONE)},
		{*FAAS_FUNCTION(.attempts = 1, .max_age_ms = 1, .backoff_ms = 1, .backoff_max_ms = 1, .jitter_percent = 1)},
		{*FAAS_FUNCTION(FAAS_RETRY_LAMBDA)},
		{*FAAS_FUNCTION(.order = FAAS_ORDER_BY_KEY, .dead_letters = FAAS_MAX_DEAD_LETTERS)},
		{*FAAS_FUNCTION(.order = FAAS_ORDER_NONE, .dead_letters = FAAS_NONE)},
		{*FAAS_FUNCTION(.rate_per_s = FAAS_MAX_RATE, .rate_burst = FAAS_MAX_RATE)},
		{*FAAS_FUNCTION(.rate_per_s = 1, .rate_burst = 1)},
		{*FAAS_FUNCTION(.rate_per_s = FAAS_UNLIMITED)},
		{*FAAS_FUNCTION(.reserved_concurrency = INT32_MAX)},
		{*FAAS_FUNCTION(.reserved_concurrency = 2, .max_concurrency = 2)},
		{*FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND, .provisioned = 1)},
		{*FAAS_FUNCTION(.on_success = "f", .on_failure = "nobody")},
	};
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		faas_function_config config = good[i].config;
		int code;

		config.handler = nothing_handler;
		code = faas_register_function(bed->runtime, "f", &config);
		if (code != FAAS_OK)
			fail_msg("config %u: %s", (unsigned)i, faas_error_name(code));
		assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
		bed_run(bed);
		assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	}
}

static void destinations_must_have_names(void **state)
{
	static const char *const bad[] = {"", "a b", "a.b", "\xc3\xa4"};
	struct bed *bed = *state;
	char name[FAAS_MAX_NAME + 2];

	memset(name, 'n', sizeof(name));
	name[FAAS_MAX_NAME + 1] = 0;
	for (size_t i = 0; i < COUNT_OF(bad) + 1; i++) {
		const char *destination = i < COUNT_OF(bad) ? bad[i] : name;

		assert_int_equal(FAAS_ENAME,
		                 faas_register_function(bed->runtime, "f",
		                                        FAAS_FUNCTION(.handler = nothing_handler, .on_success = destination)));
		assert_int_equal(FAAS_ENAME,
		                 faas_register_function(bed->runtime, "f",
		                                        FAAS_FUNCTION(.handler = nothing_handler, .on_failure = destination)));
	}
	assert_int_equal(0, bed_totals(bed).functions);
	/* They are copied. */
	name[FAAS_MAX_NAME] = 0;
	bed_register(bed, "f", FAAS_FUNCTION(.handler = nothing_handler, .on_success = name));
	bed_register(bed, name, FAAS_FUNCTION(.handler = nothing_handler));
	name[0] = 'x';
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f", NULL, NULL));
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").records);
}

static void a_config_of_another_size_follows_the_rules(void **state)
{
	struct {
		faas_function_config config;
		uint64_t extra;
	} larger = {.config = *FAAS_FUNCTION(.handler = nothing_handler), .extra = 1};
	struct bed *bed = *state;

	larger.config.struct_size = sizeof(larger);
	assert_int_equal(FAAS_EINVAL, faas_register_function(bed->runtime, "f", &larger.config));
	larger.extra = 0;
	assert_int_equal(FAAS_OK, faas_register_function(bed->runtime, "f", &larger.config));
	larger.config.release = count_release; /* not there, for a caller that old; there is no user to count with */
	larger.config.struct_size = offsetof(faas_function_config, release);
	assert_int_equal(FAAS_OK, faas_register_function(bed->runtime, "g", &larger.config));
	larger.config.struct_size = offsetof(faas_function_config, handler);
	assert_int_equal(FAAS_EINVAL, faas_register_function(bed->runtime, "h", &larger.config));
	larger.config.struct_size = 0;
	assert_int_equal(FAAS_EINVAL, faas_register_function(bed->runtime, "h", &larger.config));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "g"));
}

static void name_and_config_are_copied(void **state)
{
	struct bed *bed = *state;
	faas_function_config config = *FAAS_FUNCTION(.handler = nothing_handler, .queue_events = 1);
	char name[] = "f";

	assert_int_equal(FAAS_OK, faas_register_function(bed->runtime, name, &config));
	memset(&config, 0xa5, sizeof(config));
	name[0] = 'X';
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f", NULL, NULL));
	assert_int_equal(FAAS_EFULL, faas_invoke_async(bed->runtime, "f", NULL, NULL));
}

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

static void a_function_is_found_by_name(void **state)
{
	struct bed *bed = *state;
	faas_function *function = NULL, *same = NULL;

	assert_int_equal(FAAS_ENOTFOUND, faas_function_find(bed->runtime, "f", &function));
	assert_int_equal(FAAS_EINVAL, faas_function_find(NULL, "f", &function));
	assert_int_equal(FAAS_EINVAL, faas_function_find(bed->runtime, NULL, &function));
	assert_int_equal(FAAS_EINVAL, faas_function_find(bed->runtime, "f", NULL));
	assert_null(function);
	assert_int_equal(FAAS_OK, add(bed, "f"));
	assert_int_equal(FAAS_OK, add(bed, "g"));
	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, "f", &same));
	assert_ptr_equal(function, same);
	assert_string_equal("f", faas_function_name(function));
	assert_int_equal(FAAS_OK, faas_function_invoke(function, NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_function_invoke_async(function, NULL, NULL));
	bed_run(bed);
	assert_int_equal(2, stats_of(function).succeeded);
	assert_int_equal(0, bed_stats(bed, "g").offered);
	assert_ptr_equal(function, faas_function_ref(function));
	faas_function_unref(function);
	faas_function_unref(function);
	faas_function_unref(same);
	faas_function_unref(NULL);
	assert_null(faas_function_ref(NULL));
}

static void many_functions_are_found(void **state)
{
	enum { COUNT = 3000 };
	struct bed *bed = *state;
	char name[16];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < COUNT; i++) {
			snprintf(name, sizeof(name), "f%d", i);
			assert_int_equal(FAAS_OK, add(bed, name));
		}
		assert_int_equal(COUNT, bed_totals(bed).functions);
		for (int i = 0; i < COUNT; i += 2) {
			snprintf(name, sizeof(name), "f%d", i);
			assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, name));
		}
		for (int i = 0; i < COUNT; i++) {
			faas_function *function = NULL;

			snprintf(name, sizeof(name), "f%d", i);
			assert_int_equal(i % 2 ? FAAS_OK : FAAS_ENOTFOUND, faas_function_find(bed->runtime, name, &function));
			faas_function_unref(function);
			if (i % 2)
				assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, name));
		}
		assert_int_equal(0, bed_totals(bed).functions);
	}
}

/* ---- Unregistering ----------------------------------------------------------------------------------------------- */

static void what_is_queued_is_cancelled_and_the_name_is_free(void **state)
{
	struct bed *bed = *state;
	struct record record;
	faas_invocation *invocation = NULL;
	faas_function *old = NULL;
	int releases = 0;

	record_init(&record);
	bed_register(bed, "f", FAAS_FUNCTION(.handler = record_handler, .user = &record));
	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, "f", &old));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f", NULL, &invocation));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f", NULL, NULL));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(2, stats_of(old).cancelled);
	assert_int_equal(FAAS_ENOTFOUND, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(FAAS_ENOTFOUND, faas_invoke_async(bed->runtime, "f", NULL, NULL));
	bed_register(bed, "f", FAAS_FUNCTION(.handler = nothing_handler, .user = &releases, .release = count_release));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	bed_run(bed);
	assert_int_equal(1, record.count);
	/* The handle still means the old one. */
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke_async(old, NULL, NULL));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke(old, NULL, 0, NULL));
	assert_int_equal(1, stats_of(old).succeeded);
	assert_int_equal(1, stats_of(old).retired_unregistered);
	assert_int_equal(1, bed_stats(bed, "f").accepted);
	/* The totals have both. */
	assert_int_equal(4, bed_totals(bed).total.accepted);
	assert_int_equal(2, bed_totals(bed).total.cancelled);
	assert_int_equal(1, bed_totals(bed).functions);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	bed_run(bed);
	assert_int_equal(1, releases);
	assert_int_equal(4, bed_totals(bed).total.accepted);
	assert_int_equal(FAAS_EINVAL, faas_unregister_function(NULL, "f"));
	assert_int_equal(FAAS_EINVAL, faas_unregister_function(bed->runtime, NULL));
	faas_invocation_unref(invocation);
	faas_function_unref(old);
	record_deinit(&record);
}

struct lives {
	int finis, releases;
	int finis_at_release;
	int said;
};

static int leave_handler(faas_context *context, const faas_event *event)
{
	struct lives *lives = faas_context_user(context);
	faas_runtime *runtime = faas_context_runtime(context);

	(void)event;
	lives->said = faas_unregister_function(runtime, "f");
	if (lives->finis + lives->releases > 0 || faas_context_is_cancelled(context))
		return 1;
	/* The name is free at once, and a new function may take it. */
	return faas_register_function(runtime, "f", FAAS_FUNCTION(.handler = nothing_handler));
}

static void lives_fini(void *state, void *user)
{
	struct lives *lives = user;

	(void)state;
	lives->finis++;
}

static void lives_release(void *user)
{
	struct lives *lives = user;

	lives->releases++;
	lives->finis_at_release = lives->finis;
}

static void a_handler_may_unregister_its_own_function(void **state)
{
	struct bed *bed = *state;
	struct lives lives = {.said = 77};
	faas_invocation *invocation = NULL;

	bed_register(bed, "f",
	             FAAS_FUNCTION(.handler = leave_handler, .user = &lives, .fini = lives_fini, .release = lives_release));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, &invocation));
	assert_int_equal(FAAS_OK, lives.said);
	bed_run(bed);
	assert_int_equal(1, lives.finis);
	assert_int_equal(1, lives.releases);
	assert_int_equal(1, lives.finis_at_release);
	assert_int_equal(0, bed_stats(bed, "f").offered);
	assert_int_equal(1, bed_totals(bed).total.succeeded);
	faas_invocation_unref(invocation);
}

static void release_comes_once_after_the_last_use(void **state)
{
	struct bed *bed = *state;
	struct lives unused = {.said = 0}, used = {.said = 0}, closed = {.said = 0};
	faas_function *function = NULL;

	/* Never run: at once. */
	bed_register(
		bed, "unused",
		FAAS_FUNCTION(.handler = nothing_handler, .user = &unused, .fini = lives_fini, .release = lives_release));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "unused"));
	assert_int_equal(1, unused.releases);
	assert_int_equal(0, unused.finis);
	/* With a warm worker: after its fini, and a handle does not delay it. */
	bed_register(
		bed, "used",
		FAAS_FUNCTION(.handler = nothing_handler, .user = &used, .fini = lives_fini, .release = lives_release));
	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, "used", &function));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "used", NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "used"));
	assert_int_equal(0, used.releases);
	bed_run(bed);
	assert_int_equal(1, used.releases);
	assert_int_equal(1, used.finis_at_release);
	faas_function_unref(function);
	assert_int_equal(1, used.releases);
	/* Left to the closing. */
	bed_register(
		bed, "closed",
		FAAS_FUNCTION(.handler = nothing_handler, .user = &closed, .fini = lives_fini, .release = lives_release));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "closed", NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_close(bed->runtime, 0, 0));
	bed->runtime = NULL;
	assert_int_equal(1, closed.releases);
	assert_int_equal(1, closed.finis_at_release);
}

/* ---- Stats ------------------------------------------------------------------------------------------------------- */

static void stats_are_written_into_a_struct_of_any_size(void **state)
{
	struct bed *bed = *state;
	struct faas_function_stats stats = {.struct_size = offsetof(struct faas_function_stats, rejected), .rejected = 77};
	struct faas_runtime_stats totals = {.struct_size = 0, .emitted = 77};
	struct {
		struct faas_function_stats stats;
		uint64_t extra;
	} larger = {.extra = 77};
	faas_function *function = NULL;

	assert_int_equal(FAAS_OK, add(bed, "f"));
	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_function_invoke(function, NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_function_stats(function, &stats));
	assert_int_equal(1, stats.accepted);
	assert_int_equal(77, stats.rejected);
	larger.stats.struct_size = sizeof(larger);
	assert_int_equal(FAAS_OK, faas_function_stats(function, &larger.stats));
	assert_int_equal(0, larger.extra);
	stats.struct_size = 0;
	assert_int_equal(FAAS_EINVAL, faas_function_stats(function, &stats));
	assert_int_equal(FAAS_EINVAL, faas_function_stats(NULL, &larger.stats));
	assert_int_equal(FAAS_EINVAL, faas_function_stats(function, NULL));
	assert_int_equal(FAAS_EINVAL, faas_runtime_stats(bed->runtime, &totals));
	assert_int_equal(FAAS_EINVAL, faas_runtime_stats(NULL, &totals));
	assert_int_equal(FAAS_EINVAL, faas_runtime_stats(bed->runtime, NULL));
	assert_int_equal(77, totals.emitted);
	faas_function_unref(function);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(names_are_1_to_64_letters_digits_underscores_dashes),
		BED_TEST(a_name_is_taken_once),
		BED_TEST(fields_out_of_range_are_refused),
		BED_TEST(fields_at_their_bounds_are_taken),
		BED_TEST(destinations_must_have_names),
		BED_TEST(a_config_of_another_size_follows_the_rules),
		BED_TEST(name_and_config_are_copied),
		BED_TEST(a_function_is_found_by_name),
		BED_TEST(many_functions_are_found),
		BED_TEST(what_is_queued_is_cancelled_and_the_name_is_free),
		BED_TEST(a_handler_may_unregister_its_own_function),
		BED_TEST(release_comes_once_after_the_last_use),
		BED_TEST(stats_are_written_into_a_struct_of_any_size),
	};

	return cmocka_run_group_tests_name("function", tests, NULL, NULL);
}
