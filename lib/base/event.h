/* SPDX-License-Identifier: MIT */
/*
 * Events: checked and measured once, written once into one piece of memory, never changed after that.
 *
 *     struct faas_event | type\0 subject\0 source\0 ... | extensions | rare | chain | data \0
 *
 * `rare` says where things stand that few events have; there is none without them. The chain is which functions, by
 * number, led to it: one for each hop but the last, which stands in the event itself, since most chains are no longer.
 */
#ifndef FAAS_BASE_EVENT_H
#define FAAS_BASE_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "faas/event.h"

/* What the events of one runtime share. */
struct event_origin {
	uint64_t id_prefix;
	int64_t unix_offset_ns; /* calendar time - monotonic time */
	const char *source;     /* of events that name none */
};

/* One extension attribute inside an event; texts and bytes stand behind the table, each with a NUL. */
struct event_attribute {
	int64_t integer;
	uint16_t name; /* offsets, as those of faas_event */
	uint16_t data;
	uint16_t bytes;
	uint16_t type;
};

/* Offsets count from the end of this; 0 is "none", because the type stands there. All fixed before the event is shared. */
struct faas_event {
	const struct event_origin *origin;
	uint64_t sequence; /* the counter part of a generated id */
	int64_t stamp_ns;  /* monotonic time of the emit */
	uint32_t data_bytes;
	uint32_t last_hop; /* the function that emitted it; if there are hops */
	uint16_t subject;
	uint16_t rare;     /* where struct event_rare stands */
	uint16_t data;
	uint8_t attribute_count;
	uint8_t hops; /* events that caused each other before this one */
};

/* More offsets. */
struct event_rare {
	uint16_t source;
	uint16_t id;
	uint16_t datacontenttype;
	uint16_t dataschema;
	uint16_t key;
	uint16_t unix_ns; /* a given time, as int64_t */
	uint16_t attributes;
	uint16_t unused;  /* what comes next is aligned */
};

extern const struct event_rare faas__event_no_rare;

/* Where the offsets count from. */
static inline char *faas__event_text(const faas_event *event)
{
	return (char *)(uintptr_t)(event + 1);
}

static inline const struct event_rare *faas__event_rare(const faas_event *event)
{
	if (likely(event->rare == 0))
		return &faas__event_no_rare;
	return (const struct event_rare *)(const void *)(faas__event_text(event) + event->rare);
}

/* Of the strings that nearly all events have. */
struct event_lengths {
	size_t type, subject; /* without their NULs; no subject: 0 */
	size_t text;          /* both with them, to the next multiple of 8 */
};

/* A checked config and the lengths found on the way. */
struct event_plan {
	const faas_event_config *config;
	faas_event_config copy; /* where a config of another size was translated */
	size_t attribute_stride;
	size_t bytes;      /* all of the event */
	struct event_lengths lengths; /* `text`: all behind the header, extensions, padding and the chain included */
	uint16_t source, id, datacontenttype, dataschema, key; /* likewise without NULs, if has_rare */
	uint8_t hops;
	bool has_rare;     /* any of the strings but type and subject */
	bool type_is_checked;
	uint32_t chain[FAAS_MAX_HOPS]; /* `hops` of them */
};

/* Room for the hops before the last, as it lies in an event. */
static inline size_t faas__event_chain_bytes(uint32_t hops)
{
	return hops > 1 ? ((hops - 1) * sizeof(uint32_t) + 7) & ~(size_t)7 : 0;
}

/* What no extension may be called: the names of the context attributes, in the order of enum context_attribute, and "data".
   Strings one behind the other; an empty one is the end. */
extern const char faas__attribute_names[];

/* Copies the chain of an event, `hops` numbers. */
void faas__event_chain(const faas_event *event, uint32_t *numbers);

/* Makes room in the plan for the chain that stands in it. */
void faas__event_plan_chain(struct event_plan *plan);

/* ---- Plain events ------------------------------------------------------------------------------------------------ */
/* That is what nearly all are: they have a type and data, perhaps a subject, and no other attribute. */

/* All of an event. */
static inline size_t faas__event_bytes(const struct event_lengths *lengths, size_t data_bytes)
{
	return sizeof(faas_event) + lengths->text + data_bytes + 1;
}

/* Measures a plain event. False: it is not plain, or something is wrong with it. The type is left to be checked. */
bool faas__event_is_plain(const faas_event_config *config, uint64_t max_data_bytes, struct event_lengths *ret_lengths);

/* Writes a plain event, or what others have in common with one. */
void faas__event_write_plain(const faas_event_config *config, const struct event_lengths *lengths, faas_event *event,
                             const struct event_origin *origin, uint64_t sequence, int64_t stamp_ns);

/* ---- All events -------------------------------------------------------------------------------------------------- */

/*
 * Checks `config` and measures the event. `default_type` stands in for a type that is not given, unless it is NULL.
 * 0, or one of the codes of faas_emit_event. The type may still have to be checked, by faas__event_plan_type: nearly
 * always a look-up comes first, which finds that this type has been there before.
 */
int faas__event_plan(struct event_plan *plan, const faas_event_config *config, const char *default_type,
                     uint64_t max_data_bytes);

/* Checks the type, unless that has been done. 0, FAAS_ETYPE, FAAS_ETOOLONG, FAAS_ETEXT. */
int faas__event_plan_type(struct event_plan *plan);

/* Writes the event into plan->bytes at `memory`, which is aligned to 8. */
void faas__event_write(const struct event_plan *plan, faas_event *memory, const struct event_origin *origin,
                       uint64_t sequence, int64_t stamp_ns);

#endif
