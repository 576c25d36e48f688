/* SPDX-License-Identifier: MIT */
/*
 * Events that belong to no runtime.
 *
 * An event refers to what the events of its runtime share: a source, the prefix of ids, the distance from monotonic
 * to calendar time. Here each event has one of its own, in the same block:
 *
 *     struct single | struct faas_event | its strings, extensions and data
 *
 * A `type` is required and ids are drawn from the system, as when an event is emitted. The time of an emit is another
 * matter: there is none, and making one up would give two equal configs unequal events. So it is absent, which the
 * shared part expresses as a distance that no calendar reaches.
 */
#include "base/alloc.h"
#include "base/event.h"
#include "base/random.h"
#include "faas/event.h"

#define DEFAULT_SOURCE "faas"

struct single {
	struct event_origin origin;
	size_t bytes; /* of the block */
};

#define SINGLE_BYTES ((sizeof(struct single) + ALLOC_ALIGNMENT - 1) / ALLOC_ALIGNMENT * ALLOC_ALIGNMENT)

int faas_event_new(const faas_event_config *config, faas_event **ret_event)
{
	uint64_t prefix = 0;
	struct allocator allocator;
	struct event_plan plan;
	struct single *single;
	faas_event *event;
	int error;

	if (!config || !ret_event)
		return FAAS_EINVAL;
	error = faas__event_plan(&plan, config, NULL, FAAS_MAX_DATA);
	if (error == FAAS_OK)
		error = faas__event_plan_type(&plan);
	if (error == FAAS_OK && !plan.config->id)
		error = faas__random_seed(&prefix);
	if (error == FAAS_OK)
		error = faas__allocator_init(&allocator, NULL);
	if (error != FAAS_OK)
		return error;
	single = faas__alloc(&allocator, SINGLE_BYTES + plan.bytes);
	if (!single)
		return FAAS_ENOMEM;
	single->origin =
		(struct event_origin){.id_prefix = prefix, .unix_offset_ns = FAAS_NO_TIME, .source = DEFAULT_SOURCE};
	single->bytes = SINGLE_BYTES + plan.bytes;
	event = (faas_event *)(void *)((char *)single + SINGLE_BYTES);
	faas__event_write(&plan, event, &single->origin, 0, 0);
	*ret_event = event;
	return FAAS_OK;
}

void faas_event_free(faas_event *event)
{
	struct allocator allocator;
	struct single *single;

	if (!event)
		return;
	single = (struct single *)(void *)((char *)event - SINGLE_BYTES);
	if (event->origin != &single->origin || faas__allocator_init(&allocator, NULL) != FAAS_OK)
		return;
	faas__free(&allocator, single, single->bytes);
}
