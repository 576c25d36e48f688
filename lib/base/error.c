/* SPDX-License-Identifier: MIT */
/*
 * The texts and names of error codes. They stand in one constant block, each behind its code, and are found from the first
 * on: a table of pointers would have to be relocated when the library is loaded, and take several times the room.
 */
#include <stdint.h>
#include <string.h>

#include "faas/common.h"

#define ERRORS                                                                                                        \
	ERROR(FAAS_OK, "success")                                                                                         \
	ERROR(FAAS_EINVAL, "an argument is missing, out of range or of unknown size")                                     \
	ERROR(FAAS_ENOMEM, "out of memory")                                                                               \
	ERROR(FAAS_ETHREAD, "a thread or a lock could not be made")                                                       \
	ERROR(FAAS_ESYSTEM, "a system call failed")                                                                       \
	ERROR(FAAS_EFORKED, "the runtime belongs to the parent process")                                                  \
	ERROR(FAAS_ENAME, "a name must be 1 to 64 letters, digits, underscores or dashes")                                \
	ERROR(FAAS_EEXIST, "it exists already")                                                                           \
	ERROR(FAAS_ENOTFOUND, "there is no such function, binding or attribute")                                          \
	ERROR(FAAS_EPATTERN, "the binding's pattern is malformed")                                                        \
	ERROR(FAAS_ETYPE, "the event's type is missing, empty or malformed")                                              \
	ERROR(FAAS_EATTRIBUTE, "CloudEvents allows no such attribute name, type or value")                                \
	ERROR(FAAS_EATTRIBUTES, "the event has too many attributes")                                                      \
	ERROR(FAAS_ETOOLONG, "a string is too long")                                                                      \
	ERROR(FAAS_ETOOBIG, "the data or attributes are too large")                                                       \
	ERROR(FAAS_ETEXT, "a string is not UTF-8")                                                                        \
	ERROR(FAAS_EFULL, "the function's queue is full")                                                                 \
	ERROR(FAAS_ERUNTIMEFULL, "the runtime's queues together are full")                                                \
	ERROR(FAAS_ECLOSED, "the runtime is draining or closed")                                                          \
	ERROR(FAAS_EFUNCTIONS, "the runtime has as many functions as it can")                                             \
	ERROR(FAAS_EBINDINGS, "the runtime has as many bindings as it can")                                               \
	ERROR(FAAS_ELOOP, "the chain of events is too long")                                                              \
	ERROR(FAAS_EPENDING, "not settled yet")                                                                           \
	ERROR(FAAS_EAGAIN, "nothing can run until time moves or the host acts")                                           \
	ERROR(FAAS_EDEADLK, "the wait could never end, or waiting is not allowed here")                                   \
	ERROR(FAAS_EBUSY, "handlers are still running")                                                                   \
	ERROR(FAAS_EFAILED, "the handler failed")                                                                         \
	ERROR(FAAS_ETIMEDOUT, "the deadline passed")                                                                      \
	ERROR(FAAS_ECANCELLED, "cancelled")                                                                               \
	ERROR(FAAS_EDROPPED, "dropped from a full queue by a newer event")                                                \
	ERROR(FAAS_EINIT, "the worker could not be initialised")                                                          \
	ERROR(FAAS_ESTATE, "the call does not fit where it was made")                                                     \
	ERROR(FAAS_EREFUSED, "another function refused the event, so none took it")                                       \
	ERROR(FAAS_ETHROTTLED, "the function's rate would let it begin too late")                                         \
	ERROR(FAAS_ESETTLED, "it is settled already")                                                                     \
	ERROR(FAAS_ERESERVED, "the runtime has too little concurrency left to reserve")                                   \
	ERROR(FAAS_EEXPIRED, "it became too old")                                                                         \
	ERROR(FAAS_EABANDONED, "deferred, and never completed")                                                           \
	ERROR(FAAS_EFILTER, "the filter is malformed, or of the wrong type")                                              \
	ERROR(FAAS_EFILTERLONG, "the filter is too long")                                                                 \
	ERROR(FAAS_EFILTERDEPTH, "the filter is nested too deep")                                                         \
	ERROR(FAAS_EFILTERVALUES, "the filter needs too many values at once")                                             \
	ERROR(FAAS_EFILTERSIZE, "the compiled filter is too large")                                                       \
	ERROR(FAAS_EFILTERTEXT, "the filter builds too much text")                                                        \
	ERROR(FAAS_EFILTERSTEPS, "the filter takes too many steps")                                                       \
	ERROR(FAAS_EFILTERMATH, "a division by zero or an overflow in the filter")                                        \
	ERROR(FAAS_EFILTERCAST, "a value in the filter cannot be cast")                                                   \
	ERROR(FAAS_EFILTERMISSING, "the event lacks an attribute that the filter reads")                                  \
	ERROR(FAAS_EFILTERFUNCTION, "the filter calls an unknown function")                                               \
	ERROR(FAAS_EFILTERCALL, "a function in the filter got an argument out of range")

static const struct {
#define ERROR(code, text)                                                                                            \
	int8_t code_##code;                                                                                              \
	char name_##code[sizeof(#code)];                                                                                 \
	char text_##code[sizeof(text)];
	ERRORS
#undef ERROR
} errors = {
#define ERROR(code, text) .code_##code = code, .name_##code = #code, .text_##code = text,
	ERRORS
#undef ERROR
};

#define ERROR(code, text) _Static_assert(code <= 0 && code >= INT8_MIN, "in one byte");
ERRORS
#undef ERROR

/* What it means stands behind its name. NULL: there is no such code. */
static const char *name_of(int code)
{
	const char *at = (const char *)&errors, *const end = at + sizeof(errors);

	while (at < end) {
		const char *name = at + 1;

		if (*(const int8_t *)at == code)
			return name;
		at = name + strlen(name) + 1;
		at += strlen(at) + 1;
	}
	return NULL;
}

const char *faas_strerror(int code)
{
	const char *name = name_of(code);

	return name ? name + strlen(name) + 1 : "unknown error";
}

const char *faas_error_name(int code)
{
	const char *name = name_of(code);

	return name ? name : "FAAS_EUNKNOWN";
}

int faas_version(void)
{
	return FAAS_VERSION_MAJOR * 1000000 + FAAS_VERSION_MINOR * 1000 + FAAS_VERSION_PATCH;
}
