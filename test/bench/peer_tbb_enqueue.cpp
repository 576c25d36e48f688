// SPDX-License-Identifier: MIT
//
// oneTBB's task_arena::enqueue: fire and forget, in an arena without a place for the thread that submits. The task is a
// function object that holds its data; oneTBB allocates it. One thread more is allowed than the pool has, for main.
// https://oneapi-spec.uxlfoundation.org/specifications/oneapi/latest/elements/onetbb/source/task_scheduler/task_arena
#include "bench.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/version.h>

namespace {

struct pool {
	oneapi::tbb::global_control control;
	oneapi::tbb::task_arena arena;

	explicit pool(int threads)
		: control(oneapi::tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads) + 1),
		  arena(threads, 0)
	{
		arena.initialize();
	}
};

void *open_pool(int threads, int)
{
	return new pool(threads);
}

void close_pool(void *memory, int64_t)
{
	delete static_cast<pool *>(memory);
}

void submit(void *memory, const struct task *task)
{
	static_cast<pool *>(memory)->arena.enqueue([copy = *task] { bench_run_task(nullptr, &copy); });
}

void submit_nested(void *memory, void *, const struct task *task)
{
	submit(memory, task);
}

} // namespace

extern "C" const struct peer bench_peer = {
	"oneTBB enqueue", TBB_runtime_version, open_pool, close_pool, nullptr, submit, nullptr, submit_nested, nullptr,
	nullptr,
};
