/* SPDX-License-Identifier: MIT */
/*
 * Order: in a function that is ordered by key, an event begins only when no earlier one of its key is unsettled and no
 * handler runs for one of its key, not even one that overran. Events without a key are free. Without order: first in,
 * first out.
 */
#include "model.h"

void model_add_unsettled(struct model_invocation *invocation)
{
	struct model_invocation **at = &invocation->function->unsettled;

	while (*at)
		at = &(*at)->later;
	*at = invocation;
	invocation->later = NULL;
}

void model_remove_unsettled(struct model_invocation *invocation)
{
	struct model_invocation **at = &invocation->function->unsettled;

	while (*at && *at != invocation)
		at = &(*at)->later;
	if (*at)
		*at = invocation->later;
}

static bool is_of_key(const struct model_invocation *invocation, const struct model_function *function, int key)
{
	return invocation && invocation->function == function && invocation->event->key == key;
}

bool model_key_lets(const struct model_invocation *invocation)
{
	const struct model_function *function = invocation->function;
	const int key = invocation->event->key;

	if (!function->is_ordered || key == 0)
		return true;
	for (int i = 0; i < function->model->depth; i++)
		if (is_of_key(function->model->stack[i].invocation, function, key))
			return false;
	for (const struct model_invocation *at = function->unsettled; at && at != invocation; at = at->later)
		if (at->event->key == key)
			return false;
	return true;
}

struct model_invocation *model_head(struct model_invocation *invocation)
{
	const struct model_function *function = invocation->function;
	const int key = invocation->event->key;

	if (!function->is_ordered || key == 0)
		return invocation;
	for (int i = 0; i < function->model->depth; i++)
		if (is_of_key(function->model->stack[i].invocation, function, key))
			return function->model->stack[i].invocation;
	for (struct model_invocation *at = function->unsettled; at; at = at->later)
		if (at->event->key == key)
			return at;
	return invocation;
}

struct model_invocation *model_first_ready(const struct model_function *function)
{
	for (struct model_invocation *queued = function->queue; queued; queued = queued->next)
		if (model_key_lets(queued))
			return queued;
	return NULL;
}

int model_count_ready(const struct model_function *function)
{
	int count = 0;

	if (!function->is_ordered)
		return function->queue != NULL;
	for (const struct model_invocation *queued = function->queue; queued; queued = queued->next)
		count += model_key_lets(queued);
	return count;
}
