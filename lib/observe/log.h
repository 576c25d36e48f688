/* SPDX-License-Identifier: MIT */
/* The host's log sink, with its level. */
#ifndef FAAS_OBSERVE_LOG_H
#define FAAS_OBSERVE_LOG_H

#include <stdbool.h>

#include "faas/runtime.h"

struct log {
	faas_log_fn *sink; /* NULL: none */
	void *user;
	int32_t level;
};

static inline bool faas__log_wants(const struct log *log, int32_t level)
{
	return log->sink != NULL && level <= log->level;
}

#endif
