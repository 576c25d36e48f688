/* SPDX-License-Identifier: MIT */
/*
 * What the tests of retries, orders and destinations share, besides support_run.h.
 *
 *     trial    a handler that fails as often as it is told to, and writes down when it was called
 *     hold     a handler that takes a token each time, and leaves it for the test to complete
 *
 * A story is what a trial saw, as a text: "a1@0 a2@100 b1@100" says that the event with the data "a" was attempted at
 * 0 ms and, for the second time, at 100 ms, and then "b". A time that is no whole millisecond has its nanoseconds behind
 * a plus: "a2@100+1".
 */
#ifndef TEST_SUPPORT_TRIAL_H
#define TEST_SUPPORT_TRIAL_H

#include "support_run.h"

/* An event whose data is a text, and one with a key. */
#define TEXT(text) FAAS_EVENT(.data = (text), .data_bytes = strlen(text))
#define KEYED(name, text) FAAS_EVENT(.key = (name), .data = (text), .data_bytes = strlen(text))

/* ---- A handler that fails ---------------------------------------------------------------------------------------- */

#define TRIAL_MAX 2048

struct trial {
	faas_clock *clock;
	int fails;        /* attempts of each invocation that fail; the next one succeeds */
	int is_permanent; /* they fail for good */
	int result;       /* what they return. 0: 1 */
	const char *says; /* why they fail; NULL: nothing */
	const char *reply;
	int64_t takes_ns;                               /* each attempt */
	void (*does)(faas_context *context, void *arg); /* after that; NULL: nothing */
	void *arg;
	/* what was seen */
	int count;
	struct {
		int attempt, is_cold;
		int64_t at_ns;
		char text[16];
	} seen[TRIAL_MAX];
};

int trial_handler(faas_context *context, const faas_event *event);

/* The config of a function that is tried: TRIAL(.user = &trial, .attempts = 5). Its delays are exact. */
#define TRIAL(...) FAAS_FUNCTION(.handler = trial_handler, .jitter_percent = FAAS_NONE, __VA_ARGS__)

/* Valid until the next call. */
const char *trial_story(const struct trial *trial);

/* ---- A handler that defers --------------------------------------------------------------------------------------- */

#define HOLD_MAX 64

struct hold {
	const char *reply; /* what it replies before it returns; NULL: nothing */
	int result;        /* what it returns */
	int code;          /* of the last faas_context_defer */
	int count;
	faas_deferral *tokens[HOLD_MAX]; /* the test's to give back; those beyond are given back at once */
};

int hold_handler(faas_context *context, const faas_event *event);

/* The config of a function that defers to the file's own `hold`: HELD(.attempts = 1). Its delays are exact. */
#define HELD(...) FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .jitter_percent = FAAS_NONE, __VA_ARGS__)

/* Registers "f" and lets one event be deferred; the caller gets the invocation. */
faas_invocation *bed_hold_one(struct bed *bed, const struct hold *hold, const faas_function_config *config);

/* Gives back all tokens that are left. */
void hold_clear(struct hold *hold);

/* ---- Dead letters ------------------------------------------------------------------------------------------------ */

/* The texts of all letters of a function, oldest first. Valid until the next call. */
const char *letter_texts(faas_function *function);

/* ---- Time -------------------------------------------------------------------------------------------------------- */

/* Lets time pass, stopping wherever something is due, and runs what can run there. */
void bed_pass_ns(struct bed *bed, int64_t duration_ns);
void bed_pass_ms(struct bed *bed, int64_t duration_ms);

/* faas_invoke_async, which must succeed; the caller gets the invocation. */
faas_invocation *bed_start(struct bed *bed, const char *function, const faas_event_config *event);

/* The same without a handle. */
void bed_queue(struct bed *bed, const char *function, const faas_event_config *event);

/* A counted handle of a function that is there. */
faas_function *bed_find(struct bed *bed, const char *function);

#endif
