/* SPDX-License-Identifier: MIT */
/*
 * How an event is checked, laid out and read. Checking and writing are two steps, so that a refused event costs no
 * copy and a taken one is measured once. Offsets have 16 bits, which is why attributes together are limited to 65,000
 * bytes; the data stands last and may be as large as the runtime allows.
 *
 * Rules for attributes: CloudEvents 1.0.2, "Attribute naming convention" and "Type System"; URIs: RFC 3986, of which
 * the character set and the scheme are checked.
 */
#include "base/event.h"

#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/text.h"

static size_t round_up(size_t bytes)
{
	return (bytes + sizeof(int64_t) - 1) & ~(sizeof(int64_t) - 1);
}

const struct event_rare faas__event_no_rare;

/* ---- Checking ---------------------------------------------------------------------------------------------------- */

/* An optional string that may not be empty. Its length with the NUL is added to the plan. */
static int check_string(struct event_plan *plan, const char *text, size_t limit, uint16_t *ret_length)
{
	size_t bytes;
	int error;

	*ret_length = 0;
	if (!text)
		return FAAS_OK;
	error = faas__text_check(text, limit, &bytes);
	if (error == FAAS_OK && bytes == 0)
		error = FAAS_EATTRIBUTE;
	if (error != FAAS_OK)
		return error;
	*ret_length = (uint16_t)bytes;
	plan->lengths.text += bytes + 1;
	return FAAS_OK;
}

seldom static bool is_uri(const char *text, bool needs_scheme)
{
	const char *colon = strchr(text, ':');

	for (const char *c = text; *c != 0; c++)
		if (strchr(" \"<>\\^`{|}", *c) || (unsigned char)*c >= 0x80)
			return false;
	if (!needs_scheme)
		return true;
	if (!colon || !((text[0] | 32) >= 'a' && (text[0] | 32) <= 'z'))
		return false;
	for (const char *c = text; c < colon; c++)
		if (!((*c | 32) >= 'a' && (*c | 32) <= 'z') && !(*c >= '0' && *c <= '9') && !strchr("+-.", *c))
			return false;
	return true;
}

const char faas__attribute_names[] =
	"id\0source\0type\0specversion\0subject\0time\0datacontenttype\0dataschema\0data\0";

