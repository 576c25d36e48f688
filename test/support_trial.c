/* SPDX-License-Identifier: MIT */
/* What the tests of retries, orders and destinations share: see support_trial.h. */
#include "support_trial.h"

/* ---- A handler that fails ---------------------------------------------------------------------------------------- */

static void write_down(struct trial *trial, const faas_context *context, const faas_event *event)
{
	uint64_t bytes;
	const char *text = faas_event_data(event, &bytes);
	int at = trial->count++;

	if (at >= TRIAL_MAX)
		return;
	trial->seen[at].attempt = faas_context_attempt(context);
	trial->seen[at].is_cold = faas_context_is_cold(context);
	trial->seen[at].at_ns = faas_clock_now(trial->clock);
	snprintf(trial->seen[at].text, sizeof(trial->seen[at].text), "%.*s", (int)bytes, text);
}

int trial_handler(faas_context *context, const faas_event *event)
{
	struct trial *trial = faas_context_user(context);
	int result = trial->result != 0 ? trial->result : 1;

	write_down(trial, context, event);
	if (trial->takes_ns > 0)
		(void)faas_clock_advance(trial->clock, trial->takes_ns);
	if (trial->does)
		trial->does(context, trial->arg);
	if (trial->reply)
		(void)faas_context_reply(context, trial->reply, strlen(trial->reply), NULL);
	if (faas_context_attempt(context) > trial->fails)
		return 0;
	if (trial->is_permanent)
		(void)faas_context_fail_permanent(context, trial->says);
	else if (trial->says)
		(void)faas_context_fail(context, trial->says);
	return result;
}

const char *trial_story(const struct trial *trial)
{
	static char story[TRIAL_MAX * 32];
	size_t at = 0;

	story[0] = 0;
	for (int i = 0; i < trial->count && i < TRIAL_MAX; i++) {
		int64_t ms = trial->seen[i].at_ns / MS, rest = trial->seen[i].at_ns % MS;

		at += (size_t)snprintf(story + at, sizeof(story) - at, "%s%.10s%d@%lld", i > 0 ? " " : "", trial->seen[i].text,
		                       trial->seen[i].attempt, (long long)ms);
		if (rest != 0)
			at += (size_t)snprintf(story + at, sizeof(story) - at, "+%d", (int)rest);
		if (at > sizeof(story) - 64)
			break;
	}
	return story;
}

/* ---- A handler that defers --------------------------------------------------------------------------------------- */

int hold_handler(faas_context *context, const faas_event *event)
{
	struct hold *hold = faas_context_user(context);
	faas_deferral *token = NULL;

	(void)event;
	hold->code = faas_context_defer(context, &token);
	if (hold->reply)
		(void)faas_context_reply(context, hold->reply, strlen(hold->reply), NULL);
	if (hold->count < HOLD_MAX)
		hold->tokens[hold->count] = token;
	else
		faas_deferral_unref(token);
	hold->count++;
	return hold->result;
}

void hold_clear(struct hold *hold)
{
	for (int i = 0; i < hold->count && i < HOLD_MAX; i++) {
		faas_deferral_unref(hold->tokens[i]);
		hold->tokens[i] = NULL;
	}
}

faas_invocation *bed_hold_one(struct bed *bed, const struct hold *hold, const faas_function_config *config)
{
	faas_invocation *invocation;

	bed_register(bed, "f", config);
	invocation = bed_start(bed, "f", NULL);
	assert_int_equal(1, bed_run(bed));
	assert_int_equal(FAAS_OK, hold->code);
	return invocation;
}

/* ---- Dead letters ------------------------------------------------------------------------------------------------ */

const char *letter_texts(faas_function *function)
{
	static char texts[4096];
	faas_invocation *letter;
	uint64_t position = 0;

	texts[0] = 0;
	while (faas_function_dead_letter(function, &position, &letter) == FAAS_OK) {
		uint64_t bytes;
		const char *text = faas_event_data(faas_invocation_event(letter), &bytes);
		size_t at = strlen(texts);

		snprintf(texts + at, sizeof(texts) - at, "%s%.*s", at > 0 ? " " : "", (int)bytes, text);
		faas_invocation_unref(letter);
	}
	return texts;
}

/* ---- Time -------------------------------------------------------------------------------------------------------- */

void bed_pass_ns(struct bed *bed, int64_t duration_ns)
{
	int64_t end = faas_clock_now(bed->clock) + duration_ns;

	for (int turns = 0; turns < 1000000; turns++) {
		int64_t due, left;

		bed_run(bed);
		due = bed_next_due(bed);
		left = end - faas_clock_now(bed->clock);
		if (due == FAAS_NEVER || due > left) {
			assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, left > 0 ? left : 0));
			return;
		}
		assert_true(due > 0);
		assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, due));
	}
	fail_msg("something is due for ever");
}

void bed_pass_ms(struct bed *bed, int64_t duration_ms)
{
	bed_pass_ns(bed, duration_ms * MS);
}

faas_invocation *bed_start(struct bed *bed, const char *function, const faas_event_config *event)
{
	faas_invocation *invocation = NULL;

	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, function, event, &invocation));
	assert_non_null(invocation);
	return invocation;
}

void bed_queue(struct bed *bed, const char *function, const faas_event_config *event)
{
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, function, event, NULL));
}

faas_function *bed_find(struct bed *bed, const char *function)
{
	faas_function *handle = NULL;

	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, function, &handle));
	return handle;
}
