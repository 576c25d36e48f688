/* SPDX-License-Identifier: MIT */
/*
 * Rates: a token bucket, kept as one time. `rate_at` is when the bucket, had it been drained just in time, would be due
 * to give its next token; how far that lies ahead of now says how many tokens are missing. Nothing is counted or filled
 * up by a timer.
 *
 * Source: the generic cell rate algorithm, ITU-T I.371, annex A, in its virtual scheduling form.
 */
#include "dispatch/function.h"

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

uint32_t faas__rate_available(const faas_function *function, int64_t now, uint32_t most)
{
	int64_t room, tokens;

	if (likely(function->rate_interval_ns == 0))
		return most;
	room = function->rate_slack_ns - (later(function->rate_at, now) - now);
	if (room < 0)
		return 0;
	tokens = room / function->rate_interval_ns + 1;
	return tokens < (int64_t)most ? (uint32_t)tokens : most;
}

void faas__rate_take(faas_function *function, int64_t now, uint32_t count)
{
	if (unlikely(function->rate_interval_ns != 0))
		function->rate_at = later(function->rate_at, now) + (int64_t)count * function->rate_interval_ns;
}

void faas__rate_give_back(faas_function *function, uint32_t count)
{
	if (unlikely(function->rate_interval_ns != 0))
		function->rate_at -= (int64_t)count * function->rate_interval_ns;
}

int64_t faas__rate_next(const faas_function *function, int64_t now, uint64_t behind)
{
	int64_t at = later(function->rate_at, now) + (int64_t)behind * function->rate_interval_ns;

	return later(at - function->rate_slack_ns, now);
}