seldom static bool is_attribute_name(const char *name)
{
	size_t i;

	for (i = 0; name[i] != 0; i++)
		if (i == 20 || !((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9')))
			return false;
	for (const char *at = faas__attribute_names; *at != 0; at += strlen(at) + 1)
		if (strcmp(name, at) == 0)
			return false;
	return i > 0;
}

/* One of the attributes, in our size; `copy` is where it is translated. NULL: no size of ours, or unknown content. */
seldom static const faas_attribute_config *attribute_at(const struct event_plan *plan, uint64_t index,
                                                 faas_attribute_config *copy)
{
	const char *at = (const char *)plan->config->attributes + (size_t)index * plan->attribute_stride;
	const faas_attribute_config *attribute = (const faas_attribute_config *)(const void *)at;

	if (attribute->struct_size != plan->attribute_stride)
		return NULL;
	return faas__config_read(attribute, copy, sizeof(*copy));
}

seldom static int check_attribute_value(const faas_attribute_config *attribute, size_t *ret_bytes)
{
	int error = FAAS_OK;

	*ret_bytes = 0;
	switch (attribute->type) {
	case FAAS_ATTRIBUTE_BOOLEAN:
		return attribute->integer == 0 || attribute->integer == 1 ? FAAS_OK : FAAS_EATTRIBUTE;
	case FAAS_ATTRIBUTE_INTEGER:
		return attribute->integer >= INT32_MIN && attribute->integer <= INT32_MAX ? FAAS_OK : FAAS_EATTRIBUTE;
	case FAAS_ATTRIBUTE_TIMESTAMP:
		return FAAS_OK;
	case FAAS_ATTRIBUTE_BINARY:
		if (attribute->bytes > FAAS_MAX_STRING)
			return FAAS_ETOOLONG;
		*ret_bytes = (size_t)attribute->bytes;
		return attribute->bytes == 0 || attribute->data ? FAAS_OK : FAAS_EINVAL;
	case 0:
	case FAAS_ATTRIBUTE_STRING:
	case FAAS_ATTRIBUTE_URI:
	case FAAS_ATTRIBUTE_URI_REFERENCE:
		if (!attribute->data)
			return FAAS_EATTRIBUTE;
		error = faas__text_check(attribute->data, FAAS_MAX_STRING, ret_bytes);
		if (error == FAAS_OK && attribute->type >= FAAS_ATTRIBUTE_URI &&
		    !is_uri(attribute->data, attribute->type == FAAS_ATTRIBUTE_URI))
			error = FAAS_EATTRIBUTE;
		return error;
	default:
		return FAAS_EATTRIBUTE;
	}
}

/* Checks one, against those before it as well, and adds its bytes to the plan. */
static int check_attribute(struct event_plan *plan, uint64_t index)
{
	faas_attribute_config copy, other_copy;
	const faas_attribute_config *attribute = attribute_at(plan, index, &copy);
	size_t bytes;
	int error;

	if (!attribute)
		return FAAS_EINVAL;
	if (!attribute->name || !is_attribute_name(attribute->name))
		return FAAS_EATTRIBUTE;
	for (uint64_t k = 0; k < index; k++)
		if (strcmp(attribute->name, attribute_at(plan, k, &other_copy)->name) == 0)
			return FAAS_EATTRIBUTE;
	error = check_attribute_value(attribute, &bytes);
	plan->lengths.text += strlen(attribute->name) + 1 + bytes + 1;
	return error;
}

seldom static int check_attributes(struct event_plan *plan)
{
	uint64_t count = plan->config->attribute_count;

	if (count > FAAS_MAX_ATTRIBUTES)
		return FAAS_EATTRIBUTES;
	if (!plan->config->attributes)
		return FAAS_EINVAL;
	/* An array's elements all have the size of the first. */
	plan->attribute_stride = plan->config->attributes->struct_size;
	plan->lengths.text = round_up(plan->lengths.text) + (size_t)count * sizeof(struct event_attribute);
	for (uint64_t i = 0; i < count; i++) {
		int error = check_attribute(plan, i);

		if (error != FAAS_OK)
			return error;
	}
	return FAAS_OK;
}

seldom int faas__event_plan_type(struct event_plan *plan)
{
	size_t bytes;

	if (plan->type_is_checked)
		return FAAS_OK;
	plan->type_is_checked = true;
	return faas__type_check(plan->config->type, false, FAAS_ETYPE, &bytes);
}

static int measure_type(struct event_plan *plan)
{
	size_t bytes;

	if (unlikely(!plan->config->type))
		return FAAS_ETYPE;
	bytes = strnlen(plan->config->type, FAAS_MAX_TYPE + 1);
	plan->lengths.type = bytes;
	plan->lengths.text = bytes + 1;
	return unlikely(bytes > FAAS_MAX_TYPE) ? faas__event_plan_type(plan) : FAAS_OK;
}

/* Whether it has any of the strings that few events have. */
static inline bool has_rare(const faas_event_config *config)
{
	return config->unix_ns != 0 || config->attribute_count > 0 || config->source || config->id ||
	       config->datacontenttype || config->dataschema || config->key;
}

seldom static int check_rare(struct event_plan *plan)
{
	const faas_event_config *config = plan->config;
	int error = check_string(plan, config->source, FAAS_MAX_STRING, &plan->source);

	if (error == FAAS_OK)
		error = check_string(plan, config->id, FAAS_MAX_STRING, &plan->id);
	if (error == FAAS_OK)
		error = check_string(plan, config->datacontenttype, FAAS_MAX_STRING, &plan->datacontenttype);
	if (error == FAAS_OK)
		error = check_string(plan, config->dataschema, FAAS_MAX_STRING, &plan->dataschema);
	if (error == FAAS_OK && config->dataschema && !is_uri(config->dataschema, true))
		error = FAAS_EATTRIBUTE;
	if (error == FAAS_OK)
		error = check_string(plan, config->key, FAAS_MAX_STRING, &plan->key);
	return error;
}

/* Strings and extensions. */
static inline int check_attribute_set(struct event_plan *plan)
{
	uint16_t subject;
	int error = check_string(plan, plan->config->subject, FAAS_MAX_STRING, &subject);

	plan->lengths.subject = subject;
	plan->has_rare = has_rare(plan->config);
	if (error == FAAS_OK && plan->has_rare)
		error = check_rare(plan);
	if (error == FAAS_OK && plan->config->attribute_count > 0)
		error = check_attributes(plan);
	return error;
}

/* A type that is not given. */
seldom static void use_default_type(struct event_plan *plan, const char *type)
{
	if (plan->config != &plan->copy)
		plan->copy = *plan->config;
	plan->copy.type = type;
	plan->config = &plan->copy;
	plan->type_is_checked = true;
}

bool faas__event_is_plain(const faas_event_config *config, uint64_t max_data_bytes, struct event_lengths *ret_lengths)
{
	struct event_lengths lengths = {0};

	if (unlikely(config->struct_size != sizeof(*config)) ||
	    unlikely((config->flags | config->timeout_ms | config->reserved | config->unix_ns |
	              (int64_t)config->attribute_count) != 0) ||
	    unlikely(config->source || config->id || config->datacontenttype || config->dataschema || config->key) ||
	    unlikely(config->wait_ms < FAAS_NEVER || config->wait_ms > FAAS_MAX_DURATION_MS) ||
	    unlikely(config->data_bytes > max_data_bytes || (!config->data && config->data_bytes > 0) || !config->type))
		return false;
	lengths.type = strnlen(config->type, FAAS_MAX_TYPE + 1);
	lengths.text = lengths.type + 1;
	if (config->subject) {
		lengths.subject = faas__text_plain(config->subject, FAAS_MAX_STRING);
		lengths.text += lengths.subject + 1;
		if (unlikely(lengths.subject == 0))
			return false;
	}
	lengths.text = round_up(lengths.text);
	*ret_lengths = lengths;
	return likely(lengths.type <= FAAS_MAX_TYPE);
}

/* One that is not plain, or in which something is wrong. */
seldom static int plan_any(struct event_plan *plan, uint64_t max_data_bytes)
{
	int error;

	if ((plan->config->flags & ~FAAS_EMIT_ALL) != 0 || plan->config->wait_ms < FAAS_NEVER ||
	    plan->config->wait_ms > FAAS_MAX_DURATION_MS || plan->config->timeout_ms < FAAS_NEVER ||
	    plan->config->timeout_ms > FAAS_MAX_DURATION_MS || plan->config->reserved != 0 || plan->config->unix_ns < 0)
		return FAAS_EINVAL;
	if (plan->config->data_bytes > max_data_bytes)
		return FAAS_ETOOBIG;
	if (plan->config->data_bytes > 0 && !plan->config->data)
		return FAAS_EINVAL;
	error = measure_type(plan);
	if (error != FAAS_OK)
		return error;
	error = check_attribute_set(plan);
	if (plan->config->unix_ns != 0)
		plan->lengths.text = round_up(plan->lengths.text) + sizeof(int64_t);
	plan->lengths.text = round_up(plan->lengths.text);
	if (error == FAAS_OK && plan->lengths.text > FAAS_MAX_ATTRIBUTE_BYTES)
		error = FAAS_ETOOBIG;
	if (plan->has_rare)
		plan->lengths.text += sizeof(struct event_rare);
	if (error != FAAS_OK) {
		int type_error = faas__event_plan_type(plan);

		/* The first thing that is wrong is told. */
		return type_error != FAAS_OK ? type_error : error;
	}
	return FAAS_OK;
}

int faas__event_plan(struct event_plan *plan, const faas_event_config *config, const char *default_type,
                     uint64_t max_data_bytes)
{
	plan->hops = 0;
	plan->type_is_checked = false;
	plan->has_rare = false;
	plan->config = config;
	if (unlikely(!config || config->struct_size != sizeof(*config)))
		plan->config = faas__config_read(config, &plan->copy, sizeof(plan->copy));
	if (unlikely(!plan->config))
		return FAAS_EINVAL;
	if (unlikely(!plan->config->type) && default_type)
		use_default_type(plan, default_type);
	if (unlikely(!faas__event_is_plain(plan->config, max_data_bytes, &plan->lengths))) {
		int error = plan_any(plan, max_data_bytes);

		if (error != FAAS_OK)
			return error;
	}
	plan->bytes = faas__event_bytes(&plan->lengths, (size_t)plan->config->data_bytes);
	return FAAS_OK;
}

seldom void faas__event_plan_chain(struct event_plan *plan)
{
	size_t bytes = faas__event_chain_bytes(plan->hops);

	plan->lengths.text += bytes;
	plan->bytes += bytes;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

/* Most strings are short, and for those a call costs more than the copy: two pieces that overlap in the middle. */
static inline void copy_short(char *to, const char *from, size_t bytes)
{
	if (bytes > 16) {
		memcpy(to, from, bytes);
	} else if (bytes >= 8) {
		uint64_t first, last;

		memcpy(&first, from, 8);
		memcpy(&last, from + bytes - 8, 8);
		memcpy(to, &first, 8);
		memcpy(to + bytes - 8, &last, 8);
	} else {
		for (size_t i = 0; i < bytes; i++)
			to[i] = from[i];
	}
}

void faas__event_write_plain(const faas_event_config *config, const struct event_lengths *lengths, faas_event *event,
                             const struct event_origin *origin, uint64_t sequence, int64_t stamp_ns)
{
	char *text = faas__event_text(event), *data = text + lengths->text;
	size_t data_bytes = (size_t)config->data_bytes;

	event->origin = origin;
	event->sequence = sequence;
	event->stamp_ns = stamp_ns;
	event->data_bytes = (uint32_t)data_bytes;
	event->last_hop = 0;
	event->subject = lengths->subject > 0 ? (uint16_t)(lengths->type + 1) : 0;
	event->rare = 0;
	event->data = (uint16_t)lengths->text;
	event->attribute_count = 0;
	event->hops = 0;
	copy_short(text, config->type, lengths->type + 1);
	if (lengths->subject > 0)
		copy_short(text + lengths->type + 1, config->subject, lengths->subject + 1);
	if (data_bytes > 0)
		memcpy(data, config->data, data_bytes);
	data[data_bytes] = 0;
}

/* Appends bytes and a NUL. Their offset. */
seldom static uint16_t put(faas_event *event, size_t *at, const void *bytes, size_t length)
{
	uint16_t offset = (uint16_t)*at;

	memcpy(faas__event_text(event) + *at, bytes, length);
	faas__event_text(event)[*at + length] = 0;
	*at += length + 1;
	return offset;
}

static uint16_t put_string(faas_event *event, size_t *at, const char *text, uint16_t length)
{
	return text ? put(event, at, text, length) : 0;
}

static uint16_t put_attributes(const struct event_plan *plan, faas_event *event, size_t *at)
{
	size_t count = (size_t)plan->config->attribute_count;
	struct event_attribute *table;

	uint16_t offset = (uint16_t)round_up(*at);

	*at = offset;
	table = (struct event_attribute *)(void *)(faas__event_text(event) + *at);
	*at += count * sizeof(*table);
	for (size_t i = 0; i < count; i++) {
		faas_attribute_config copy;
		const faas_attribute_config *from = attribute_at(plan, i, &copy);
		size_t bytes = 0;

		table[i].type = (uint16_t)(from->type != 0 ? from->type : FAAS_ATTRIBUTE_STRING);
		table[i].integer = from->integer;
		table[i].name = put(event, at, from->name, strlen(from->name));
		if (table[i].type == FAAS_ATTRIBUTE_BINARY)
			bytes = (size_t)from->bytes;
		else if (from->data && (table[i].type == FAAS_ATTRIBUTE_STRING || table[i].type >= FAAS_ATTRIBUTE_URI) &&
		         table[i].type != FAAS_ATTRIBUTE_TIMESTAMP)
			bytes = strlen(from->data);
		table[i].bytes = (uint16_t)bytes;
		table[i].data = put(event, at, bytes > 0 ? from->data : "", bytes);
	}
	return offset;
}

static void put_rare(const struct event_plan *plan, faas_event *event)
{
	const faas_event_config *config = plan->config;
	size_t at = plan->lengths.type + 1 + (config->subject ? plan->lengths.subject + 1 : 0);
	struct event_rare rare = {0};

	rare.source = put_string(event, &at, config->source, plan->source);
	rare.id = put_string(event, &at, config->id, plan->id);
	rare.datacontenttype = put_string(event, &at, config->datacontenttype, plan->datacontenttype);
	rare.dataschema = put_string(event, &at, config->dataschema, plan->dataschema);
	rare.key = put_string(event, &at, config->key, plan->key);
	if (config->attribute_count > 0)
		rare.attributes = put_attributes(plan, event, &at);
	if (config->unix_ns != 0) {
		at = round_up(at);
		rare.unix_ns = (uint16_t)at;
		memcpy(faas__event_text(event) + at, &config->unix_ns, sizeof(config->unix_ns));
	}
	event->attribute_count = (uint8_t)config->attribute_count;
	event->rare = (uint16_t)(plan->lengths.text - faas__event_chain_bytes(plan->hops) - sizeof(rare));
	memcpy(faas__event_text(event) + event->rare, &rare, sizeof(rare));
}

static void put_chain(const struct event_plan *plan, faas_event *event)
{
	char *end = faas__event_text(event) + plan->lengths.text;

	memcpy(end - faas__event_chain_bytes(plan->hops), plan->chain, (plan->hops - 1u) * sizeof(uint32_t));
}

seldom static void put_more(const struct event_plan *plan, faas_event *event)
{
	if (plan->has_rare)
		put_rare(plan, event);
	if (plan->hops > 1)
		put_chain(plan, event);
}

void faas__event_write(const struct event_plan *plan, faas_event *event, const struct event_origin *origin,
                       uint64_t sequence, int64_t stamp_ns)
{
	faas__event_write_plain(plan->config, &plan->lengths, event, origin, sequence, stamp_ns);
	if (plan->hops > 0) {
		event->hops = plan->hops;
		event->last_hop = plan->chain[plan->hops - 1];
	}
	if (unlikely(plan->has_rare || plan->hops > 1))
		put_more(plan, event);
}

seldom void faas__event_chain(const faas_event *event, uint32_t *numbers)
{
	if (event->hops == 0)
		return;
	memcpy(numbers, faas__event_text(event) + event->data - faas__event_chain_bytes(event->hops),
	       (event->hops - 1u) * sizeof(*numbers));
	numbers[event->hops - 1] = event->last_hop;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static const char *text_at(const faas_event *event, uint16_t offset)
{
	return offset != 0 ? faas__event_text(event) + offset : NULL;
}

const char *faas_event_type(const faas_event *event)
{
	return faas__event_text(event);
}

const char *faas_event_source(const faas_event *event)
{
	const struct event_rare *rare = faas__event_rare(event);

	return rare->source != 0 ? faas__event_text(event) + rare->source : event->origin->source;
}

const char *faas_event_subject(const faas_event *event)
{
	return text_at(event, event->subject);
}

const char *faas_event_datacontenttype(const faas_event *event)
{
	return text_at(event, faas__event_rare(event)->datacontenttype);
}

const char *faas_event_dataschema(const faas_event *event)
{
	return text_at(event, faas__event_rare(event)->dataschema);
}

const char *faas_event_key(const faas_event *event)
{
	return text_at(event, faas__event_rare(event)->key);
}

seldom const char *faas_event_id(const faas_event *event, char *buffer)
{
	const struct event_rare *rare = faas__event_rare(event);

	if (rare->id != 0)
		return faas__event_text(event) + rare->id;
	(void)snprintf(buffer, FAAS_ID_SIZE, "%016llx-%llu", (unsigned long long)event->origin->id_prefix,
	               (unsigned long long)event->sequence);
	return buffer;
}

int64_t faas_event_unix_ns(const faas_event *event)
{
	const struct event_rare *rare = faas__event_rare(event);
	int64_t given;

	if (rare->unix_ns == 0)
		return event->stamp_ns + event->origin->unix_offset_ns;
	memcpy(&given, faas__event_text(event) + rare->unix_ns, sizeof(given));
	return given;
}

const void *faas_event_data(const faas_event *event, uint64_t *ret_bytes)
{
	if (ret_bytes)
		*ret_bytes = event->data_bytes;
	return faas__event_text(event) + event->data;
}

uint64_t faas_event_attribute_count(const faas_event *event)
{
	return event->attribute_count;
}

static const struct event_attribute *attributes_of(const faas_event *event)
{
	return (const struct event_attribute *)(const void *)(faas__event_text(event) + faas__event_rare(event)->attributes);
}

seldom const char *faas_event_attribute_name(const faas_event *event, uint64_t index)
{
	if (index >= event->attribute_count)
		return NULL;
	return faas__event_text(event) + attributes_of(event)[index].name;
}

seldom int faas_event_attribute(const faas_event *event, const char *name, faas_attribute_config *ret_attribute)
{
	if (!event || !name || !ret_attribute)
		return FAAS_EINVAL;
	for (size_t i = 0; i < event->attribute_count; i++) {
		const struct event_attribute *found = &attributes_of(event)[i];
		faas_attribute_config out = {0};

		if (strcmp(faas__event_text(event) + found->name, name) != 0)
			continue;
		out.type = found->type;
		out.integer = found->integer;
		out.bytes = found->bytes;
		out.name = faas__event_text(event) + found->name;
		out.data = faas__event_text(event) + found->data;
		return faas__stats_write(ret_attribute, &out, sizeof(out));
	}
	return FAAS_ENOTFOUND;
}
