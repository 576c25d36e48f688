// SPDX-License-Identifier: MIT
//
// oneTBB's task_group: fork and join. Each thread that submits is inside the arena, which has a place for each of them,
// and has a group of its own; while it waits for its group it runs tasks itself. What a task submits goes to the task's
// own group. Where a thread of the pool must run the task, main does not help: it waits for the latch first.
// https://oneapi-spec.uxlfoundation.org/specifications/oneapi/latest/elements/onetbb/source/task_scheduler/task_group
#include "bench.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include <oneapi/tbb/version.h>

namespace {

constexpr int outsiders = 5; // main and four producers

struct pool {
	oneapi::tbb::global_control control;
	oneapi::tbb::task_arena arena;

	explicit pool(int threads)
		: control(oneapi::tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads) + 1),
		  arena(threads + outsiders, outsiders)
	{
		arena.initialize();
	}
};

thread_local oneapi::tbb::task_group *here;

struct body {
	oneapi::tbb::task_group *group;
	struct task copy;

	void operator()() const
	{
		bench_run_task(group, &copy);
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

void enter(void *memory, void (*what)(void *arg), void *arg)
{
	static_cast<pool *>(memory)->arena.execute([&] {
		oneapi::tbb::task_group group;

		here = &group;
		what(arg);
		group.wait();
		here = nullptr;
	});
}

void submit(void *, const struct task *task)
{
	here->run(body{here, *task});
}

void submit_nested(void *, void *context, const struct task *task)
{
	auto *group = static_cast<oneapi::tbb::task_group *>(context);

	group->run(body{group, *task});
}

void wait_all(void *)
{
	here->wait();
}

void round_trip(void *memory, const struct task *task)
{
	submit(memory, task);
	bench_wait();
	here->wait();
}

} // namespace

extern "C" const struct peer bench_peer = {
	"oneTBB task_group", TBB_runtime_version, open_pool, close_pool, enter, submit, nullptr, submit_nested, wait_all,
	round_trip,
};
