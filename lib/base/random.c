/* SPDX-License-Identifier: MIT */
/* The system's randomness, through the device that every Unix has. */
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "faas/common.h"

int faas__random_seed(uint64_t *ret_seed)
{
	unsigned char bytes[sizeof(*ret_seed)];
	size_t have = 0;
	uint64_t seed = 0;
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return FAAS_ESYSTEM;
	while (have < sizeof(bytes)) {
		ssize_t got = read(fd, bytes + have, sizeof(bytes) - have);

		if (got > 0)
			have += (size_t)got;
		else if (got == 0 || errno != EINTR)
			break;
	}
	(void)close(fd);
	if (have < sizeof(bytes))
		return FAAS_ESYSTEM;
	for (size_t i = 0; i < sizeof(bytes); i++)
		seed = seed << 8 | bytes[i];
	*ret_seed = seed;
	return FAAS_OK;
}
