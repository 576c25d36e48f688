/* SPDX-License-Identifier: MIT */
/* Dead letters: what failed for good and nobody else took, oldest first, until it is redriven, purged or pushed out. */
#include "model.h"

static void take_out(struct model_invocation *letter)
{
	struct model_function *function = letter->function;
	struct model_invocation **at = &function->letters;

	while (*at != letter)
		at = &(*at)->next;
	*at = letter->next;
	letter->is_letter = false;
	function->letter_count--;
	function->letter_bytes -= letter->bytes;
}

static void lose_oldest(struct model_function *function)
{
	take_out(function->letters);
	function->stats.dead_letters_lost++;
}

void model_add_letter(struct model_invocation *invocation)
{
	struct model_function *function = invocation->function;
	struct model_invocation **at = &function->letters;

	if (function->max_letters == 0)
		return;
	if (!function->is_open) {
		function->stats.dead_letters_lost++;
		return;
	}
	while (*at)
		at = &(*at)->next;
	*at = invocation;
	invocation->next = NULL;
	invocation->is_letter = true;
	function->letter_count++;
	function->letter_bytes += invocation->bytes;
	function->stats.dead_letters_added++;
	while (function->letter_count > function->max_letters || function->letter_bytes > function->max_bytes)
		lose_oldest(function);
}

void model_lose_letters(struct model_function *function)
{
	while (function->letters)
		lose_oldest(function);
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

/* It is offered anew. What follows keeps what it was the record of. */
static int redrive(struct model_invocation *letter, bool is_inside)
{
	struct model_function *function = letter->function;
	struct model_invocation *again = model_alloc(function->model, sizeof(*again));
	int code = model_intake(function->model, is_inside);

	*again = (struct model_invocation){.function = function, .event = letter->event, .record = letter->record,
	                                   .hops = letter->hops, .code = FAAS_EPENDING};
	again->caller_deadline = NEVER;
	again->has_result = letter->has_result;
	again->bytes = model_bytes(function, letter->event, letter->has_result, false, WAY_REDRIVEN);
	if (code != FAAS_OK)
		model_count_rejected(function, code);
	else
		code = model_offer(again);
	if (code != FAAS_OK)
		return code;
	function->stats.dead_letters_redriven++;
	take_out(letter);
	return FAAS_OK;
}

int model_redrive(struct model_function *function, struct model_invocation *letter, bool is_inside)
{
	int count = 0, code = FAAS_OK;

	if (letter && (letter->function != function || !letter->is_letter))
		return FAAS_ENOTFOUND;
	if (letter) {
		code = redrive(letter, is_inside);
		return code == FAAS_OK ? 1 : code;
	}
	while (function->letters && code == FAAS_OK) {
		code = redrive(function->letters, is_inside);
		count += code == FAAS_OK;
	}
	return count > 0 ? count : code;
}

int model_purge(struct model_function *function, struct model_invocation *letter)
{
	int count = 0;

	if (letter && (letter->function != function || !letter->is_letter))
		return FAAS_ENOTFOUND;
	if (letter) {
		take_out(letter);
		return 1;
	}
	for (; function->letters; count++)
		take_out(function->letters);
	return count;
}
